"""What the report says, read from the store: incidents, monitors, series, coverage, messages."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Row, cast, distinct, func, select

from monitors.report.panels import PANELS, Panel
from monitors.suite import Suite
from monitors.web.drawing import Axis, Chart, chart
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import coverage, incident, notification
from sql.tables import measurement as measurement_table
from sql.window import Grain, Window

# Older windows are not drawn: half a year fits on a page.
_REACH = timedelta(days=183)
_CHART_LEFT, _CHART_RIGHT = 62.0, 420.0
_STRIP_LEFT, _STRIP_RIGHT = 300.0, 1180.0
_OVER = ("resolved", "closed")
_RATE = "quality.rate_for_tolerance"


@dataclass(frozen=True, slots=True)
class MonitorLine:
    """One monitor.

    Args:
        windows: windows that it has measured.
        unknown: how many of its measurements have no value (no data, too few rows, an error).
        incidents: incidents ever opened on one of its metrics.
        last: its latest window.
    """

    monitor: str
    grain: str
    windows: int
    measurements: int
    unknown: int
    incidents: int
    last: str


@dataclass(frozen=True, slots=True)
class Planted:
    """A line of the demo's scorecard: what was planted, and which rule found it when."""

    title: str
    what: str
    first: date
    last: date
    found_by: str
    after: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One incident, or something planted, on the time axis.

    Args:
        title: the rule's name, or what was planted.
        since: the window in which it opened.
    """

    title: str
    labels: dict[str, str]
    kind: str
    x: float
    width: float
    open: bool
    since: str
    told: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """One series with its chart; ``latest`` is its newest measurement.

    Args:
        rate: of a scorer, the sampling rate that would see the tolerance, when it was last told.
    """

    latest: Measurement
    chart: Chart
    history: tuple[Measurement, ...]
    rate: Measurement | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page."""

    until: datetime
    first: date
    last: date
    strip: Axis
    axis: Axis
    bars: tuple[Bar, ...]
    planted: tuple[Bar, ...]
    open: tuple[Bar, ...]
    monitors: tuple[MonitorLine, ...]
    panels: tuple[tuple[Panel, tuple[Drawn, ...]], ...]
    messages: tuple[tuple[str, int], ...]


def overview(suite: Suite, planted: Sequence[Planted] = ()) -> Overview | None:
    """Read it all; None while no window has been measured.

    Args:
        planted: of a demo, to stand beside the incidents.
    """
    zone = suite.settings.timezone
    until = _latest(suite.store)
    if until is None:
        return None
    since = until - _REACH
    measured = suite.store.measurements(since=since)
    start = _earliest(measured, since)
    axis = _axis(start, until, _CHART_LEFT, _CHART_RIGHT, zone)
    strip = _axis(start, until, _STRIP_LEFT, _STRIP_RIGHT, zone)
    rows = _incidents(suite.store, since)
    bars = [_bar(row, strip, until, zone) for row in rows]
    day = Window.containing(until - timedelta(seconds=1), Grain.DAY, zone).first_day
    return Overview(
        until=until,
        first=Window.containing(start, Grain.DAY, zone).first_day,
        last=day,
        strip=strip,
        axis=axis,
        bars=tuple(bars),
        planted=tuple(_planted(one, strip, zone) for one in planted),
        open=tuple(bar for bar in bars if bar.open),
        monitors=tuple(summarise(suite)),
        panels=_panels(measured, rows, axis, until, zone),
        messages=_messages(suite.store),
    )


def summarise(suite: Suite) -> list[MonitorLine]:
    """A line for each monitor that has measured anything, in the configuration's order."""
    table = measurement_table.c
    rows = suite.store.rows(
        select(
            table.monitor,
            table.grain,
            func.count(distinct(table.window_start)).label("windows"),
            func.count().label("measurements"),
            func.sum(cast(table.value.is_(None), Integer)).label("unknown"),
            func.max(table.window_start).label("last"),
        ).group_by(table.monitor, table.grain)
    )
    owners = {
        row.metric: row.monitor
        for row in suite.store.rows(select(table.metric, table.monitor).distinct())
    }
    opened = Counter(owners.get(row.metric) for row in suite.store.rows(select(incident.c.metric)))
    order = {monitor.name: place for place, monitor in enumerate(suite.monitors)}
    zone = suite.settings.timezone
    return [
        MonitorLine(
            row.monitor,
            row.grain,
            row.windows,
            row.measurements,
            row.unknown,
            opened[row.monitor],
            Window.containing(row.last, Grain(row.grain), zone).label,
        )
        for row in sorted(rows, key=lambda row: order.get(row.monitor, len(order)))
    ]


# ── parts ────────────────────────────────────────────────────────────────────────────────────


def _latest(store: Store) -> datetime | None:
    row = store.rows(select(func.max(coverage.c.window_end).label("until")))[0]
    return row.until  # type: ignore[no-any-return]


def _earliest(measured: Sequence[Measurement], since: datetime) -> datetime:
    """Where time begins on the page; a quarter that merely ends in it must not stretch it."""
    days = [item.window.start for item in measured if item.window.grain is Grain.DAY]
    return min(days or [item.window.start for item in measured], default=since)


def _axis(start: datetime, end: datetime, left: float, right: float, zone: str) -> Axis:
    bare = Axis(start, end, left, right)
    months = []
    month = Window.containing(start, Grain.MONTH, zone).next()
    while month.start < end:
        months.append((bare.x(month.start), f"{month.first_day:%b}"))
        month = month.next()
    return Axis(start, end, left, right, tuple(months))


def _incidents(store: Store, since: datetime) -> list[Row[Any]]:
    table = incident.c
    return list(
        store.rows(
            select(incident)
            .where(table.opened_window.is_not(None), table.last_window >= since)
            .order_by(table.opened_window, table.rule, table.labels)
        )
    )


def _span(row: Row[Any], until: datetime, zone: str) -> tuple[datetime, datetime]:
    """From the first window to the end of the last one in which it was open."""
    if row.resolved_window is not None:
        return row.opened_window, row.resolved_window
    last = Window.containing(row.last_window, Grain(row.grain), zone).end
    return row.opened_window, until if row.state not in _OVER else last


def _bar(row: Row[Any], axis: Axis, until: datetime, zone: str) -> Bar:
    start, end = _span(row, until, zone)
    left = axis.x(start)
    opened = Window.containing(start, Grain(row.grain), zone)
    over = row.state in _OVER
    told = f"{row.severity}, since {opened}, " + (
        f"{row.windows} windows" if over else "still open"
    )
    return Bar(
        row.rule,
        json.loads(row.labels),
        row.severity,
        left,
        round(max(axis.x(end) - left, 3.0), 1),
        not over,
        opened.label,
        told,
    )


def _planted(one: Planted, axis: Axis, zone: str) -> Bar:
    start = Window.of(one.first, Grain.DAY, zone).start
    end = Window.of(one.last, Grain.DAY, zone).end
    left = axis.x(start)
    told = f"found by {one.found_by} {one.after}" if one.found_by else "missed"
    kind = "found" if one.found_by else "missed"
    return Bar(one.title, {}, kind, left, round(axis.x(end) - left, 1), False, "", told)


def _panels(
    measured: Sequence[Measurement],
    rows: Sequence[Row[Any]],
    axis: Axis,
    until: datetime,
    zone: str,
) -> tuple[tuple[Panel, tuple[Drawn, ...]], ...]:
    breaches: dict[tuple[str, str], list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in rows:
        breaches[row.metric, row.labels].append(_span(row, until, zone))
    # By time, so that the latest of each scorer stays.
    rates = {
        item.labels_key: item
        for item in measured
        if item.metric == _RATE and item.status is Status.COMPLETE
    }
    found = []
    for panel in PANELS:
        series: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
        for item in measured:
            if panel.takes(item):
                series[item.metric, item.labels_key].append(item)
        drawn = [
            Drawn(
                history[-1],
                chart(history, axis, breaches=breaches[key]),
                tuple(history),
                rates.get(key[1]) if history[-1].monitor == "quality" else None,
            )
            for key, history in sorted(series.items())
            if any(item.value is not None for item in history)
        ]
        if drawn:
            found.append((panel, tuple(drawn)))
    return tuple(found)


def _messages(store: Store) -> tuple[tuple[str, int], ...]:
    table = notification.c
    rows = store.rows(select(table.state, func.count()).group_by(table.state).order_by(table.state))
    return tuple((state, count) for state, count in rows)
