"""Quantiles of any number of rows in fixed memory: counts in bins of equal ratio.

A bin is half a percent wide, so a quantile read off its middle is within a quarter of a percent of
the row that holds the rank (the relative-error guarantee of DDSketch: Masson, Rim & Lee 2019). The
ranks themselves are exact. Histograms of days or shards add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_RATIO = math.log(1.005)
_LEAST, _MOST = 0.01, 1e9
BINS = math.ceil(math.log(_MOST / _LEAST) / _RATIO) + 1

Counts = NDArray[np.int64]


def bins_of(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each value; values outside of 0.01 to 1e9 go to the outermost bins."""
    logs = np.log(np.clip(values, _LEAST, _MOST) / _LEAST) / _RATIO
    places: NDArray[np.intp] = np.minimum(logs.astype(np.intp), BINS - 1)
    return places


def counts_by(
    groups: NDArray[np.intp], values: NDArray[np.float64], number_of_groups: int
) -> Counts:
    """Shape (groups, bins): the histogram of each group.

    Args:
        groups: the group of each value, from 0; negative ones are left out.
        values: shape (n,); NaN ones are left out.
    """
    keep = (groups >= 0) & ~np.isnan(values)
    flat = groups[keep] * BINS + bins_of(values[keep])
    shape = (number_of_groups, BINS)
    return np.bincount(flat, minlength=number_of_groups * BINS).reshape(shape).astype(np.int64)


def value_at(counts: Counts, rank: int) -> float:
    """The value of the ``rank``-th smallest row (from 1), to within a quarter of a percent.

    Raises:
        ValueError: there is no such row.
    """
    below = np.cumsum(counts)
    if not 1 <= rank <= int(below[-1]):
        raise ValueError("no row has this rank")
    place = int(np.searchsorted(below, rank))
    return _LEAST * math.exp((place + 0.5) * _RATIO)


def quantiles(
    counts: Counts, qs: Sequence[float]
) -> dict[float, tuple[float, float | None, float | None]]:
    """Each q → its value and its 95 % order-statistic interval, as far as n allows one."""
    from monitors.statistics.intervals import quantile_ranks

    n = int(counts.sum())
    found = {}
    for q in qs:
        low, middle, high = quantile_ranks(n, q)
        found[q] = (
            value_at(counts, middle),
            None if low is None else value_at(counts, low),
            None if high is None else value_at(counts, high),
        )
    return found


def share_above(counts: Counts, bound: float) -> int:
    """How many rows lie above ``bound``, whose own bin counts as below."""
    place = int(bins_of(np.array([bound]))[0])
    return int(counts[place + 1 :].sum())
