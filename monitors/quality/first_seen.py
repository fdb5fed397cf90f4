"""Since when a prompt version or an arm has served: counted once a day in the log, remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select

from monitors.context import Context
from monitors.quality import slices
from monitors.quality.traffic import served
from sql.tables import partial_result
from sql.window import Grain, Window

JOB = "daily_quality"
# The field that is counted → the step under which its counts are kept.
_STEPS = {"prompt_version": "versions", "arm": "arms"}
LOOK_BACK = 28
_FEATURE = "feature"


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """What has served, of the last four weeks.

    Args:
        watched: the first day that was counted; what served on it may be older.
        values: feature (empty where the log has none) → value → the start of its first day.
    """

    watched: datetime | None
    values: Mapping[str, Mapping[str, datetime]]


def first_seen(field: str, window: Window, context: Context) -> FirstSeen:
    """The values of a field with their first days, the window's own counted and kept."""
    if field not in context.source.attributes:
        return FirstSeen(None, {})
    _keep(field, window, context)
    table = partial_result.c
    rows = context.store.rows(
        select(table.window_start, table.body)
        .where(
            table.job == JOB,
            table.grain == Grain.DAY.value,
            table.step == _STEPS[field],
            table.window_start >= window.shift(-LOOK_BACK).start,
            table.window_start <= window.start,
        )
        .order_by(table.window_start)
    )
    found: dict[str, dict[str, datetime]] = {}
    for row in rows:
        for feature, counts in row.body.items():
            for value in counts:
                found.setdefault(feature, {}).setdefault(value, row.window_start)
    return FirstSeen(rows[0].window_start, found)


def _keep(field: str, window: Window, context: Context) -> None:
    source = context.source
    value = source.column(field)
    feature = source.column(_FEATURE) if _FEATURE in source.attributes else case((False, ""))
    query = (
        select(feature, value, func.count())
        .where(*source.within(window), *served(context), value.is_not(None))
        .group_by(feature, value)
    )
    body: dict[str, dict[str, int]] = {}
    for name, text, count in source.rows(query):
        counts = body.setdefault(slices.label_text(name or ""), {})
        counts[slices.label_text(text)] = int(count)
    record = {
        "job": JOB,
        "grain": window.grain.value,
        "window_start": window.start,
        "step": _STEPS[field],
        "shard": 0,
        "body": body,
        "finished_at": context.clock(),
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, partial_result, [record])
