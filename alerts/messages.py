"""From an intent's facts to words: plain text and Slack blocks, within every limit. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sql.words import between, number

Facts = Mapping[str, Any]

_HEADER, _SECTION, _FIELD, _TEXT = 150, 3000, 2000, 3000
_EMOJI = {"critical": ":red_circle:", "warning": ":large_orange_circle:"}
_DONE = ":white_check_mark:"
_TOLD = {
    "resolved": "Resolved",
    "reopened": "It is back",
    "severity_up": "Now critical",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel posts: ``text`` for notifications and plain sinks, ``blocks`` for Slack."""

    text: str
    blocks: list[dict[str, Any]]


def render(kind: str, facts: Facts) -> Message:
    """The message of an intent.

    Args:
        kind: ``root``, ``thread``, ``digest`` or ``review``.
    """
    if kind == "review":
        return _review(facts)
    if kind == "digest":
        return _digest(facts)
    if kind == "thread":
        return _thread(facts)
    return _root(facts)


def _root(facts: Facts) -> Message:
    emoji = _EMOJI[facts["severity"]]
    title = _title(facts)
    fields = [
        _pair("Value", _value(facts)),
        _pair("Baseline", number(facts["baseline"], facts["unit"])),
        _pair("Threshold", number(facts["threshold"], facts["unit"])),
        _pair("Rows", f"{facts['n']:,}"),
        _pair("Window", f"{facts['window']} ({facts['window_start'][:16]}Z)"),
        _pair("Since", f"{facts['since']}, {facts['windows']} window(s)"),
    ]
    lines = [f"`{facts['metric']}` {_labels(facts)}".strip()]
    if facts.get("also"):
        lines.append("*Moved with it:*")
        lines += [f"• {_one_line(other)}" for other in facts["also"]]
        hidden = facts.get("also_total", 0) - len(facts["also"])
        if hidden > 0:
            lines.append(f"… and {hidden} more")
    if facts.get("beside"):
        lines.append("*Also open:*")
        lines += [
            "• " + escape(f"{one['rule']} {one['labels']}".strip() + f", since {one['since']}")
            for one in facts["beside"]
        ]
    if facts.get("first_step"):
        lines.append(f"*First step:* {escape(facts['first_step'])}")
    context = f"tidegauge ack {facts['incident']} --by you · rule {facts['rule']}"
    if facts.get("owner"):
        context += f" · owner {facts['owner']}"
    if facts.get("runbook"):
        context += f" · runbook {facts['runbook']}"
    blocks = [
        _header(f"{emoji} {escape(title)}"),
        {"type": "section", "fields": fields},
        _section("\n".join(lines)),
        _context(context),
    ]
    text = f"{facts['severity'].upper()}: {title}: {_value(facts)}, baseline " + number(
        facts["baseline"], facts["unit"]
    )
    return Message(_cut(escape(f"{text} [{facts['window']}, {facts['incident']}]"), _TEXT), blocks)


def _acknowledged(facts: Facts) -> Message:
    line = f"{facts['by']} looks after it" + (f": {facts['comment']}" if facts["comment"] else "")
    text = f"{_title(facts)}: {line} [{facts['incident']}]"
    return Message(_cut(escape(text), _TEXT), [_section(f":eyes: {escape(line)}")])


def _thread(facts: Facts) -> Message:
    if facts["transition"] == "acknowledged":
        return _acknowledged(facts)
    told = _TOLD[facts["transition"]]
    mark = _DONE if facts["transition"] == "resolved" else _EMOJI[facts["severity"]]
    story = f"after {facts['windows']} window(s) since {facts['since']}"
    worst = f", worst {number(facts['worst'], facts['unit'])}"
    line = f"{told} in {facts['window']} {story}{worst}; now {_value(facts)}"
    text = f"{_title(facts)}: {line} [{facts['incident']}]"
    return Message(_cut(escape(text), _TEXT), [_section(f"{mark} {escape(line)}")])


def _digest(facts: Facts) -> Message:
    total = facts["total"]
    title = f"{total} new incidents in {facts['window']}"
    lines = [f"• {_one_line(one)}" for one in facts["incidents"]]
    hidden = total - len(lines)
    if hidden > 0:
        lines.append(f"… and {hidden} more")
    worst = (
        "critical" if any(o["severity"] == "critical" for o in facts["incidents"]) else "warning"
    )
    blocks = [_header(f"{_EMOJI[worst]} {title}"), _section("\n".join(lines))]
    return Message(_cut(escape(title), _TEXT), blocks)


def _review(facts: Facts) -> Message:
    given = f"{facts['given']} of {facts['assigned']} ratings"
    told = {
        "queued": f"{facts['items']} answers wait for review, due {facts['due']}",
        "half": f"half done: {given}, due {facts['due']}",
        "due": f"due {facts['due']}: {given} are in",
        "overdue": f"was due {facts['due']}: {given} are in",
        "closed": f"closed: all {facts['assigned']} ratings of {facts['items']} answers are in",
    }[facts["stage"]]
    title = f"Review {facts['batch']} {told}"
    lines = [escape(title)]
    for one in facts["people"]:
        who = f"<@{one['mention']}>" if one["mention"] else escape(one["name"])
        lines.append(f"• {who}: {one['open']} to go")
    if facts["url"]:
        lines.append(f"<{escape(facts['url'])}|Rate>")
    return Message(_cut(escape(title), _TEXT), [_section("\n".join(lines))])


def _title(facts: Facts) -> str:
    feature = facts["labels"].get("feature")
    return f"{facts['title']}" + (f" ({feature})" if feature else "")


def _one_line(facts: Facts) -> str:
    emoji = _EMOJI[facts["severity"]]
    return f"{emoji} {escape(_title(facts))}: {escape(_value(facts))} {_labels(facts)}".strip()


def _labels(facts: Facts) -> str:
    return " ".join(f"`{escape(f'{k}={v}')}`" for k, v in facts["labels"].items())


def _value(facts: Facts) -> str:
    unit = facts["unit"]
    interval = between(facts["low"], facts["high"], unit)
    return number(facts["value"], unit) + (f" ({interval})" if interval else "")


def escape(text: str) -> str:
    """Untrusted words made harmless in Slack's markup: no mention, link, format or hidden mark."""
    kept = []
    for char in str(text):
        category = unicodedata.category(char)
        if char in "\r\n\t":
            kept.append(" ")
        elif category not in ("Cc", "Cf", "Cs", "Co"):
            kept.append(char)
    clean = " ".join("".join(kept).split()).replace("`", "'")
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` UTF-16 units, which is how Slack counts."""
    if _units(text) <= limit:
        return text
    kept, used = [], 0
    for char in text:
        used += _units(char)
        if used > limit - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _header(text: str) -> dict[str, Any]:
    plain = _cut(" ".join(text.split()), _HEADER)
    return {"type": "header", "text": {"type": "plain_text", "text": plain, "emoji": True}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SECTION)}}


def _pair(name: str, text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(f"*{name}*\n{escape(text)}", _FIELD)}


def _context(text: str) -> dict[str, Any]:
    return {
        "type": "context",
        "elements": [{"type": "mrkdwn", "text": _cut(escape(text), _FIELD)}],
    }
