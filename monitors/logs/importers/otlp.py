"""OpenTelemetry spans in OTLP/JSON, with GenAI attributes in present and older spellings.

Also those of OpenLLMetry (``gen_ai.prompt.0.content``) and OpenInference (``input.value``).
Spans that are no call of a model are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitors.logs.importers.messages import chat_of, text_of, unpacked
from monitors.logs.interaction import LOG_FIELDS

Fields = dict[str, Any]

# Older spellings, the present one first; see the GenAI semantic conventions' change log.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.vendor", "llm.provider"),
    "operation": ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind"),
    "request_model": ("gen_ai.request.model", "llm.request.model", "llm.model_name"),
    "response_model": ("gen_ai.response.model", "llm.response.model"),
    "response_id": ("gen_ai.response.id",),
    "system_fingerprint": (
        "openai.response.system_fingerprint",
        "gen_ai.openai.response.system_fingerprint",
        "gen_ai.response.system_fingerprint",
    ),
    "finish_reason": (
        "gen_ai.response.finish_reasons",
        "gen_ai.completion.0.finish_reason",
        "llm.response.finish_reason",
    ),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "conversation_id": ("gen_ai.conversation.id", "session.id", "thread.id"),
    "user_id": ("enduser.id", "user.id", "llm.user"),
    "cost_usd": ("gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.usage.cost"),
    "error_type": ("error.type",),
    "feature": ("feature", "traceloop.workflow.name", "gen_ai.agent.name"),
    "prompt_version": ("prompt_version", "gen_ai.prompt.version", "traceloop.prompt.version"),
}
_ASKED = ("gen_ai.input.messages", "gen_ai.prompt", "llm.prompts", "llm.input_messages")
_ANSWERED = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "llm.completions",
    "llm.output_messages",
)
_MARKS = ("gen_ai.", "llm.")
_NOT_CALLS = ("execute_tool", "create_agent", "embeddings", "TOOL", "RETRIEVER", "EMBEDDING")


def recognises(record: Mapping[str, Any]) -> bool:
    return "resourceSpans" in record or ("spanId" in record and "startTimeUnixNano" in record)


def rows(record: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Fields]]:
    """Each call of a model in an export: its attributes, and our fields."""
    if "spanId" in record:
        yield from _row(record, {})
        return
    for resource in record.get("resourceSpans") or ():
        shared = _attributes((resource.get("resource") or {}).get("attributes"))
        scopes = resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans") or ()
        for scope in scopes:
            for span in scope.get("spans") or ():
                yield from _row(span, shared)


def _row(
    span: Mapping[str, Any], shared: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], Fields]]:
    own = _attributes(span.get("attributes"))
    if not any(name.startswith(_MARKS) for name in own):
        return
    if own.get("gen_ai.operation.name", own.get("openinference.span.kind")) in _NOT_CALLS:
        return
    view = {**shared, **own}
    # A log's own fields under our names, then the conventions' spellings.
    found = {field.attribute: view[field.name] for field in LOG_FIELDS if field.name in view}
    for attribute, names in _SPELLINGS.items():
        value = next((view[name] for name in names if view.get(name) not in (None, "")), None)
        if value is not None:
            found[attribute] = value
    if isinstance(reasons := unpacked(found.get("finish_reason")), list):
        found["finish_reason"] = ",".join(map(str, reasons)) or None
    start, end = _nanoseconds(span, "startTimeUnixNano"), _nanoseconds(span, "endTimeUnixNano")
    found["id"] = f"{span.get('traceId', '')}-{span.get('spanId', '')}"
    found["at"] = None if start is None else start / 1e9
    if start is not None and end is not None and end >= start:
        found.setdefault("latency_ms", (end - start) / 1e6)
    if (span.get("status") or {}).get("code") in (2, "STATUS_CODE_ERROR"):
        found.setdefault("error_type", "error")
    events = [
        (str(event.get("name", "")), _attributes(event.get("attributes")))
        for event in span.get("events") or ()
    ]
    found.update(_texts(view, events))
    yield view, {name: value for name, value in found.items() if value is not None}


def _texts(view: Mapping[str, Any], events: list[tuple[str, Fields]]) -> Fields:
    """Question, answer and instructions, from attributes or else from events."""
    sources = [view, *(attributes for _, attributes in events)]
    asked = _first(sources, _ASKED) or _numbered(view, ("gen_ai.prompt", "llm.prompts"))
    answered = _first(sources, _ANSWERED) or _numbered(
        view, ("gen_ai.completion", "llm.completions")
    )
    chat = chat_of(asked)
    found = {
        "input": chat.user,
        "output": chat_of(answered).assistant or text_of(answered),
        "system_prompt": text_of(_first(sources, ("gen_ai.system_instructions",))) or chat.system,
    }
    by_event = {
        "gen_ai.user.message": "input",
        "gen_ai.system.message": "system_prompt",
        "gen_ai.choice": "output",
    }
    for name, attributes in events:
        if name in by_event:
            message = attributes.get("content", attributes.get("message", attributes))
            text = text_of(message)
            if text and (found[by_event[name]] is None or name == "gen_ai.user.message"):
                found[by_event[name]] = text
    found["input"] = found["input"] or chat_of(view.get("input.value")).user
    found["output"] = found["output"] or text_of(view.get("output.value"))
    return found


def _first(sources: list[Any], names: tuple[str, ...]) -> Any:
    return next((source[n] for n in names for source in sources if source.get(n)), None)


def _numbered(view: Mapping[str, Any], stems: tuple[str, ...]) -> list[dict[str, Any]]:
    """``gen_ai.prompt.0.content`` and its like, as a list of messages."""
    messages = []
    for stem in stems:
        number = 0
        while (content := view.get(f"{stem}.{number}.content")) is not None:
            messages.append({"role": view.get(f"{stem}.{number}.role", ""), "content": content})
            number += 1
    return messages


def _attributes(pairs: Any) -> Fields:
    if isinstance(pairs, Mapping):
        return dict(pairs)
    return {
        str(pair.get("key")): _value(pair.get("value"))
        for pair in pairs or ()
        if isinstance(pair, Mapping)
    }


def _value(value: Any) -> Any:
    """An AnyValue of OTLP as a plain one; 64-bit integers come as text."""
    if not isinstance(value, Mapping) or not value:
        return value
    kind, inner = next(iter(value.items()))
    match kind:
        case "intValue":
            return int(inner)
        case "arrayValue":
            return [_value(part) for part in (inner or {}).get("values") or ()]
        case "kvlistValue":
            return _attributes((inner or {}).get("values"))
        case _:
            return inner


def _nanoseconds(span: Mapping[str, Any], name: str) -> int | None:
    try:
        return int(span[name]) or None
    except (KeyError, TypeError, ValueError):
        return None
