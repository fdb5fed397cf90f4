"""Which planted incidents were found, how fast, and what was raised without cause. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase

from monitors.demo.incidents import PlantedIncident, Signal
from monitors.report.overview import Planted
from sql.window import Grain

# A change is still being found, and its end is still being felt, this long after its last day.
_AFTER = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class FoundIncident:
    """An incident as the store has it.

    Args:
        opened: the first day of the window in which it opened.
        told: the last day of that window; people hear of it after midnight.
    """

    rule: str
    metric: str
    labels: Mapping[str, str]
    grain: Grain
    opened: date
    told: date


@dataclass(frozen=True, slots=True)
class Line:
    """One planted incident.

    Args:
        rule: the rule that found it first; None where it was missed.
        delay_days: whole days from its first day to the end of the window that told of it.
        late: was it found only after the day by which it had to be?
        incidents: how many incidents it explains.
    """

    planted: PlantedIncident
    rule: str | None
    delay_days: int | None
    late: bool
    incidents: int


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The outcome: a line a planted incident, and the incidents that nothing planted explains."""

    lines: tuple[Line, ...]
    false: tuple[FoundIncident, ...]

    def told(self) -> list[Planted]:
        """The lines as the report shows them."""
        return [
            Planted(
                line.planted.title,
                line.planted.what,
                line.planted.first,
                line.planted.last,
                line.rule or "",
                _after(line),
            )
            for line in self.lines
        ]


def score(plan: Sequence[PlantedIncident], incidents: Sequence[FoundIncident]) -> Scorecard:
    """Match incidents to what was planted; one incident may be explained by several changes."""
    lines = []
    explained: set[int] = set()
    for planted in plan:
        near = [(n, one) for n, one in enumerate(incidents) if _in_time(planted, one)]
        hits = [one for _, one in near if _fits_any(planted.expects, one)]
        mine = [n for n, one in near if _fits_any((*planted.expects, *planted.also), one)]
        explained.update(mine)
        first = min(hits, key=lambda one: (one.told, one.rule), default=None)
        lines.append(
            Line(
                planted,
                first.rule if first else None,
                (first.told - planted.first).days if first else None,
                bool(first and first.told > planted.due),
                len(mine),
            )
        )
    false = tuple(one for n, one in enumerate(incidents) if n not in explained)
    return Scorecard(tuple(lines), false)


def _after(line: Line) -> str:
    if line.delay_days is None:
        return ""
    days = f"{line.delay_days} day{'s' if line.delay_days > 1 else ''}"
    return ("the same day" if line.delay_days == 0 else days) + (", late" if line.late else "")


def _in_time(planted: PlantedIncident, one: FoundIncident) -> bool:
    return planted.first <= one.told and one.opened <= planted.last + _AFTER


def _fits_any(signals: Sequence[Signal], one: FoundIncident) -> bool:
    return any(
        fnmatchcase(one.metric, signal.metric)
        and one.grain == signal.grain
        and all(fnmatchcase(one.labels.get(k, ""), v) for k, v in signal.labels.items())
        for signal in signals
    )
