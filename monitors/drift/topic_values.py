"""What users of a topic get: its quality, latency and cost beside the rest, and its growth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from monitors.context import Context
from monitors.drift.texts import Texts
from sql.measurement import Measurement, Status
from sql.tables import score
from sql.window import Window

Values = NDArray[np.float64]
Estimate = tuple[float, float, float]
_FEWEST = 10
_CHUNK = 500


def values_of(
    topics: Mapping[str, Sequence[str]],
    rows: Texts,
    window: Window,
    context: Context,
    *,
    monitor: str = "topics",
    family: str = "drift.topic.",
) -> Iterator[Measurement]:
    """Quality, latency and cost of each topic, against the other rows.

    Args:
        topics: key → ids of its rows, which are among ``rows``.
        monitor, family: who says it, and how its metrics begin.
    """
    if not topics:
        return
    columns = {
        "quality": ("ratio", scores_of(rows.ids, context)),
        "latency": ("ms", rows.numbers["latency_ms"]),
        "cost": ("usd", rows.numbers["cost_usd"]),
    }
    for key, members in topics.items():
        inside = np.isin(rows.ids, members)
        for name, (unit, values) in columns.items():
            about: dict[str, Any] = {
                "monitor": monitor,
                "metric": f"{family}{name}",
                "labels": {"topic": key},
                "window": window,
                "unit": unit,
            }
            yield _value(about, values, inside, rows.weights)


def _value(
    about: dict[str, Any], values: Values, inside: NDArray[np.bool_], weights: Values
) -> Measurement:
    here, there = (side & ~np.isnan(values) for side in (inside, ~inside))
    about, unit = {**about, "n": int(here.sum())}, about["unit"]
    if min(here.sum(), there.sum()) < _FEWEST:
        reason = "too_few_values" if here.any() else "no_values"
        return Measurement(**about, status=Status.INSUFFICIENT, reason=reason)
    value, low, high = _estimate(unit, values[here], weights[here])
    return Measurement(
        **about,
        value=value,
        low=low,
        high=high,
        baseline=_estimate(unit, values[there], weights[there])[0],
        method=f"weighted {'median' if unit == 'ms' else 'mean'} of the topic's rows; "
        "baseline: of the other rows looked at",
    )


def _estimate(
    unit: str, values: Values, weights: Values
) -> tuple[float, float | None, float | None]:
    from monitors.statistics.intervals import mean_interval, quantile_interval

    if unit == "ms":
        return quantile_interval(values, 0.5, weights=weights)
    return mean_interval(values, weights, bounded=unit == "ratio")


def growth(key: str, now: Estimate, before: Estimate, n: int, window: Window) -> Measurement:
    """Share of the week less share of the week before: Newcombe's (1998) method 10.

    Args:
        now, before: share, low, high.
        n: texts looked at.
    """
    change = now[0] - before[0]
    return Measurement(
        monitor="topics",
        metric="drift.topic.growth",
        labels={"topic": key},
        window=window,
        value=change,
        low=change - math.hypot(now[0] - now[1], before[2] - before[0]),
        high=change + math.hypot(now[2] - now[0], before[0] - before[1]),
        n=n,
        baseline=0,
        method="share less that of the week before; Newcombe's interval",
    )


def scores_of(ids: Sequence[str], context: Context) -> Values:
    """What ``[review] scorer`` said of each row, by its present version; NaN where it said none."""
    name = context.settings.review.scorer
    chosen = next((each for each in context.scorers if each.name == name), None)
    if chosen is None:
        return np.full(len(ids), np.nan)
    found: dict[str, float] = {}
    table = score.c
    for start in range(0, len(ids), _CHUNK):
        query = select(table.item_id, table.value).where(
            table.source == context.source.name,
            table.scorer == name,
            table.scorer_version == chosen.version_in(context),
            table.item_id.in_(list(ids[start : start + _CHUNK])),
            table.value.is_not(None),
        )
        found.update((row.item_id, row.value) for row in context.store.rows(query))
    return np.array([found.get(item, np.nan) for item in ids], dtype=float)
