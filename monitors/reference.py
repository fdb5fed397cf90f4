"""The healthy past that the present is compared with, fixed once so that drift cannot move it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, select

from monitors.context import Context
from sql.tables import reference as reference_table
from sql.window import Grain, Window

_NAME = "default"


def reference_days(context: Context) -> list[Window]:
    """The calendar days of the reference period, in order; empty while the log is empty.

    Taken from ``[reference]``; without a start date, the first full days of the log. What was
    taken is written down at first use and stands from then on: retention at the source must not
    shift it.
    """
    zone = context.settings.timezone
    wanted = context.settings.reference
    table = reference_table.c
    row = next(iter(context.store.rows(select(reference_table).where(table.name == _NAME))), None)
    if row is not None and (wanted.start is None or _first_day(row, zone) == wanted.start):
        return list(
            Window.between(
                _first_day(row, zone),
                (row.window_end - timedelta(seconds=1)).astimezone(row.window_start.tzinfo).date(),
                Grain.DAY,
                zone,
            )
        )
    if wanted.start is not None:
        first = Window.of(wanted.start, Grain.DAY, zone)
    else:
        earliest = context.source.first_instant()
        if earliest is None:
            return []
        first = Window.containing(earliest, Grain.DAY, zone)
    days = [first.shift(count) for count in range(wanted.days)]
    record = {
        "name": _NAME,
        "window_start": days[0].start,
        "window_end": days[-1].end,
        "rows": 0,
        "pinned_at": context.clock(),
        "pinned_by": "auto" if wanted.start is None else "configuration",
        "reason": "first days of the log" if wanted.start is None else "[reference] start",
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, reference_table, [record])
    return days


def is_reference(window: Window, context: Context) -> bool:
    """Does the window touch the reference period? Then it is not compared with it."""
    days = reference_days(context)
    return not days or window.start < days[-1].end


def _first_day(row: Row[Any], zone: str) -> date:
    return Window.containing(row.window_start, Grain.DAY, zone).first_day
