"""A day of the log counted in one statement: rows, and how many of them lack each column."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import case, func, select

from monitors.context import Context
from monitors.logs.interaction import ATTRIBUTES
from sql.tables import partial_result
from sql.window import Grain, Window


class Profile(NamedTuple):
    """Rows of a day, and how many of them lack each column."""

    rows: int
    nulls: Mapping[str, int]


def profile(window: Window, context: Context) -> Profile:
    """Count a day's rows and its missing values in one statement, and keep the counts."""
    source = context.source
    names = [name for name in ATTRIBUTES if name in source.attributes and name not in ("id", "at")]
    missing = [func.sum(case((source.column(name).is_(None), 1), else_=0)) for name in names]
    query = select(func.count(), *missing).where(*source.within(window))
    row = source.rows(query)[0]
    counts = {name: int(count or 0) for name, count in zip(names, row[1:], strict=True)}
    found = Profile(int(row[0]), counts)
    _keep(window, found, context)
    return found


def _keep(window: Window, found: Profile, context: Context) -> None:
    if stored(window.start, window.end, context).get(window.start) == found:
        return
    row = {
        "job": "intake",
        "grain": window.grain.value,
        "window_start": window.start,
        "step": "profile",
        "shard": 0,
        "body": {"rows": found.rows, "nulls": dict(found.nulls)},
        "finished_at": context.clock(),
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, partial_result, [row])


def stored(start: datetime, end: datetime, context: Context) -> dict[datetime, Profile]:
    """Profiles of the days that were counted before, by their start."""
    table = partial_result.c
    query = select(table.window_start, table.body).where(
        table.job == "intake",
        table.grain == Grain.DAY.value,
        table.window_start >= start,
        table.window_start < end,
        table.step == "profile",
    )
    return {
        row.window_start: Profile(row.body["rows"], row.body["nulls"])
        for row in context.store.rows(query)
    }
