"""What was asked and what was answered, out of the many shapes in which chats are logged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_INSTRUCTIONS = ("system", "developer")
_DEPTH = 8


class Chat(NamedTuple):
    """The last question, the last answer and the instructions of a conversation."""

    user: str | None
    assistant: str | None
    system: str | None


def chat_of(value: Any) -> Chat:
    """Read messages: OpenAI's, Anthropic's or OpenTelemetry's, as a list, an object or JSON text.

    A plain text is a question of the user. Parts that are not text (images, tool calls) are left
    out; of several messages of a role the last counts, except that instructions are joined.
    """
    value = unpacked(value)
    if value is None or value == "":
        return Chat(None, None, None)
    if isinstance(value, str):
        return Chat(value, None, None)
    if isinstance(value, Mapping) and "messages" in value:
        inner = chat_of(value["messages"])
        return inner._replace(system=inner.system or text_of(value.get("system")))
    messages = value if isinstance(value, list) else [value]
    by_role: dict[str, list[str]] = {}
    for message in messages:
        role = str(message.get("role", "user")) if isinstance(message, Mapping) else "user"
        text = text_of(message)
        if text:
            kind = "system" if role in _INSTRUCTIONS else role
            by_role.setdefault(kind, []).append(text)
    user = by_role.get("user") or by_role.get("human")
    assistant = by_role.get("assistant") or by_role.get("model") or by_role.get("ai")
    return Chat(
        user[-1] if user else None,
        assistant[-1] if assistant else None,
        "\n".join(by_role.get("system", [])) or None,
    )


def text_of(value: Any, depth: int = 0) -> str | None:
    """The text of a message, an answer or a list of parts; None when there is none."""
    value = unpacked(value)
    if value is None or isinstance(value, str):
        return value or None
    if depth > _DEPTH:
        return None
    if isinstance(value, list):
        return _joined(text_of(part, depth + 1) for part in value)
    if not isinstance(value, Mapping):
        return str(value)
    if value.get("type") in ("tool_call", "tool_use", "image", "image_url", "input_audio"):
        return None
    for name in ("content", "parts", "text", "message", "choices", "output_text", "output"):
        if value.get(name) is not None:
            return text_of(value[name], depth + 1)
    return None


def unpacked(value: Any) -> Any:
    """JSON in a text is opened; any other text stays."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return value
    return value


def _joined(texts: Iterable[str | None]) -> str | None:
    return "\n".join(text for text in texts if text) or None
