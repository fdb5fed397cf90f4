"""What the coverage page shows: for every job a calendar of its windows and its gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from monitors.versions import Version, versions
from sql.store import Store
from sql.tables import coverage as coverage_table
from sql.window import Grain, Window

MISSING = "missing"
_WINDOWS = 400
_CELL = 15


@dataclass(frozen=True, slots=True)
class Cell:
    """One window, placed: days by week and weekday, other grains in a row."""

    x: int
    y: int
    status: str
    title: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """One job.

    Args:
        counts: status → windows, the good first.
        marks: (x, text) of the first cell of each month, for grains of days and weeks.
    """

    job: str
    grain: Grain
    width: int
    height: int
    cells: tuple[Cell, ...]
    marks: tuple[tuple[int, str], ...]
    counts: tuple[tuple[str, int], ...]


def calendars(store: Store, zone: str) -> list[Calendar]:
    """A calendar for each job in the ledger, from its first window (at most 400) to its last."""
    rows: dict[tuple[str, Grain], list[Row[Any]]] = defaultdict(list)
    for row in store.rows(select(coverage_table).order_by(coverage_table.c.window_start)):
        rows[row.job, Grain(row.grain)].append(row)
    order = list(Grain)
    keys = sorted(rows, key=lambda key: (order.index(key[1]), key[0]))
    again = {job: {one.window_start: one for one in versions(store, job)} for job, _ in keys}
    return [_calendar(job, grain, rows[job, grain], again[job], zone) for job, grain in keys]


def _calendar(
    job: str,
    grain: Grain,
    rows: list[Row[Any]],
    again: Mapping[datetime, Version],
    zone: str,
) -> Calendar:
    done = {row.window_start: row for row in rows[-_WINDOWS:]}
    window = Window.containing(min(done), grain, zone)
    end = max(done)
    origin = Window.containing(window.start, Grain.WEEK, zone).first_day
    cells: list[Cell] = []
    marks: list[tuple[int, str]] = []
    while window.start <= end:
        day = window.first_day
        if grain is Grain.DAY:
            column, line = (day - origin).days // 7, day.weekday()
        else:
            column, line = len(cells), 0
        row = done.get(window.start)
        status = row.status if row else MISSING
        told = f"{row.rows:,} rows, {row.measurements} measurements" if row else "not run"
        if version := again.get(window.start):
            before, after = version.rows
            told += f"; version {version.number}: {before:,} → {after:,} rows, "
            told += f"{version.changed:,} measurements changed"
        title = f"{window}: {status.replace('_', ' ')}, {told}"
        cells.append(Cell(column * _CELL, 16 + line * _CELL, status, title))
        if grain in (Grain.DAY, Grain.WEEK) and day.day <= (1 if grain is Grain.DAY else 7):
            marks.append((column * _CELL, f"{day:%b}"))
        window = window.next()
    counts = Counter(cell.status for cell in cells)
    width = max(cell.x for cell in cells) + max(_CELL, 30)
    height = max(cell.y for cell in cells) + _CELL
    return Calendar(
        job, grain, width, height, tuple(cells), tuple(marks), tuple(counts.most_common())
    )
