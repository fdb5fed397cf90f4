"""Weekly: does what users ask still look like the reference? Column by column, day by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.drift.columns import is_numeric, values_of
from monitors.logs.sampled import read_sample
from monitors.monitor import monitor
from monitors.reference import is_reference, reference_days
from monitors.statistics.days import (
    histogram_test_by_day,
    jensen_shannon_by_day,
    psi_by_day,
    wasserstein_over_iqr_by_day,
)
from monitors.statistics.multiplicity import benjamini_hochberg
from monitors.statistics.two_sample import binned, floor_without_change, quantile_edges
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

_MINIMUM_ROWS, _MINIMUM_DAYS = 50, 2
_TOP_CATEGORIES = 50
_DISTANCES = (("psi", psi_by_day, "nats"), ("jensen_shannon", jensen_shannon_by_day, "bits"))


@dataclass(frozen=True, slots=True)
class Histograms:
    """One column's counts, a row a day: the reference's and the week's, of the same cells."""

    reference: NDArray[np.float64]
    current: NDArray[np.float64]


@monitor(name="inputs", grain=Grain.WEEK)
def inputs(window: Window, context: Context) -> Iterator[Measurement]:
    """How far each configured column has moved from the reference period.

    Days are the unit: real weeks wobble, and a test that takes rows as independent finds every
    week guilty once there are enough of them. Population stability index and Jensen–Shannon
    divergence come with a day-bootstrap interval (for numbers also Wasserstein's distance, over the
    interquartile range); their baseline is what the same sample sizes
    would show without any change. Evidence is a Rao–Scott corrected chi-square p-value, adjusted
    over the columns (Benjamini & Hochberg 1995).
    """
    days = [read_sample(day, context).batch for day in window.days()]
    rows = sum(len(day) for day in days)
    if rows == 0:
        yield _nothing(window, Status.NO_DATA, "empty_window", 0)
        return
    if is_reference(window, context):
        yield _nothing(window, Status.INSUFFICIENT, "reference_period", rows)
        return
    past = [read_sample(day, context).batch for day in reference_days(context)]
    made: dict[str, Histograms] = {}
    for column in context.settings.drift.columns:
        histograms = _histograms(column, past, days)
        if histograms is not None:
            made[column] = histograms
    if not made:
        yield _nothing(window, Status.INSUFFICIENT, "too_few_rows", rows)
        return
    raw = [histogram_test_by_day(h.reference, h.current) for h in made.values()]
    adjusted = benjamini_hochberg(raw)
    for (column, histograms), p_value in zip(made.items(), adjusted, strict=True):
        yield from _measured(window, context, column, histograms, float(p_value))
        if is_numeric(column):
            yield _shift(window, context, column, past, days, float(p_value))


def _measured(
    window: Window, context: Context, column: str, histograms: Histograms, p_value: float
) -> Iterator[Measurement]:
    seed = context.settings.drift.seed
    floor = floor_without_change(
        histograms.reference.sum(axis=0), histograms.current.sum(axis=0), seed=seed
    )
    for name, distance, unit in _DISTANCES:
        value, low, high = distance(histograms.reference, histograms.current, seed=seed)
        yield Measurement(
            monitor="inputs",
            metric=f"drift.input.{name}",
            labels={"column": column},
            window=window,
            value=value,
            low=min(low, value),
            high=max(high, value),
            n=int(histograms.current.sum()),
            baseline=floor[name][0],
            evidence=p_value,
            method="p-value; Rao–Scott chi-square on day histograms, Benjamini–Hochberg over "
            "columns; interval by day bootstrap; baseline: expected without change",
            unit=unit,
        )


def _shift(
    window: Window,
    context: Context,
    column: str,
    past: Sequence[Any],
    days: Sequence[Any],
    p_value: float,
) -> Measurement:
    """How far a number moved, in typical spreads of the reference."""
    before, after = ([_known(column, batch) for batch in side] for side in (past, days))
    value, low, high = wasserstein_over_iqr_by_day(
        [day for day in before if day],
        [day for day in after if day],
        seed=context.settings.drift.seed,
    )
    return Measurement(
        monitor="inputs",
        metric="drift.input.wasserstein",
        labels={"column": column},
        window=window,
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=sum(map(len, after)),
        baseline=0.0,
        evidence=p_value,
        method="p-value as for the column's PSI; earth mover's distance over the reference's "
        "interquartile range, interval by day bootstrap",
        unit="iqr",
    )


def _histograms(column: str, past: Sequence[Any], days: Sequence[Any]) -> Histograms | None:
    before = [_known(column, batch) for batch in past]
    after = [_known(column, batch) for batch in days]
    before, after = [d for d in before if d], [d for d in after if d]
    if min(len(before), len(after)) < _MINIMUM_DAYS:
        return None
    if min(sum(map(len, before)), sum(map(len, after))) < _MINIMUM_ROWS:
        return None
    if is_numeric(column):
        edges = quantile_edges(np.concatenate([np.asarray(d, dtype=float) for d in before]))
        ref = np.array([binned(day, edges) for day in before])
        cur = np.array([binned(day, edges) for day in after])
    else:
        ref, cur = _categorical(before, after)
    # A single cell has no distribution: nothing in it can move.
    filled = np.count_nonzero(ref.sum(axis=0) + cur.sum(axis=0))
    return Histograms(ref, cur) if filled > 1 else None


def _categorical(
    before: Sequence[Sequence[Any]], after: Sequence[Sequence[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = Counter(str(value) for day in (*before, *after) for value in day)
    names = [name for name, _ in total.most_common(_TOP_CATEGORIES)]
    places = {name: index for index, name in enumerate(names)}
    cells = len(names) + (len(total) > len(names))

    def counted(days: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        table = np.zeros((len(days), cells))
        for row, day in enumerate(days):
            for value in day:
                table[row, places.get(str(value), cells - 1)] += 1
        return table

    return counted(before), counted(after)


def _known(column: str, batch: Any) -> list[Any]:
    values = values_of(column, batch) if len(batch) else None
    return [] if values is None else [value for value in values if value is not None]


def _nothing(window: Window, status: Status, reason: str, n: int) -> Measurement:
    return Measurement(
        monitor="inputs",
        metric="drift.input.psi",
        window=window,
        n=n,
        status=status,
        reason=reason,
        unit="nats",
    )
