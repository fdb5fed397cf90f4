"""Verdicts of one series, in the order of their windows, folded into incidents. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from alerts.rules import Rule, Verdict
from sql.types import canonical_json


class State(StrEnum):
    OPEN = "open"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Seen:
    """One window's verdict: when it began, what it said, how bad, and the value.

    Args:
        ordinal: place in the calendar (`Window.ordinal`): a window that is missing counts, too.
    """

    window_start: datetime
    ordinal: int
    verdict: Verdict
    severity: str = "warning"
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """What the fold knows of one generation of one series' trouble.

    Args:
        opened: start of the window whose breach opened it.
        last: start of the last window that said something of it.
    """

    generation: int
    state: State
    severity: str
    opened: datetime
    last: datetime
    windows: int
    worst: float | None
    value: float | None
    resolved: datetime | None = None


def fingerprint(rule: Rule, labels: Mapping[str, str]) -> str:
    """The identity of a series' trouble: never its value, threshold, severity, window or text."""
    identity = {
        "rule": rule.identity,
        "metric": rule.metric,
        "direction": rule.direction,
        "labels": dict(labels),
    }
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def fold(rule: Rule, seen: Iterable[Seen], *, reopen_windows: int = 3) -> list[Incident]:
    """Walk the windows in order; the incidents, numbered from 1.

    Opening takes ``rule.breaches_to_open`` breaches in a row, resolving ``rule.clear_after`` clear
    windows in a row; windows that say nothing (no data, an error, inconclusive) neither open nor
    close, and do not break a row. A breach within ``reopen_windows`` windows of a resolve reopens
    the same generation; a later one is a new generation. A warning grows critical with one critical
    window, or after ``rule.critical_after`` breaches; only a resolve makes it less.
    """
    over: list[Incident] = []
    current: Incident | None = None
    breaches = clears = resolved_at = 0
    grave = False  # within the row of breaches
    for window in sorted(seen, key=lambda entry: entry.window_start):
        active = current is not None and current.state is not State.RESOLVED
        if window.verdict is Verdict.BREACH:
            grave = window.severity == "critical" or (grave and breaches > 0)
            clears, breaches = 0, breaches + 1
            if current is not None and active:
                current = _continued(current, window, rule)
            elif breaches >= rule.breaches_to_open:
                if current is not None and window.ordinal - resolved_at <= reopen_windows:
                    again = "critical" if grave else window.severity
                    back = replace(current, resolved=None, severity=again)
                    current = _continued(back, window, rule)
                else:
                    over += [] if current is None else [current]
                    current = _opened(current, window, breaches, _graver(rule, breaches, grave))
        elif window.verdict is Verdict.CLEAR:
            breaches = 0
            if current is not None and active:
                clears += 1
                current = replace(
                    current, state=State.RECOVERING, last=window.window_start, value=window.value
                )
                if clears >= rule.clear_after:
                    current = replace(current, state=State.RESOLVED, resolved=window.window_start)
                    resolved_at, clears = window.ordinal, 0
    return over if current is None else [*over, current]


def _graver(rule: Rule, breaches: int, grave: bool) -> bool:
    """Is it critical by one of its windows, or by how long it lasts?"""
    return grave or 0 < rule.critical_after <= breaches


def _opened(previous: Incident | None, window: Seen, breaches: int, grave: bool) -> Incident:
    return Incident(
        generation=1 if previous is None else previous.generation + 1,
        state=State.OPEN,
        severity="critical" if grave else window.severity,
        opened=window.window_start,
        last=window.window_start,
        windows=breaches,
        worst=window.value,
        value=window.value,
    )


def _continued(current: Incident, window: Seen, rule: Rule) -> Incident:
    grave = _graver(rule, current.windows + 1, window.severity == "critical")
    return replace(
        current,
        state=State.OPEN,
        severity="critical" if grave else current.severity,
        last=window.window_start,
        windows=current.windows + 1,
        worst=_worse(rule.direction, current.worst, window.value),
        value=window.value,
    )


def _worse(direction: str, old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return new if old is None else old
    if direction == "below":
        return min(old, new)
    return max(old, new)


# ── from one fold to the next ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Kept:
    """An incident as it was kept after an earlier fold, with what people were told of it.

    Args:
        told: ``""`` (nothing), ``open`` or ``resolved``.
        thread: subject of the message that told of it first; ``""`` before that.
        body: its last facts.
    """

    generation: int
    opened: datetime
    last: datetime
    told: str = ""
    told_severity: str = ""
    thread: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


def matched(
    incidents: Sequence[Incident], kept: Sequence[Kept], since: datetime
) -> tuple[list[tuple[Incident, Kept | None]], list[Kept]]:
    """Give each incident the generation that it was kept under.

    An incident is the one that it overlaps in time: a late window that opens it earlier, or an
    older one that is found after it, renames nothing that people were told of.

    Args:
        since: where the history that was folded begins; what was kept before it stays as it is.

    Returns:
        the incidents with what was kept of each, and what is kept and no longer so: a window
        that was measured again took its reason away, or two grew into one.
    """
    left = [one for one in kept if one.last >= since]
    pairs: list[tuple[Incident, Kept | None]] = []
    # The newest first: where one has become two, people know of the one that goes on.
    for incident in reversed(incidents):
        over = [one for one in left if one.opened <= incident.last and incident.opened <= one.last]
        same = max(over, key=lambda one: (one.told == "open", one.opened), default=None)
        if same is not None:
            left.remove(same)
            opened = same.opened if same.opened < since else incident.opened
            incident = replace(incident, generation=same.generation, opened=opened)
        pairs.append((incident, same))
    number = max((one.generation for one in kept), default=0)
    found: list[tuple[Incident, Kept | None]] = []
    for incident, same in reversed(pairs):
        number += same is None
        found.append((incident if same else replace(incident, generation=number), same))
    return found, left


def news(incident: Incident, kept: Kept | None) -> str:
    """What people have not been told yet: opened, reopened, severity_up, resolved or nothing.

    What began and ended before anybody was told was never news.
    """
    told, severity = ("", "") if kept is None else (kept.told, kept.told_severity)
    if incident.state is State.RESOLVED:
        return "resolved" if told == "open" else ""
    if incident.state is State.RECOVERING:
        return ""
    if told != "open":
        return "reopened" if told else "opened"
    return "severity_up" if severity == "warning" and incident.severity == "critical" else ""
