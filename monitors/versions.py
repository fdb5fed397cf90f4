"""A window that is measured again: what it said before is replaced, and the difference is kept.

The first time a window is covered is its version 1. When it is measured again and says something
else (rows came late, the settings or the code are others), that is the next version, with the rows
and the values before and after. What stood before is set aside first, so that a run that is killed
between its monitors loses nothing of the difference.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from monitors.context import Context
from monitors.kept import Kept
from sql.store import Store
from sql.tables import coverage, measurement, partial_result
from sql.window import Window

_VERSION, _BEFORE = "version", "version:before"
# Differences that are kept of one version, the largest first.
_MOST = 500

Value = tuple[float | None, str]


@dataclass(frozen=True, slots=True)
class Version:
    """A later version of a window.

    Args:
        number: 2 and up.
        rows: of the log, before and after.
        changed: how many measurements came out otherwise.
        differences: of at most 500 of them: metric, labels, and (value, status) before and after.
    """

    window_start: datetime
    number: int
    rows: tuple[int, int]
    changed: int
    differences: Sequence[Mapping[str, Any]]
    at: datetime

    def of(self, metric: str, labels: Mapping[str, str]) -> tuple[Value, Value] | None:
        """What one series said before and after; None where it did not change."""
        for one in self.differences:
            if (one["metric"], one["labels"]) == (metric, dict(labels)):
                return tuple(one["before"]), tuple(one["after"])
        return None


def set_aside(job: str, window: Window, monitors: Collection[str], context: Context) -> None:
    """Before a covered window is measured again: keep what it says now, once."""
    table, kept = coverage.c, Kept(job, _BEFORE)
    rows = context.store.rows(
        select(table.rows).where(
            table.job == job,
            table.grain == window.grain.value,
            table.window_start == window.start,
        )
    )
    if not rows or kept.body(window, context) is not None:
        return
    said = _said(window, monitors, context.store)
    body = {"rows": rows[0].rows, "said": [[*key, *value] for key, value in said.items()]}
    kept.write(window, body, context)


def settle(job: str, window: Window, monitors: Collection[str], context: Context) -> int:
    """After it was measured again: write down the version that this made.

    Returns:
        its number; 0 when nothing was set aside or everything came out the same.
    """
    store, before = context.store, Kept(job, _BEFORE).body(window, context)
    if before is None:
        return 0
    old = {(metric, labels): (value, status) for metric, labels, value, status in before["said"]}
    moved = _differences(old, _said(window, monitors, store))
    number = max((one.number for one in versions(store, job, window, window)), default=1) + 1
    table = partial_result.c
    mine = (
        table.job == job,
        table.grain == window.grain.value,
        table.window_start == window.start,
    )
    with store.begin() as connection:
        if moved:
            body = {
                "rows": [before["rows"], context.source.count(window)],
                "changed": len(moved),
                "differences": moved[:_MOST],
            }
            row = Kept(job, _VERSION).row(window, body, context.clock(), shard=number)
            store.upsert(connection, partial_result, [row])
        connection.execute(delete(partial_result).where(*mine, table.step == _BEFORE))
    return number if moved else 0


def versions(
    store: Store, job: str, first: Window | None = None, last: Window | None = None
) -> list[Version]:
    """The later versions of a job's windows (from ``first`` to ``last``), in order."""
    table = partial_result.c
    query = select(partial_result).where(table.job == job, table.step == _VERSION)
    if first is not None:
        query = query.where(table.grain == first.grain.value, table.window_start >= first.start)
    if last is not None:
        query = query.where(table.window_start <= last.start)
    return [
        Version(
            row.window_start,
            row.shard,
            tuple(row.body["rows"]),
            row.body["changed"],
            row.body["differences"],
            row.finished_at,
        )
        for row in store.rows(query.order_by(table.window_start, table.shard))
    ]


def _said(window: Window, monitors: Collection[str], store: Store) -> dict[tuple[str, str], Value]:
    table = measurement.c
    rows = store.rows(
        select(table.metric, table.labels, table.value, table.status)
        .where(
            table.monitor.in_(monitors),
            table.grain == window.grain.value,
            table.window_start == window.start,
        )
        .order_by(table.metric, table.labels)
    )
    return {(row.metric, row.labels): (row.value, row.status) for row in rows}


def _differences(
    old: Mapping[tuple[str, str], Value], new: Mapping[tuple[str, str], Value]
) -> list[dict[str, Any]]:
    """What changed: first what has or had no number, then by the share of the value."""
    absent: Value = (None, "absent")
    moved = [
        (key, old.get(key, absent), new.get(key, absent))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]

    def weight(one: tuple[tuple[str, str], Value, Value]) -> float:
        (before, _), (after, _) = one[1], one[2]
        if before is None or after is None:
            return float("-inf")
        return -abs(after - before) / max(abs(before), abs(after), 1e-300)

    return [
        {"metric": metric, "labels": json.loads(labels), "before": before, "after": after}
        for (metric, labels), before, after in sorted(moved, key=weight)
    ]
