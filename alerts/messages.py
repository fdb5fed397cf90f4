"""From an intent's facts to words: plain text and Slack blocks, within every limit. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.markup import code, escape, lines_within, link
from sql.words import between, number

Facts = Mapping[str, Any]

ACKNOWLEDGE, SILENCE = "tidegauge_acknowledge", "tidegauge_silence"
FALSE_ALARM = "tidegauge_false_alarm"
# In units; a whole message stays below the ten thousand at which Slack begins to refuse.
_HEADER, _TITLE, _BODY, _TEXT = 150, 110, 2400, 1000
_WORD, _LABELS, _STEP = 80, 8, 600
# As letters, not as codes: a header need not read codes then, and no text can hold one.
_MARK = {"critical": "🔴", "warning": "🟠"}
_DONE, _SEEN = "✅", "👀"
_CALLED = re.compile(r"[USW][A-Z0-9]{2,20}")
_REPEAT = "Perhaps a repeat: nothing answered when this was sent before."
_TOLD = {
    "resolved": "Resolved",
    "reopened": "It is back",
    "severity_up": "Now critical",
    "withdrawn": "Withdrawn: its windows were measured again and do not show it,",
    "unsilenced": "A silence has ended and this goes on,",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel posts.

    Args:
        text: for notifications and plain sinks.
        blocks: for Slack.
        kind, facts: what was rendered, for destinations that want data and not words.
        picture: a PNG to be shown instead of words.
    """

    text: str
    blocks: list[dict[str, Any]]
    kind: str = ""
    facts: Facts = field(default_factory=dict)
    picture: bytes = b""


def render(kind: str, facts: Facts) -> Message:
    """The message of an intent.

    Args:
        kind: ``root``, ``update`` (a root that says how it stands), ``thread``, ``digest``,
            ``escalation``, ``repeat``, ``alive`` or ``review``.
    """
    text, blocks = _KINDS[kind](facts)
    return Message(text, blocks, kind, facts)


def as_message(text: str) -> Message:
    """One paragraph of our own words."""
    return Message(escape(text, _TEXT), [_section([escape(text, _TEXT)])])


def as_repeat(message: Message) -> Message:
    """The message, saying of itself that it may have been said before."""
    blocks = [*message.blocks, _context(_REPEAT)] if message.blocks else []
    return replace(message, text=f"{message.text} ({_REPEAT})", blocks=blocks)


_Parts = tuple[str, list[dict[str, Any]]]


def _root(facts: Facts) -> _Parts:
    title = _title(facts)
    fields = [
        _pair("Value", _value(facts)),
        _pair("Baseline", number(facts["baseline"], facts["unit"])),
        _pair("Threshold", number(facts["threshold"], facts["unit"])),
        _pair("Rows", f"{facts['n']:,}"),
        _pair("Window", f"{facts['window']}, from {_instants(facts)}"),
        _pair("Since", f"{facts['since']}, {_windows(facts)}"),
        *_previous(facts),
    ]
    lines = [
        *_called(facts),
        *_standing(facts),
        f"{code(facts['metric'])} {_labels(facts)}".strip(),
    ]
    if facts.get("cause"):
        lines.append(f"*Likely cause:* {escape(facts['cause'], _STEP)}")
    if parts := facts.get("parts"):
        took = (f"{code(name, _WORD)} {number(value, 'ratio')}" for name, value in parts)
        lines.append(f"*Of the change:* {', '.join(took)}")
    if facts.get("first_step"):
        lines.append(f"*First step:* {escape(facts['first_step'], _STEP)}")
    if facts.get("updates"):
        lines.append(_waited(facts))
    over = "standing" in facts and not facts["standing"]["open"]
    blocks = [
        _header(f"{_DONE if over else _MARK[facts['severity']]} {title}"),
        {"type": "section", "fields": fields},
        _section(lines),
    ]
    if also := [f"• {_one_line(other)}" for other in facts.get("also", ())]:
        blocks.append(_section(["*Moved with it:*", *also], facts["also_total"] - len(also)))
    if beside := [f"• {_beside(one)}" for one in facts.get("beside", ())]:
        blocks.append(_section(["*Also open:*", *beside]))
    blocks.append(_context(_footer(facts)))
    if facts.get("buttons") and not over:
        blocks.append(_buttons(facts))
    told = "OVER" if over else facts["severity"].upper()
    baseline = escape(number(facts["baseline"], facts["unit"]))
    told += f": {escape(title, _TITLE)}: {escape(_value(facts))}, baseline {baseline}"
    return f"{told} {_mark_of(facts)}", blocks


def _previous(facts: Facts) -> list[dict[str, Any]]:
    known = facts.get("before") or {"times": 0}
    if not known["times"]:
        return []
    often = "once" if known["times"] == 1 else f"{known['times']} times"
    return [_pair("Before", f"{often}, last until {known['last']}")]


def _standing(facts: Facts) -> list[str]:
    """In an edited root: what goes on, and who looks after it."""
    if "standing" not in facts:
        return []
    left, total, by = (facts["standing"][name] for name in ("open", "total", "by"))
    now = f"{left} of {total} go on" if total > 1 else "it goes on"
    lines = [f"*Now:* {now if left else 'it is over'}"]
    return [*lines, f"{_SEEN} Looked after by {escape(by, _WORD)}"] if by else lines


def _beside(one: Mapping[str, str]) -> str:
    what = f"{escape(one['rule'], _WORD)} {escape(one['labels'], 2 * _WORD)}".rstrip()
    return f"{what}, since {escape(one['since'], _WORD)}"


def _footer(facts: Facts) -> str:
    parts = [
        code(f"tidegauge ack {facts['incident']} --by you"),
        f"rule {code(facts['rule'])}",
    ]
    if facts.get("owner"):
        parts.append(f"owner {escape(facts['owner'], _WORD)}")
    if facts.get("runbook"):
        parts.append(link(facts["runbook"], "runbook"))
    if facts.get("page"):
        parts.append(
            link(page_of(facts["page"], facts["incident"]), "evidence, acknowledge, silence")
        )
    return " · ".join(parts)


def page_of(incidents: str, incident: str) -> str:
    """The address of an incident's own page, below that of all incidents."""
    return f"{incidents.rstrip('/')}/{incident}"


def _buttons(facts: Facts) -> dict[str, Any]:
    """Only where somebody listens for them: see `alerts.listening`."""
    subject = f"{facts['fingerprint']}:{facts['generation']}"
    buttons = [
        {"type": "button", "action_id": action, "value": subject, "text": _plain_text(name)}
        for action, name in (
            (ACKNOWLEDGE, "I look after it"),
            (SILENCE, "Silence for 4 h"),
            (FALSE_ALARM, "False alarm"),
        )
    ]
    return {"type": "actions", "elements": buttons}


def _thread(facts: Facts) -> _Parts:
    if facts["transition"] == "acknowledged":
        comment = f": {escape(facts['comment'], _STEP)}" if facts["comment"] else ""
        what = f"says: {facts['verdict']}" if facts.get("verdict") else "looks after it"
        line, mark = f"{escape(facts['by'], _WORD)} {what}{comment}", _SEEN
    else:
        over = facts["transition"] in ("resolved", "withdrawn")
        mark = _DONE if over else _MARK[facts["severity"]]
        worst = number(facts["worst"], facts["unit"])
        line = escape(
            f"{_TOLD[facts['transition']]} in {facts['window']} after {_windows(facts)} "
            f"since {facts['since']}, worst {worst}; now {_value(facts)}"
        )
    text = f"{mark} {escape(_title(facts), _TITLE)}: {line} {_mark_of(facts)}"
    others = facts.get("also_total", 0)
    if not others:
        blocks = [_section([f"{mark} {line}"])]
    else:
        text += f" and {others} more"
        also = [f"• {_one_line(other)}" for other in facts["also"]]
        blocks = [
            _section([f"{mark} {escape(_title(facts), _TITLE)}: {line}"]),
            _section(["*So did:*", *also], others - len(also)),
        ]
    if facts.get("updates"):
        blocks.append(_context(_waited(facts)))
    return text, blocks


def _digest(facts: Facts) -> _Parts:
    total, over = facts["total"], facts.get("over_total", 0)
    title = f"{total} new incidents in {facts['window']}"
    if facts.get("waited"):
        title = f"While nothing could be sent: {total} incidents go on, {over} are over"
    if facts.get("silenced"):
        title += f", {facts['silenced']} of them silenced"
    grave = any(one["severity"] == "critical" for one in facts["incidents"])
    blocks = [_header(f"{_MARK['critical' if grave else 'warning']} {title}")]
    if lines := [f"• {_one_line(one)}" for one in facts["incidents"]]:
        blocks.append(_section([*_called(facts), *lines], total - len(lines)))
    if lines := [f"• {_one_line(one)}" for one in facts.get("over", ())]:
        blocks.append(_section(["*Began and ended meanwhile:*", *lines], over - len(lines)))
    if facts.get("waited"):
        blocks.append(_context(_waited(facts)))
    return escape(title, _TEXT), blocks


def _escalation(facts: Facts) -> _Parts:
    return _unattended(facts, f"Nobody has looked after this for {facts['minutes']} minutes.")


def _repeat(facts: Facts) -> _Parts:
    return _unattended(facts, f"Still open, and nobody's, after {facts['minutes'] // 60} hours.")


def _unattended(facts: Facts, line: str) -> _Parts:
    first, *_ = facts["incidents"]
    ack = code(f"tidegauge ack {first['incident']} --by you")
    lines = [
        *_called(facts),
        f"{line} {ack}",
        *(f"• {_one_line(one)}" for one in facts["incidents"]),
    ]
    text = f"{line} {escape(_title(first), _TITLE)} {_mark_of(first)}"
    return text, [_section(lines, facts["total"] - len(facts["incidents"]))]


def _alive(facts: Facts) -> _Parts:
    """The week's sign of life; what is not as it should be stands in it as loudly as the rest."""
    title = f"Tidegauge in {facts['week']}: {facts['windows']} windows measured"
    if facts["failed"]:
        title += f", {facts['failed']} failed"
    lines = [
        f"{facts['sampled']:,} answers sampled, {facts['usd']:.2f} US dollars spent on models",
        f"{facts['opened']} incidents began, {facts['open']} are open"
        + (f"; {facts['untold']} were over before they could be told" if facts["untold"] else ""),
    ]
    if facts.get("late"):
        lines.append(f"{facts['late']} late findings: older trouble that a backfill showed")
    if facts["silences"]:
        lines.append(f"{facts['silences']} silences go on and hold {facts['held']} messages")
    if facts["waiting"] or facts["dead"]:
        lines.append(f"{facts['waiting']} messages wait, {facts['dead']} were given up")
    text = f"{title}; {facts['open']} incidents are open"
    return text, [_section([f"*{title}*", *lines])]


def _called(facts: Facts) -> list[str]:
    called = _mention(str(facts.get("mention", "")))
    return [called] if called else []


def _mention(who: str) -> str:
    """A user, or a user group. Configured, and yet looked at: a mention calls people."""
    if not _CALLED.fullmatch(who):
        return ""
    return f"<!subteam^{who}>" if who.startswith("S") else f"<@{who}>"


def _waited(facts: Facts) -> str:
    updates = facts.get("updates", 0)
    what = f"{updates} updates" if updates else "This"
    return escape(f"{what} waited while nothing could be sent, {facts['waited']}")


def _review(facts: Facts) -> _Parts:
    given = f"{facts['given']} of {facts['assigned']} ratings"
    told = {
        "queued": f"{facts['items']} answers wait for review, due {facts['due']}",
        "half": f"half done: {given}, due {facts['due']}",
        "due": f"due {facts['due']}: {given} are in",
        "overdue": f"was due {facts['due']}: {given} are in",
        "closed": f"closed: all {facts['assigned']} ratings of {facts['items']} answers are in",
    }[facts["stage"]]
    title = escape(f"Review {facts['batch']} {told}", _TEXT)
    lines = [title]
    if facts["url"]:
        lines.append(link(facts["url"], "Rate"))
    for one in facts["people"]:
        who = _mention(str(one["mention"] or "")) or escape(one["name"], _WORD)
        lines.append(f"• {who}: {one['open']} to go")
    return title, [_section(lines)]


_KINDS = {
    "root": _root,
    "update": _root,
    "thread": _thread,
    "digest": _digest,
    "review": _review,
    "escalation": _escalation,
    "repeat": _repeat,
    "alive": _alive,
}


def _title(facts: Facts) -> str:
    feature = facts["labels"].get("feature")
    return f"{facts['title']}" + (f" ({feature})" if feature else "")


def _mark_of(facts: Facts) -> str:
    return f"[{escape(facts['window'], _WORD)}, {escape(facts['incident'], _WORD)}]"


def _one_line(facts: Facts) -> str:
    title = f"{_MARK[facts['severity']]} {escape(_title(facts), _WORD)}"
    return f"{title}: {escape(_value(facts))} {_labels(facts, 4)}".strip()


def _labels(facts: Facts, most: int = _LABELS) -> str:
    spans = [code(f"{key}={value}", _WORD) for key, value in facts["labels"].items()]
    more = f" (+{len(spans) - most})" if len(spans) > most else ""
    return " ".join(spans[:most]) + more


def _instant(text: str) -> str:
    return text[:16].replace("T", " ") + " UTC"


def _instants(facts: Facts) -> str:
    """A window's first instant, in UTC and by the clock that it was cut by."""
    utc, zone = facts["window_start"], facts.get("zone", "UTC")
    if zone == "UTC":
        return _instant(utc)
    here = datetime.fromisoformat(utc).astimezone(ZoneInfo(zone))
    return f"{_instant(utc)}, {here:%Y-%m-%d %H:%M} {zone}"


def _windows(facts: Facts) -> str:
    return f"{facts['windows']} window" + ("" if facts["windows"] == 1 else "s")


def _value(facts: Facts) -> str:
    unit = facts["unit"]
    interval = between(facts["low"], facts["high"], unit)
    return number(facts["value"], unit) + (f" ({interval})" if interval else "")


def _plain_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": _plain_text(escape(text, _HEADER))}


def _words(text: str) -> dict[str, Any]:
    # Verbatim: of what looks like an address or a channel Slack makes no link.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _section(lines: Sequence[str], beyond: int = 0) -> dict[str, Any]:
    return {"type": "section", "text": _words(lines_within(lines, _BODY, beyond))}


def _pair(name: str, text: str) -> dict[str, Any]:
    return _words(f"*{name}*\n{escape(text, 200)}")


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_words(text)]}
