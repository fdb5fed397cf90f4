"""Which window a run is for, and the order in which windows close."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from monitors.jobs import JOBS, SCHEDULED
from sql.errors import ConfigurationError
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


def resolve_window(
    grain: Grain,
    zone: str,
    *,
    window_start: str | None = None,
    window_end: str | None = None,
    interval_start: datetime | None = None,
    run_after: datetime,
) -> Window:
    """The one window of a run: a person's wish, else the data interval, else the last full one.

    Args:
        window_start, window_end: ISO days from the run's form.
        interval_start: start of the run's data interval; runs triggered without a logical date
            and by assets have none.
        run_after: when the run was due.

    Raises:
        ConfigurationError: the window of ``grain`` at ``window_start`` ends on another day.
    """
    if window_start:
        window = Window.of(date.fromisoformat(window_start), grain, zone)
        last = window.next().first_day
        if window_end and date.fromisoformat(window_end) != last:
            raise ConfigurationError(
                f"the {grain} that holds {window_start} ends before {last}, not {window_end}",
                where="window_end",
                mend="leave it empty, or trigger one run for each window",
            )
        return window
    if interval_start is not None:
        return Window.containing(interval_start, grain, zone)
    return Window.last_full(run_after, grain, zone)
