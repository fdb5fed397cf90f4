"""Langfuse's export: generations among observations, and traces with what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitors.logs.importers.messages import chat_of, text_of, unpacked
from monitors.logs.times import read_time

Fields = dict[str, Any]

_OBSERVATIONS = ("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EMBEDDING")


def recognises(record: Mapping[str, Any]) -> bool:
    names = record.keys()
    observation = record.get("type") in _OBSERVATIONS and bool(names & {"traceId", "trace_id"})
    trace = {"id", "timestamp"} <= names and len(
        names & {"sessionId", "userId", "htmlPath", "observations", "totalCost", "tags", "release"}
    ) > 1
    return observation or trace


def rows(record: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Fields]]:
    """One row for a generation or a trace; other observations are skipped."""
    kind = _get(record, "type")
    if kind == "GENERATION":
        yield record, _clean(_generation(record))
    elif kind not in _OBSERVATIONS:
        yield record, _clean(_trace(record))


def _generation(record: Mapping[str, Any]) -> Fields:
    usage = unpacked(_get(record, "usageDetails", "usage")) or {}
    cost = unpacked(_get(record, "costDetails")) or {}
    start, end = _get(record, "startTime"), _get(record, "endTime")
    first = _get(record, "completionStartTime")
    asked = chat_of(record.get("input"))
    failed = _get(record, "level") == "ERROR"
    return {
        "id": record.get("id"),
        "at": start,
        "input": asked.user or text_of(record.get("input")),
        "output": text_of(record.get("output")),
        "system_prompt": asked.system,
        "request_model": _get(record, "model", "providedModelName"),
        "input_tokens": usage.get("input", _get(record, "promptTokens")),
        "output_tokens": usage.get("output", _get(record, "completionTokens")),
        "cost_usd": _get(record, "calculatedTotalCost", "totalCost") or cost.get("total"),
        "latency_ms": _milliseconds(start, end),
        "time_to_first_token_ms": _milliseconds(start, first),
        "prompt_version": _prompt(record),
        "feature": _get(record, "traceName") or record.get("name"),
        "conversation_id": _get(record, "sessionId"),
        "user_id": _get(record, "userId"),
        "error_type": "error" if failed else None,
    }


def _trace(record: Mapping[str, Any]) -> Fields:
    inner = [part for part in record.get("observations") or () if isinstance(part, Mapping)]
    generations = [_generation(part) for part in inner if part.get("type") == "GENERATION"]
    last = generations[-1] if generations else {}
    asked = chat_of(record.get("input"))
    latency = record.get("latency")
    return {
        **{name: last.get(name) for name in ("request_model", "prompt_version", "system_prompt")},
        **{
            name: sum(g[name] or 0 for g in generations) if generations else None
            for name in ("input_tokens", "output_tokens")
        },
        "id": record.get("id"),
        "at": record.get("timestamp"),
        "input": asked.user or text_of(record.get("input")) or last.get("input"),
        "output": text_of(record.get("output")) or last.get("output"),
        "feature": record.get("name"),
        "user_id": _get(record, "userId"),
        "conversation_id": _get(record, "sessionId"),
        "prompt_version": record.get("version") or last.get("prompt_version"),
        "cost_usd": _get(record, "totalCost"),
        # Langfuse gives a trace's latency in seconds.
        "latency_ms": latency * 1_000 if isinstance(latency, int | float) else None,
        "error_type": next((g["error_type"] for g in generations if g["error_type"]), None),
    }


def _prompt(record: Mapping[str, Any]) -> str | None:
    name, version = _get(record, "promptName"), _get(record, "promptVersion")
    if version is None:
        return record.get("version")
    return f"{name}@{version}" if name else str(version)


def _get(record: Mapping[str, Any], *names: str) -> Any:
    """By the API's camelCase name, or by the same in snake_case (blob storage exports)."""
    for name in names:
        for spelling in (name, "".join(f"_{c.lower()}" if c.isupper() else c for c in name)):
            if record.get(spelling) is not None:
                return record[spelling]
    return None


def _milliseconds(start: Any, end: Any) -> float | None:
    begun, ended = read_time(start), read_time(end)
    if begun is None or ended is None or ended < begun:
        return None
    return (ended - begun).total_seconds() * 1_000


def _clean(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}
