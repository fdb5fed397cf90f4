"""LiteLLM's spend logs (table ``LiteLLM_SpendLogs``), as JSON or CSV.

They hold prompts and answers only when the proxy runs with ``store_prompts_in_spend_logs: true``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from monitors.logs.importers.messages import chat_of, text_of, unpacked
from monitors.logs.times import read_time

Fields = dict[str, Any]


def recognises(record: Mapping[str, Any]) -> bool:
    """Is this a line of LiteLLM's spend log?"""
    return {"request_id", "spend", "startTime"} <= record.keys()


def rows(record: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Fields]]:
    """One row a request."""
    asked = chat_of(record.get("messages"))
    request = unpacked(record.get("proxy_server_request"))
    if asked.user is None and isinstance(request, Mapping):
        asked = chat_of(request)
    response = unpacked(record.get("response"))
    answer = response if isinstance(response, Mapping) else {}
    begun, ended = read_time(record.get("startTime")), read_time(record.get("endTime"))
    first = read_time(record.get("completionStartTime"))
    metadata = unpacked(record.get("metadata"))
    metadata = metadata if isinstance(metadata, Mapping) else {}
    failed = record.get("status") == "failure" or metadata.get("status") == "failure"
    error = metadata.get("error_information")
    error = error.get("error_class") if isinstance(error, Mapping) else None
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    found = {
        "id": record.get("request_id"),
        "at": begun,
        "input": asked.user,
        "output": text_of(response),
        "system_prompt": asked.system,
        "operation": record.get("call_type"),
        "provider": record.get("custom_llm_provider"),
        "request_model": record.get("model_group") or record.get("model"),
        "response_model": answer.get("model") or record.get("model"),
        "response_id": answer.get("id"),
        "system_fingerprint": answer.get("system_fingerprint"),
        "finish_reason": choice.get("finish_reason") if isinstance(choice, Mapping) else None,
        "input_tokens": record.get("prompt_tokens"),
        "output_tokens": record.get("completion_tokens"),
        "cost_usd": record.get("spend"),
        "latency_ms": _milliseconds(begun, ended),
        # Not streamed: LiteLLM writes the end as the first token's time.
        "time_to_first_token_ms": None if first == ended else _milliseconds(begun, first),
        "user_id": record.get("end_user") or record.get("user"),
        "conversation_id": record.get("session_id"),
        "feature": _tag(record),
        "error_type": (error or "error") if failed else None,
    }
    yield record, {name: value for name, value in found.items() if value not in (None, "")}


def _tag(record: Mapping[str, Any]) -> str | None:
    tags = unpacked(record.get("request_tags"))
    return str(tags[0]) if isinstance(tags, list) and tags else None


def _milliseconds(begun: datetime | None, ended: datetime | None) -> float | None:
    if begun is None or ended is None or ended < begun:
        return None
    return (ended - begun).total_seconds() * 1_000
