"""Has the log arrived, and does it look like itself? Else nothing measured later counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select

from monitors.context import Context
from monitors.late import LATE_DAYS
from monitors.logs.counted import Profile, profile, stored
from monitors.monitor import JOB_BY_GRAIN, monitor
from monitors.reference import is_reference, reference_days
from monitors.versions import versions
from sql.errors import NotReady
from sql.measurement import Measurement, Status
from sql.tables import quarantine, sample
from sql.window import Grain, Window

_WEEKS = 8
_ENOUGH = 3  # like days, to know how much days differ
_LARGEST_LOG = 50.0  # e^50 times the baseline is no statement
_MENDED = ("scrubbed", "truncated")


def ensure_landed(window: Window, context: Context) -> None:
    """Go on only once the window is over and had time to arrive.

    Time has passed when the clock is ``[source] grace_hours`` past the window's end, or when the
    log itself holds rows from after that.

    Raises:
        NotReady: not yet. ConfigurationError: the log cannot be read as configured.
    """
    due = window.end + timedelta(hours=context.settings.source.grace_hours)
    last = context.source.last_instant()
    if context.clock() >= due or (last is not None and last >= due):
        return
    raise NotReady(
        f"the window {window} has not landed: it is due at {due:%Y-%m-%d %H:%M} UTC",
        where="[source] grace_hours",
        mend="try again then",
    )


@monitor(name="intake", grain=Grain.DAY)
def intake(window: Window, context: Context) -> Iterator[Measurement]:
    """Volume, missing values, freshness and poison of a day of the log.

    ``intake.rows``: rows per hour of the window (so that a day of 23 or 25 hours compares),
    against the same weekdays of the eight weeks before. ``intake.null_share{column}``: share of
    rows without a usable value, against the days of the reference period; 1 when a column that the
    reference had is gone. ``intake.delay_hours``: from the last row to the window's end.
    ``intake.quarantined_share``: sampled rows with a dropped field or set aside whole.

    Evidence is the p-value of a new day among the days before (t prediction interval, Hahn &
    Meeker 1991, section 4.7); days, not rows, are the observations, so that a day's own weather
    is no alarm.
    """
    today = profile(window, context)
    compared = not is_reference(window, context)
    yield _rows(window, context, today.rows, compared)
    yield from _null_shares(window, context, today, compared)
    yield _delay(window, context, today.rows)
    yield _late(window, context)
    yield _quarantined(window, context)


# ── volume ───────────────────────────────────────────────────────────────────────────────────


def _rows(window: Window, context: Context, rows: int, compared: bool) -> Measurement:
    about: dict[str, Any] = {
        "monitor": "intake",
        "metric": "intake.rows",
        "window": window,
        "unit": "rows/hour",
    }
    if rows == 0:
        return Measurement(**about, n=0, status=Status.NO_DATA, reason="empty_window")
    by_weekday = _log_rates(window, context) if compared else {}
    like = by_weekday.get(window.first_day.weekday(), [])
    found = _prediction(
        math.log(rows / window.hours), like, 1 / math.sqrt(rows), list(by_weekday.values())
    )
    low, high = _poisson_interval(rows)
    baseline = None if found is None else math.exp(found.baseline)
    shown = None
    if found is not None and baseline is not None and found.detectable < _LARGEST_LOG:
        shown = baseline * math.expm1(found.detectable)
    return Measurement(
        **about,
        n=rows,
        value=rows / window.hours,
        low=low / window.hours,
        high=high / window.hours,
        baseline=baseline,
        evidence=None if found is None else found.p,
        detectable=shown,
        method=f"p-value; log rate against {len(like)} same weekdays, t prediction; "
        "interval of a Poisson count (Garwood 1936)",
    )


def _log_rates(window: Window, context: Context) -> dict[int, list[float]]:
    """Log rows per hour of the eight weeks before, by weekday; empty days are left out."""
    days = [window.shift(-back) for back in range(1, 7 * _WEEKS + 1)]
    known = stored(days[-1], days[0], context)
    rates: dict[int, list[float]] = {}
    first = context.source.first_instant()
    for day in days:
        if first is None or day.end <= first:
            continue
        rows = known[day.start].rows if day.start in known else context.source.count(day)
        if rows:
            rates.setdefault(day.first_day.weekday(), []).append(math.log(rows / day.hours))
    return rates


def _poisson_interval(count: int) -> tuple[float, float]:
    from scipy import stats

    low = float(stats.chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return low, float(stats.chi2.ppf(0.975, 2 * count + 2)) / 2


# ── missing values ───────────────────────────────────────────────────────────────────────────


def _reference(context: Context) -> list[Profile]:
    """Profiles of the reference's days that had rows; counted once, then remembered."""
    days = reference_days(context)
    if not days:
        return []
    known = stored(days[0], days[-1], context)
    counted = [known[day.start] if day.start in known else profile(day, context) for day in days]
    return [day for day in counted if day.rows]


def _null_shares(
    window: Window, context: Context, today: Profile, compared: bool
) -> Iterator[Measurement]:
    reference = _reference(context) if compared else []
    expected = {name for day in reference for name, nulls in day.nulls.items() if nulls < day.rows}
    present = {name for name, nulls in today.nulls.items() if nulls < today.rows}
    for name in sorted(expected | present):
        about: dict[str, Any] = {
            "monitor": "intake",
            "metric": "intake.null_share",
            "labels": {"column": name},
            "window": window,
        }
        if today.rows == 0:
            yield Measurement(**about, n=0, status=Status.NO_DATA, reason="empty_window")
        else:
            yield _null_share(about, name, today, reference)


def _null_share(
    about: dict[str, Any], name: str, today: Profile, reference: Sequence[Profile]
) -> Measurement:
    from monitors.statistics.intervals import wilson

    gone = name not in today.nulls
    nulls = today.rows if gone else today.nulls[name]
    low, high = wilson(nulls, today.rows)
    days = [(day.nulls.get(name, day.rows), day.rows) for day in reference]
    share = (sum(n for n, _ in days) + 0.5) / (sum(rows for _, rows in days) + 1)
    found = _prediction(
        nulls / today.rows,
        [n / rows for n, rows in days],
        floor=math.sqrt(share * (1 - share) / today.rows),
    )
    return Measurement(
        **about,
        n=today.rows,
        value=nulls / today.rows,
        low=low,
        high=high,
        baseline=None if found is None else found.baseline,
        evidence=None if found is None else found.p,
        detectable=None if found is None else min(found.detectable, 1.0),
        reason="column_gone" if gone else "",
        method=f"p-value; share against {len(days)} days of the reference, t prediction; "
        "Wilson interval",
    )


# ── freshness and poison ─────────────────────────────────────────────────────────────────────


def _delay(window: Window, context: Context, rows: int) -> Measurement:
    about: dict[str, Any] = {
        "monitor": "intake",
        "metric": "intake.delay_hours",
        "window": window,
        "unit": "hours",
    }
    last = None
    if rows:
        at = context.source.column("at")
        query = select(func.max(at, type_=at.type)).where(*context.source.within(window))
        last = context.source.rows(query)[0][0]
    if last is None:
        return Measurement(**about, n=0, status=Status.NO_DATA, reason="empty_window")
    hours = (window.end - last).total_seconds() / 3600
    method = "from the last row to the end of the window"
    return Measurement(**about, n=rows, value=hours, low=hours, high=hours, method=method)


def _late(window: Window, context: Context) -> Measurement:
    """Days are counted again for a week; measuring a day again takes its late rows in, which the
    job itself does for the worst of them (`monitors.late`). What it took in since this window
    ended still counts as late here, so that measuring this window again says the same."""
    days = [window.shift(-back) for back in range(LATE_DAYS, 0, -1)]
    known = {start: day.rows for start, day in stored(days[0], days[-1], context).items()}
    for version in reversed(versions(context.store, JOB_BY_GRAIN[Grain.DAY], days[0], days[-1])):
        if version.at >= window.end and version.window_start in known:
            known[version.window_start] = version.rows[0]
    counts = {day: context.source.count(day) for day in days if day.start in known}
    late = {day: max(rows - known[day.start], 0) for day, rows in counts.items()}
    rows = sum(counts.values())
    about: dict[str, Any] = {"monitor": "intake", "metric": "intake.late_share", "window": window}
    if not rows:
        return Measurement(**about, n=0, status=Status.NO_DATA, reason="no_earlier_day")
    share = sum(late.values()) / rows
    worst = max(late, key=lambda day: late[day])
    return Measurement(
        **about,
        n=rows,
        value=share,
        low=share,
        high=share,
        reason=f"most_in_{worst.label}" if late[worst] else "",
        method=f"of all rows of {len(counts)} days measured before",
    )


def _quarantined(window: Window, context: Context) -> Measurement:
    from monitors.statistics.intervals import wilson

    bad = quarantine.c
    spoilt = (
        select(bad.item_id)
        .where(
            bad.source == context.source.name,
            bad.at >= window.start,
            bad.at < window.end,
            bad.reason.not_in(_MENDED),
        )
        .distinct()
    )
    kept = select(sample.c.item_id).where(
        sample.c.source == context.source.name,
        sample.c.at >= window.start,
        sample.c.at < window.end,
    )
    count = select(func.count())
    numerator = int(context.store.rows(count.select_from(spoilt.subquery()))[0][0])
    looked_at = spoilt.union(kept).subquery()
    denominator = int(context.store.rows(count.select_from(looked_at))[0][0])
    about: dict[str, Any] = {
        "monitor": "intake",
        "metric": "intake.quarantined_share",
        "window": window,
    }
    if denominator == 0:
        return Measurement(**about, n=0, status=Status.NO_DATA, reason="no_sample")
    low, high = wilson(numerator, denominator)
    share = numerator / denominator
    method = "of the rows drawn for the sample; Wilson interval"
    return Measurement(**about, n=denominator, value=share, low=low, high=high, method=method)


# ── a new day among days ─────────────────────────────────────────────────────────────────────


class _Prediction(NamedTuple):
    baseline: float
    p: float
    detectable: float


def _prediction(
    value: float,
    history: Sequence[float],
    floor: float,
    groups: Sequence[Sequence[float]] | None = None,
) -> _Prediction | None:
    """Is ``value`` one of such days? None when there are too few to say.

    Args:
        history: like days.
        floor: the least standard deviation that a day can have, from its own counting.
        groups: kinds of days that differ in level but not in spread; ``history`` alone if None.
    """
    from scipy import stats

    if len(history) < _ENOUGH:
        return None
    squares, df = 0.0, 0
    for group in groups or [history]:
        middle = sum(group) / len(group)
        squares += sum((day - middle) ** 2 for day in group)
        df += len(group) - 1
    mean = sum(history) / len(history)
    spread = max(math.sqrt(squares / df), floor, 1e-9)
    scale = spread * math.sqrt(1 + 1 / len(history))
    p = 2 * float(stats.t.sf(abs(value - mean) / scale, df))
    shown = float(stats.t.ppf(0.975, df) + stats.t.ppf(0.8, df)) * scale
    return _Prediction(mean, min(p, 1.0), shown)
