"""Records of no known system: which of their columns are which fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from monitors.logs.importers.messages import chat_of, text_of
from monitors.logs.interaction import BY_ATTRIBUTE, BY_NAME, LOG_FIELDS
from sql.errors import ConfigurationError

Getter = Callable[[Mapping[str, Any]], Any]

# Names that logs are known to use, best first. Only names that say the unit are taken for numbers:
# whether ``latency`` counts seconds is for a person to say (``latency_ms=latency*1000``).
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("request_id", "interaction_id", "message_id", "call_id", "uuid", "trace_id"),
    "at": (
        "time",
        "created_at",
        "created",
        "datetime",
        "start_time",
        "starttime",
        "ts",
        "date_time",
    ),
    "input": (
        "prompt",
        "query",
        "user_query",
        "question",
        "user_message",
        "instruction",
        "messages",
    ),
    "output": (
        *("response", "answer", "completion", "chatgpt_response", "assistant_message"),
        *("generated_text", "reply", "output_text"),
    ),
    "request_model": ("model", "model_name"),
    "provider": ("vendor",),
    "input_tokens": ("prompt_tokens", "tokens_in"),
    "output_tokens": ("completion_tokens", "answer_token", "tokens_out"),
    "conversation_id": ("session_id", "thread_id", "chat_id"),
    "user_id": ("user", "end_user"),
    "feature": ("route", "endpoint", "application"),
    "segment": ("plan", "customer_segment"),
    "language": ("lang", "locale"),
    "latency_ms": ("duration_ms", "response_time_ms", "latency_ms"),
    "time_to_first_token_ms": ("ttft_ms",),
    "cost_usd": ("cost_usd", "total_cost_usd", "cost"),
    "reference": ("ref_answer", "expected_output", "ground_truth", "right_answer", "expected"),
    "context": ("contexts", "documents", "retrieved_context", "knowledge"),
    "system_prompt": ("system", "instructions"),
    "finish_reason": ("stop_reason",),
}
_CONVERSATIONS = ("input", "output", "system_prompt", "context", "reference")
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}),?[ T](\d{1,2}:\d{2}(?::\d{2})?)")


def recognised(columns: Iterable[str]) -> dict[str, str]:
    """Field → column for every column whose name is known, whatever its case."""
    by_fold = {column.strip().lower().replace(" ", "_"): column for column in columns}
    found = {}
    for field in LOG_FIELDS:
        names = (field.attribute, field.name.lower(), *_ALIASES.get(field.attribute, ()))
        column = next((by_fold[name] for name in names if name in by_fold), None)
        if column is not None:
            found[field.attribute] = column
    return found


def getters(mapping: Mapping[str, str]) -> dict[str, Getter]:
    """What fetches each field out of a record.

    A path is a column, or ``a.b.c`` into nested objects; ``path*1000`` multiplies a number;
    ``model+id`` joins several into one text; ``path|%d.%m.%Y %H:%M`` reads a time.

    Raises:
        ConfigurationError: there is no such field.
    """
    return {attribute(name): _getter(path) for name, path in mapping.items() if path}


def attribute(name: str) -> str:
    """The attribute of a field's name, ours or OpenTelemetry's.

    Raises:
        ConfigurationError: there is no such field.
    """
    if name in BY_NAME:
        return BY_NAME[name].attribute
    if name in BY_ATTRIBUTE:
        return name
    from monitors.logs.mapping import near

    raise ConfigurationError(
        f"there is no field {name!r}", where="--map", mend=near(name, [*BY_ATTRIBUTE, *BY_NAME])
    )


def _getter(path: str) -> Getter:
    if "|" in path:
        inner, _, form = path.partition("|")
        plain = _getter(inner)
        return lambda record: _time(plain(record), form)
    if match := re.fullmatch(r"(.+)\*(\d+(?:\.\d+)?(?:e-?\d+)?)", path):
        plain, factor = _getter(match[1]), float(match[2])
        return lambda record: _times(plain(record), factor)

    def get(record: Mapping[str, Any]) -> Any:
        found = _lookup(record, path)
        if found is None and "+" in path:
            parts = [_lookup(record, part) for part in path.split("+")]
            return "/".join(str(part) for part in parts if part is not None) or None
        return found

    return get


def _lookup(record: Mapping[str, Any], path: str) -> Any:
    if path in record:
        return record[path]
    value: Any = record
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def _times(value: Any, factor: float) -> Any:
    try:
        return float(value) * factor
    except (TypeError, ValueError):
        return value  # cleaning says what is wrong with it


def _time(value: Any, form: str) -> Any:
    try:
        found = datetime.strptime(str(value).strip(), form)  # noqa: DTZ007 the zone may be in it
    except ValueError:
        return value
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def as_fields(record: Mapping[str, Any], chosen: Mapping[str, Getter]) -> dict[str, Any]:
    """The record's fields; chats become their last question and answer."""
    found: dict[str, Any] = {}
    for name, get in chosen.items():
        value = get(record)
        if value is None:
            continue
        if name in _CONVERSATIONS and isinstance(value, list | dict):
            if name == "input":
                chat = chat_of(value)
                found.setdefault("system_prompt", chat.system)
                value = chat.user or text_of(value)
            else:
                value = text_of(value)
        elif isinstance(value, list):
            value = ",".join(map(str, value)) or None
        if value is not None:
            found[name] = value
    return found


def slash_order(texts: Iterable[Any]) -> str:
    """How times such as ``07/24/2023, 21:00:49`` are to be read: ``mdy``, ``dmy``, or empty.

    One number above 12 among them decides it; without one it would be a guess.
    """
    first = second = 0
    for text in texts:
        if isinstance(text, str) and (match := _SLASHED.match(text.strip())):
            first, second = max(first, int(match[1])), max(second, int(match[2]))
    if first > 12 >= second:
        return "dmy"
    return "mdy" if second > 12 >= first else ""


def slashed_time(text: Any, order: str) -> Any:
    """The time as ISO text when it is written with slashes; else as it is."""
    match = _SLASHED.fullmatch(text.strip()) if order and isinstance(text, str) else None
    if match is None:
        return text
    month, day = (match[1], match[2]) if order == "mdy" else (match[2], match[1])
    hour, _, rest = match[4].partition(":")
    return f"{match[3]}-{int(month):02d}-{int(day):02d}T{hour:0>2}:{rest}"
