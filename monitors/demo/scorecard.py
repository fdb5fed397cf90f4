"""Which planted incidents were found, how fast, and what was raised without cause. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase

from monitors.demo.incidents import Expectation, PlantedIncident

# A change is still being found, and its end is still being felt, this long after its last day.
_AFTER = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class FoundIncident:
    """An incident as the store has it; ``opened`` is the first day of its window."""

    rule: str
    metric: str
    labels: Mapping[str, str]
    opened: date
    window_days: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """One planted incident: found by which rule and after how many days, or missed."""

    planted: PlantedIncident
    rule: str | None
    delay_days: int | None
    incidents: int


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The outcome: a line a planted incident, and the incidents that nothing planted explains."""

    lines: tuple[Line, ...]
    false: tuple[FoundIncident, ...]


def score(plan: Sequence[PlantedIncident], incidents: Sequence[FoundIncident]) -> Scorecard:
    """Match incidents to what was planted; one incident may be explained by several changes."""
    lines = []
    explained: set[int] = set()
    for planted in plan:
        mine = [
            (number, one)
            for number, one in enumerate(incidents)
            if _in_time(planted, one) and any(_fits(e, one) for e in planted.expects)
        ]
        explained.update(number for number, _ in mine)
        first = min((one for _, one in mine), key=_told, default=None)
        delay = None if first is None else max(0, (_told(first) - planted.first).days)
        lines.append(Line(planted, first.rule if first else None, delay, len(mine)))
    false = tuple(one for number, one in enumerate(incidents) if number not in explained)
    return Scorecard(tuple(lines), false)


def _told(one: FoundIncident) -> date:
    """The last day of the window: it is told after midnight."""
    return one.opened + timedelta(days=one.window_days - 1)


def _in_time(planted: PlantedIncident, one: FoundIncident) -> bool:
    return planted.first <= _told(one) and one.opened <= planted.last + _AFTER


def _fits(expected: Expectation, one: FoundIncident) -> bool:
    return fnmatchcase(one.metric, expected.metric) and all(
        one.labels.get(key) == value for key, value in expected.labels.items()
    )
