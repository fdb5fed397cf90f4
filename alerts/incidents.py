"""Verdicts of one series, in the order of their windows, folded into incidents. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from alerts.rules import Rule, Verdict
from sql.types import canonical_json


class State(StrEnum):
    OPEN = "open"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Seen:
    """One window's verdict: when it began, what it said, how bad, and the value."""

    window_start: datetime
    verdict: Verdict
    severity: str = "warning"
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A change people should hear of: opened, reopened, severity_up or resolved."""

    kind: str
    generation: int
    sequence: int
    window_start: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """What the fold knows of one generation of one series' trouble."""

    generation: int
    state: State
    severity: str
    opened: datetime
    last: datetime
    windows: int
    worst: float | None
    value: float | None
    resolved: datetime | None = None


@dataclass(slots=True)
class Folded:
    """The outcome of `fold`."""

    incidents: list[Incident] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)


def fingerprint(rule: Rule, labels: Mapping[str, str]) -> str:
    """The identity of a series' trouble: never its value, threshold, severity, window or text."""
    identity = {
        "rule": rule.name,
        "metric": rule.metric,
        "direction": rule.direction,
        "labels": dict(labels),
    }
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def fold(rule: Rule, seen: Iterable[Seen], *, reopen_windows: int = 3) -> Folded:
    """Walk the windows in order.

    Opening takes ``rule.breaches_to_open`` breaches in a row, resolving ``rule.clear_after`` clear
    windows in a row; windows that say nothing (no data, an error, inconclusive) neither open nor
    close, and do not break a row. A breach within ``reopen_windows`` windows of a resolve reopens
    the same generation; a later one is a new generation.
    """
    folded = Folded()
    current: Incident | None = None
    breaches = clears = since_resolve = sequence = 0
    for window in sorted(seen, key=lambda entry: entry.window_start):
        active = current is not None and current.state is not State.RESOLVED
        if current is not None and not active:
            since_resolve += 1
        if window.verdict is Verdict.BREACH:
            clears, breaches = 0, breaches + 1
            if current is not None and active:
                current, rose = _continued(current, window, rule)
                if rose:
                    sequence = _tell(folded, "severity_up", current, sequence, window)
            elif breaches >= rule.breaches_to_open:
                if current is not None and since_resolve <= reopen_windows:
                    again = replace(current, state=State.OPEN, resolved=None)
                    current, _ = _continued(again, window, rule)
                    sequence = _tell(folded, "reopened", current, sequence, window)
                else:
                    if current is not None:
                        folded.incidents.append(current)
                    current = _opened(current, window, breaches)
                    sequence = _tell(folded, "opened", current, 0, window)
        elif window.verdict is Verdict.CLEAR:
            breaches = 0
            if current is not None and active:
                clears += 1
                current = replace(
                    current, state=State.RECOVERING, last=window.window_start, value=window.value
                )
                if clears >= rule.clear_after:
                    current = replace(current, state=State.RESOLVED, resolved=window.window_start)
                    since_resolve = clears = 0
                    sequence = _tell(folded, "resolved", current, sequence, window)
    if current is not None:
        folded.incidents.append(current)
    return folded


def _opened(previous: Incident | None, window: Seen, breaches: int) -> Incident:
    return Incident(
        generation=1 if previous is None else previous.generation + 1,
        state=State.OPEN,
        severity=window.severity,
        opened=window.window_start,
        last=window.window_start,
        windows=breaches,
        worst=window.value,
        value=window.value,
    )


def _continued(current: Incident, window: Seen, rule: Rule) -> tuple[Incident, bool]:
    rose = current.severity == "warning" and window.severity == "critical"
    longer = replace(
        current,
        state=State.OPEN,
        severity="critical" if rose else current.severity,
        last=window.window_start,
        windows=current.windows + 1,
        worst=_worse(rule.direction, current.worst, window.value),
        value=window.value,
    )
    return longer, rose


def _worse(direction: str, old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return new if old is None else old
    if direction == "below":
        return min(old, new)
    return max(old, new)


def _tell(folded: Folded, kind: str, incident: Incident, sequence: int, window: Seen) -> int:
    transition = Transition(kind, incident.generation, sequence, window.window_start)
    folded.transitions.append(transition)
    return sequence + 1
