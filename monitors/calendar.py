"""The order in which windows close: what a replay of the past has to run, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from monitors.jobs import JOBS, SCHEDULED
from sql.window import Grain, Window


@dataclass(frozen=True, slots=True)
class Due:
    """A job that falls due at the instant ``at``; relay and retention have no window."""

    job: str
    window: Window | None
    at: datetime


def due_between(first: date, last: date, zone: str = "UTC") -> Iterator[Due]:
    """All jobs whose windows end within the local days ``first`` to ``last``, as a scheduler would.

    Of windows that end together the shorter come first, so that a week reads finished days. The
    relay follows every day, retention every week.
    """
    windows = [
        (window.end, rank, job, window)
        for job in SCHEDULED
        if (grain := JOBS[job].grain) is not None
        for rank in [list(Grain).index(grain)]
        for window in Window.between(first, last, grain, zone)
    ]
    previous: datetime | None = None
    for end, _, job, window in sorted(windows, key=lambda entry: (entry[0], entry[1])):
        if previous is not None and end != previous:
            yield from _after(previous, zone)
        previous = end
        yield Due(job, window, end)
    if previous is not None:
        yield from _after(previous, zone)


def _after(end: datetime, zone: str) -> Iterator[Due]:
    yield Due("alert_relay", None, end)
    if Window.containing(end, Grain.DAY, zone).first_day.weekday() == 0:
        yield Due("retention", None, end)
