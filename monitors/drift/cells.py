"""Two windows' sketches of one column as counts by day over the same cells: what tests can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.drift.sketches import Categories, Numbers, Sketch, pooled, quantiles
from monitors.statistics.days import GRID, Estimate, wasserstein_by_day

Floats = NDArray[np.float64]

MINIMUM_ROWS, _MINIMUM_DAYS = 50, 2
_BINS, _TOP_CATEGORIES = 10, 50


@dataclass(frozen=True, slots=True)
class Histograms:
    """One column's counts, a row a day: the reference's and the week's, of the same cells."""

    reference: Floats
    current: Floats


def histograms(before: Sequence[Sketch], after: Sequence[Sketch]) -> Histograms | str:
    """The known values' counts, or why there is nothing to compare, as a code.

    ``no_values``, ``too_few_days`` (days are the unit: one has no spread), ``too_few_rows``,
    ``one_value`` (what is always the same cannot move). Numbers are cut at ten quantiles of the
    reference, categories are the fifty most frequent of both windows and the rest.
    """
    for side in (before, after):
        known = [day.known for day in side if day.known]
        if not known:
            return "no_values"
        if len(known) < _MINIMUM_DAYS:
            return "too_few_days"
        if sum(known) < MINIMUM_ROWS:
            return "too_few_rows"
    past = [day for day in before if isinstance(day, Numbers) and day.known]
    week = [day for day in after if isinstance(day, Numbers) and day.known]
    if past and week:
        edges = np.unique(quantiles(*pooled(past), np.arange(1, _BINS) / _BINS))
        ref, cur = (np.stack([day.counts(edges) for day in side]) for side in (past, week))
    else:
        names = _names(before, after)
        ref, cur = (category_counts(side, names) for side in (before, after))
    filled = np.count_nonzero(ref.sum(axis=0) + cur.sum(axis=0))
    return Histograms(ref, cur) if filled > 1 else "one_value"


def shift(before: Sequence[Numbers], after: Sequence[Numbers], *, seed: int = 0) -> Estimate:
    """How far a number moved, in interquartile ranges of the reference: Wasserstein's distance with
    a day-bootstrap interval, on 256 quantiles of both windows."""
    past, week = ([day for day in side if day.known] for side in (before, after))
    points, weights = pooled([*past, *week])
    grid = np.unique(quantiles(points, weights, np.linspace(0, 1, GRID)))
    if len(grid) < 2:
        return 0.0, 0.0, 0.0
    middles = (grid[1:] + grid[:-1]) / 2
    ref, cur = (np.stack([day.counts(middles) for day in side]) for side in (past, week))
    return wasserstein_by_day(ref, cur, grid, scale(past, week), seed=seed)


def scale(before: Sequence[Numbers], after: Sequence[Numbers]) -> float:
    """The reference's interquartile range; where half of it is one value its standard deviation,
    where all of it is, that of both windows, as in `two_sample.scale_of`."""
    low, high = quantiles(*pooled(before), np.array([0.25, 0.75]))
    for found in (float(high - low), _deviation(before), _deviation([*before, *after])):
        if found > 1e-6 * max(1.0, abs(float(high))):
            return found
    return 1.0


def _deviation(days: Sequence[Numbers]) -> float:
    n = sum(day.known for day in days)
    mean = sum(day.total for day in days) / n
    return float(np.sqrt(max(sum(day.squares for day in days) / n - mean * mean, 0.0)))


def missing(before: Sequence[Sketch], after: Sequence[Sketch]) -> Histograms | None:
    """Rows with a value and rows without, by day; None with too few rows or days."""
    ref, cur = (
        np.array([[day.known, day.missing] for day in side], dtype=np.float64).reshape(-1, 2)
        for side in (before, after)
    )
    few = any(len(side) < _MINIMUM_DAYS or side.sum() < MINIMUM_ROWS for side in (ref, cur))
    return None if few else Histograms(ref, cur)


def _names(before: Sequence[Sketch], after: Sequence[Sketch]) -> list[str]:
    total: Counter[str] = Counter()
    for day in (*before, *after):
        if isinstance(day, Categories):
            total.update(day.frequent())
    # Ties by name: the same windows have the same cells, always.
    return sorted(total, key=lambda name: (-total[name], name))[:_TOP_CATEGORIES]


def category_counts(days: Sequence[Sketch], names: Sequence[str]) -> Floats:
    """Shape (days, names + 1): the rows of each category, and of all others; days without values
    are left out."""
    table = []
    for day in days:
        if isinstance(day, Categories) and day.known:
            found = day.frequent()
            own = [found.get(name, 0.0) for name in names]
            table.append([*own, max(day.known - sum(own), 0.0)])
    return np.array(table, dtype=np.float64).reshape(-1, len(names) + 1)
