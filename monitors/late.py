"""Days whose rows came in after they were measured: which of them are worth measuring again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from monitors.context import Context
from sql.tables import coverage
from sql.window import Window

# So many days before a window are looked at.
LATE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Late:
    """A day that was covered with ``measured`` rows and has ``rows`` now, which are more."""

    window: Window
    measured: int
    rows: int

    @property
    def share(self) -> float:
        return 1 - self.measured / self.rows


def late_days(job: str, window: Window, context: Context) -> list[Late]:
    """Covered days of the week before ``window`` of which more than ``[source] late_tolerance``
    came in later; the worst first, of equals the oldest."""
    days = {day.start: day for day in (window.shift(-back) for back in range(LATE_DAYS, 0, -1))}
    table = coverage.c
    covered = context.store.rows(
        select(table.window_start, table.rows)
        .where(
            table.job == job,
            table.grain == window.grain.value,
            table.window_start.in_(list(days)),
        )
        .order_by(table.window_start)
    )
    found = []
    for row in covered:
        rows = context.source.count(days[row.window_start])
        if rows > row.rows:
            found.append(Late(days[row.window_start], row.rows, rows))
    tolerance = context.settings.source.late_tolerance
    return sorted((one for one in found if one.share > tolerance), key=lambda one: -one.share)
