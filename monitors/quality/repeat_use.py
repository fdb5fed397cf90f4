"""Do users come back? Counted where the log is: no user's id leaves the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import ColumnElement, func, select

from monitors.context import Context
from monitors.quality.operated import OperatedDay, rate
from monitors.quality.traffic import served
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

_METRIC = "operations.repeat_use"
_DAYS = 7


def repeat_use(day: OperatedDay) -> Iterator[Measurement]:
    """``operations.repeat_use``: share of the day's users whom the seven days before saw, too.

    Of all rows that users were served, whoever has an id. Users, not rows, are counted, and one
    user's return says nothing of another's, hence Wilson's interval. A day whose seven days before
    the log does not hold whole has no share: everybody would look new.
    """
    window, context = day.window, day.context
    if "user_id" not in context.source.attributes:
        return
    about = day.about(_METRIC, {}, "ratio")
    first = context.source.first_instant()
    if first is None or Window.containing(first, Grain.DAY, window.zone) > window.shift(-_DAYS):
        yield Measurement(**about, n=0, status=Status.NO_DATA, reason="too_early")
        return
    users, again = _count(window, context)
    if users:
        yield rate(day, _METRIC, {}, again, users, more_is_worse=False)
    else:
        yield Measurement(**about, n=0, status=Status.NO_DATA, reason="no_user_id")


def _count(window: Window, context: Context) -> tuple[int, int]:
    """Users of the day, and how many of them were there in the seven days before."""
    source = context.source
    user: ColumnElement[str] = source.column("user_id")
    told = [user.is_not(None), user != "", *served(context)]
    before = replace(window, start=window.shift(-_DAYS).start, end=window.start)
    today = [*source.within(window), *told]
    # A semi-join: the week's users are never gathered, only looked up among the day's.
    users = select(func.count(user.distinct())).where(*today)
    again = select(func.count(user.distinct())).where(
        *source.within(before), *told, user.in_(select(user).where(*today))
    )
    found = source.rows(select(users.scalar_subquery(), again.scalar_subquery()))[0]
    return int(found[0]), int(found[1])
