"""What Slack would refuse, or read otherwise than it was meant: its documented limits, strictly.

`faults_of` takes the arguments of ``chat.postMessage`` and names everything that is wrong with
them. Limits are of docs.slack.dev (Block Kit reference, text objects, formatting message text);
the whole message's is ours, because Slack's own for the sum is not documented.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from alerts.markup import units

WHOLE = 10_000
_BLOCKS, _BLOCK_ID, _ACTION_ID = 50, 255, 255
# type → (needed keys, allowed keys)
_SHAPES: dict[str, tuple[set[str], set[str]]] = {
    "header": ({"type", "text"}, {"block_id"}),
    "section": ({"type"}, {"text", "fields", "accessory", "block_id", "expand"}),
    "context": ({"type", "elements"}, {"block_id"}),
    "actions": ({"type", "elements"}, {"block_id"}),
    "divider": ({"type"}, {"block_id"}),
    "image": ({"type", "alt_text"}, {"image_url", "slack_file", "title", "block_id"}),
    "plain_text": ({"type", "text"}, {"emoji"}),
    "mrkdwn": ({"type", "text"}, {"verbatim"}),
    "button": (
        {"type", "text", "action_id"},
        {"url", "value", "style", "confirm", "accessibility_label"},
    ),
    "confirm": ({"title", "text", "confirm", "deny"}, {"style"}),
}
_REFERENCE = re.compile(
    r"<(?:@[UW][A-Z0-9]{2,}|#C[A-Z0-9]{2,}|!(?:here|channel|everyone|subteam\^S[A-Z0-9]+"
    r"|date\^[^>|]+\|[^>|]+)|(?:https?://|mailto:)[^\s<>|]+(?:\|[^<>|\n]+)?)>"
)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
_HIDDEN = re.compile(
    "[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_EMOJI_CODE = re.compile(r":[a-z0-9_+'-]*[a-z][a-z0-9_+'-]*:")


def faults_of(arguments: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a message; empty when it is in order."""
    return list(_message(arguments))


def mentions_of(arguments: dict[str, Any]) -> list[str]:
    """Whom the message would call: users, groups, channels."""
    shown = repr([arguments.get("text"), arguments.get("blocks")])
    return re.findall(r"<[@#!][^>]*>", shown)


def _message(arguments: dict[str, Any]) -> Iterator[str]:
    text, blocks = arguments.get("text"), arguments.get("blocks") or []
    if not isinstance(text, str) or not text.strip():
        yield "text: there is no fallback"
    else:
        if units(text) > 4000:
            yield f"text: {units(text)} units"
        yield from _markup("text", text)
    for name, wanted in (("parse", "none"), ("link_names", False), ("unfurl_links", False)):
        if name in arguments and arguments[name] not in (wanted, str(wanted).lower(), "0"):
            yield f"{name}: {arguments[name]!r}"
    if len(blocks) > _BLOCKS:
        yield f"blocks: {len(blocks)}"
    for place, block in enumerate(blocks):
        yield from _block(f"blocks[{place}]", block)
    ids = Counter(block["block_id"] for block in blocks if "block_id" in block)
    yield from (f"block_id {name!r} stands twice" for name, count in ids.items() if count > 1)
    texts = [text or "", *_texts(blocks)]
    if (sum_ := sum(map(units, texts))) > WHOLE:
        yield f"whole message: {sum_} units"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _block(where: str, block: dict[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind not in ("header", "section", "context", "actions", "divider", "image"):
        yield f"{where}: no block is a {kind!r}"
        return
    yield from _keys(where, kind, block)
    yield from _length(where, block, "block_id", _BLOCK_ID)
    if kind == "header":
        yield from _text(f"{where}.text", block.get("text"), 150, ("plain_text",))
    if kind == "section":
        yield from _section(where, block)
    if kind in ("context", "actions"):
        elements = block.get("elements") or []
        most = 10 if kind == "context" else 25
        if not 1 <= len(elements) <= most:
            yield f"{where}: {len(elements)} elements"
        for place, element in enumerate(elements):
            inside = f"{where}.elements[{place}]"
            if kind == "context":
                yield from _text(inside, element, 3000)
            else:
                yield from _button(inside, element)
        ids = Counter(one.get("action_id") for one in elements if kind == "actions")
        yield from (f"{where}: action_id {name!r} twice" for name, n in ids.items() if n > 1)
    if kind == "image":
        yield from _length(where, block, "alt_text", 2000)
        yield from _length(where, block, "image_url", 3000)


def _section(where: str, block: dict[str, Any]) -> Iterator[str]:
    fields = block.get("fields")
    if "text" not in block and not fields:
        yield f"{where}: neither text nor fields"
    if "text" in block:
        yield from _text(f"{where}.text", block["text"], 3000)
    if fields is not None and not 1 <= len(fields) <= 10:
        yield f"{where}: {len(fields)} fields"
    for place, field in enumerate(fields or []):
        yield from _text(f"{where}.fields[{place}]", field, 2000)
    if "accessory" in block:
        yield from _button(f"{where}.accessory", block["accessory"])


def _button(where: str, button: dict[str, Any]) -> Iterator[str]:
    if button.get("type") != "button":
        yield f"{where}: {button.get('type')!r} is not used here"
        return
    yield from _keys(where, "button", button)
    yield from _text(f"{where}.text", button.get("text"), 75, ("plain_text",))
    for key, most in (("action_id", _ACTION_ID), ("url", 3000), ("value", 2000)):
        yield from _length(where, button, key, most)
    if button.get("style", "primary") not in ("primary", "danger"):
        yield f"{where}.style: {button['style']!r}"
    if confirm := button.get("confirm"):
        yield from _keys(f"{where}.confirm", "confirm", confirm)
        for key, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
            yield from _text(f"{where}.confirm.{key}", confirm.get(key), most)


def _keys(where: str, kind: str, found: dict[str, Any]) -> Iterator[str]:
    needed, allowed = _SHAPES[kind]
    yield from (f"{where}: no {key!r}" for key in sorted(needed - set(found)))
    yield from (f"{where}: key {key!r}" for key in sorted(set(found) - needed - allowed))


def _length(where: str, found: dict[str, Any], key: str, most: int) -> Iterator[str]:
    if key in found and not (isinstance(found[key], str) and 1 <= units(found[key]) <= most):
        yield f"{where}.{key}: not a text of 1 to {most}"


def _text(
    where: str, found: Any, most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")
) -> Iterator[str]:
    if not isinstance(found, dict) or found.get("type") not in kinds:
        yield f"{where}: not a text of {' or '.join(kinds)}"
        return
    yield from _keys(where, found["type"], found)
    text = found.get("text")
    if not isinstance(text, str) or not 1 <= units(text) <= most or not text.strip():
        yield f"{where}: not a text of 1 to {most}"
        return
    if found["type"] == "mrkdwn":
        if found.get("verbatim") is not True:
            yield f"{where}: Slack would make links of words (verbatim)"
        yield from _markup(where, text)
        return
    if "\n" in text:
        yield f"{where}: more than one line"
    yield from _clean(where, text)


def _clean(where: str, text: str) -> Iterator[str]:
    if hidden := _HIDDEN.search(text):
        yield f"{where}: hidden U+{ord(hidden[0]):04X}"
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        yield f"{where}: half a surrogate pair"
    if _ENTITY.search(text):
        yield f"{where}: & that begins no escape"


def _markup(where: str, text: str) -> Iterator[str]:
    """Slack's rules: marks format at the edges of words and must close in their line."""
    yield from _clean(where, text)
    bare = _REFERENCE.sub("x", text)
    if "<" in bare or ">" in bare:
        yield f"{where}: < or > that is no reference"
    if text.count("```") % 2:
        yield f"{where}: a code block is open"
    bare = re.sub(r"```.*?```", "x", bare, flags=re.S)
    for line in bare.split("\n"):
        if line.startswith("&gt;"):
            yield f"{where}: a line is a quotation"
        if line.count("`") % 2:
            yield f"{where}: a code span is open"
        words = re.sub(r"`[^`]+`", "x", line)
        for mark in "*_~":
            opens = re.findall(rf"(?:(?<=\W)|^){re.escape(mark)}(?=[^\s{re.escape(mark)}])", words)
            closes = re.findall(rf"(?<=[^\s{re.escape(mark)}]){re.escape(mark)}(?=\W|$)", words)
            if len(opens) != len(closes):
                yield f"{where}: {mark} does not close"
