"""A day of the log counted in one statement: rows, and how many of them lack each column."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import case, func, select

from monitors.context import Context
from monitors.kept import Kept
from monitors.logs.interaction import ATTRIBUTES
from sql.window import Window

_KEPT = Kept("intake", "profile")


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
    if stored(window, window, context).get(window.start) != found:
        _KEPT.write(window, {"rows": found.rows, "nulls": counts}, context)
    return found


def stored(first: Window, last: Window, context: Context) -> dict[datetime, Profile]:
    """Profiles of the days (``last`` is one of them) that were counted before, by their start."""
    return {
        start: Profile(body["rows"], body["nulls"])
        for start, body in _KEPT.bodies(first, last, context).items()
    }
