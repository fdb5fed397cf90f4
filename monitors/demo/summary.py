"""What a run of the whole suite came to: a line for each monitor."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Integer, cast, distinct, func, select

from monitors.suite import Suite
from sql.tables import incident
from sql.tables import measurement as measurement_table


@dataclass(frozen=True, slots=True)
class MonitorLine:
    """One monitor.

    Args:
        windows: windows that it has measured.
        unknown: how many of its measurements have no value (no data, too few rows, an error).
        incidents: incidents ever opened on one of its metrics.
    """

    monitor: str
    grain: str
    windows: int
    measurements: int
    unknown: int
    incidents: int


def summarise(suite: Suite) -> list[MonitorLine]:
    """A line for each monitor of the configuration that has measured anything, in its order."""
    table = measurement_table.c
    rows = suite.store.rows(
        select(
            table.monitor,
            table.grain,
            func.count(distinct(table.window_start)).label("windows"),
            func.count().label("measurements"),
            func.sum(cast(table.value.is_(None), Integer)).label("unknown"),
        ).group_by(table.monitor, table.grain)
    )
    owners = dict(
        row.tuple() for row in suite.store.rows(select(table.metric, table.monitor).distinct())
    )
    opened = Counter(owners.get(row.metric) for row in suite.store.rows(select(incident.c.metric)))
    order = {monitor.name: place for place, monitor in enumerate(suite.monitors)}
    return [
        MonitorLine(
            row.monitor, row.grain, row.windows, row.measurements, row.unknown, opened[row.monitor]
        )
        for row in sorted(rows, key=lambda row: order.get(row.monitor, len(order)))
    ]
