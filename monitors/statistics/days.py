"""Effects and tests that know that a day is one observation, however many rows it has.

Arguments hold one histogram, or one array of values, per day of a window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from monitors.statistics.intervals import finite, welch_df
from monitors.statistics.two_sample import jensen_shannon_of, merge_groups, psi_of, scale_of

Array = NDArray[np.float64]
Estimate = tuple[float, float, float]
# Of many pairs at once, along the last axis.
Distance = Callable[[Array, Array], Array]

GRID = 256
_NORMAL = 1.959964
_MOST = 2.0


# ── how much days differ by themselves ───────────────────────────────────────────────────────


def day_variance(successes: ArrayLike, totals: ArrayLike) -> tuple[float, float]:
    """A rate's mean over the days, and the variance τ² of the days' own rates around it.

    DerSimonian & Laird's (1986) moments: what the days vary beyond coins, at least 0.

    Args:
        successes, totals: per day; days without rows are passed over.

    Raises:
        ValueError: fewer than two days with rows, NaN, or counts that do not fit.
    """
    s, n = finite(successes, "successes"), finite(totals, "totals")
    if len(s) != len(n) or (s < 0).any() or (s > n).any():
        raise ValueError("successes must lie between 0 and the day's total")
    s, n = s[n > 0], n[n > 0]
    if len(n) < 2:
        raise ValueError("days can only be compared with each other from two on")
    rate = float(s.sum() / n.sum())
    coin = rate * (1 - rate)
    between = float(n @ np.square(s / n - rate)) - (len(n) - 1) * coin
    scale = float(n.sum() - np.square(n).sum() / n.sum())
    return rate, max(between / scale, 0.0)


def day_design_effect(successes: ArrayLike, totals: ArrayLike, n: float) -> float:
    """Variance of the rate of a day with ``n`` rows over a coin's: 1 + n·τ²/(p(1−p)), at least 1.

    From the days of the reference; for `monitors.statistics.sequential`.
    """
    rate, variance = day_variance(successes, totals)
    coin = rate * (1 - rate)
    return 1.0 + n * variance / coin if coin > 0 else 1.0


def share_by_day(successes: ArrayLike, totals: ArrayLike) -> Estimate:
    """A rate over several days and its 95 % interval, days as clusters: the ratio estimator's
    (Cochran 1977, § 6.3) with Student's t, within [0, 1].

    Raises:
        ValueError: fewer than two days with rows, NaN.
    """
    s, n = finite(successes, "successes"), finite(totals, "totals")
    s, n = s[n > 0], n[n > 0]
    days = len(n)
    if days < 2:
        raise ValueError("days can only be compared with each other from two on")
    rate = float(s.sum() / n.sum())
    scatter = float(np.square(s - rate * n).sum()) * days / (days - 1)
    half = float(special.stdtrit(days - 1, 0.975)) * math.sqrt(scatter) / float(n.sum())
    return rate, max(rate - half, 0.0), min(rate + half, 1.0)


# ── histograms ───────────────────────────────────────────────────────────────────────────────


def histogram_test_by_day(ref_days: ArrayLike, cur_days: ArrayLike, minimum: float = 5.0) -> float:
    """p-value of "both windows have the same shares", with days as clusters.

    Pearson's X² of the summed histograms, divided by the mean design effect of its cells between
    days, against F (Rao & Scott 1984; Thomas & Rao 1987). Categories expected fewer than
    ``minimum`` times on a side are merged. The design effect is never taken below 1.

    Args:
        ref_days, cur_days: shape (days, k), of the same categories; two days at least each.

    Raises:
        ValueError: shapes do not fit, NaN, negative counts, or fewer than two days with rows.
    """
    ref, cur = _days(ref_days), _days(cur_days)
    if ref.shape[1] != cur.shape[1]:
        raise ValueError("both histograms need the same categories")
    groups = merge_groups(ref.sum(axis=0), cur.sum(axis=0), minimum)
    k = len(groups)
    if k < 2:
        return 1.0
    ref, cur = (
        np.stack([days[:, group].sum(axis=1) for group in groups], axis=1) for days in (ref, cur)
    )
    table = np.stack([ref.sum(axis=0), cur.sum(axis=0)])
    statistic = float(stats.chi2_contingency(table, correction=False).statistic)
    effect, degrees = design_effect_of_histograms(ref, cur)
    return float(stats.f.sf(statistic / effect / (k - 1), k - 1, (k - 1) * degrees))


def design_effect_of_histograms(ref: Array, cur: Array) -> tuple[float, float]:
    """Mean design effect of the shares between days within a window (at least 1), and the degrees
    of freedom with which the days tell it (Welch's)."""
    n = float(ref.sum()) * float(cur.sum()) / float(ref.sum() + cur.sum())
    pooled = (ref.sum(axis=0) + cur.sum(axis=0)) / float(ref.sum() + cur.sum())
    cells = pooled > 0
    parts = []
    for days in (ref, cur):
        sizes, count = days.sum(axis=1, keepdims=True), len(days)
        own = days.sum(axis=0) / sizes.sum()
        scatter = np.square(days - sizes * own).sum(axis=0) / float(sizes.sum()) ** 2
        # Over p, not p(1 − p): the mean over cells with weights 1 − p is Rao & Scott's.
        parts.append(float(np.sum(scatter[cells] / pooled[cells])) * n * count / (count - 1))
    mean = sum(parts) / max(int(cells.sum()) - 1, 1)
    return max(mean, 1.0), welch_df(parts[0], len(ref), parts[1], len(cur))


def psi_by_day(
    ref_days: ArrayLike, cur_days: ArrayLike, *, draws: int = 500, seed: int = 0
) -> Estimate:
    """`psi` of the summed histograms, with a 95 % interval from resampled days (see `by_day`)."""
    return _histogram_by_day(ref_days, cur_days, psi_of, draws, seed)


def jensen_shannon_by_day(
    ref_days: ArrayLike, cur_days: ArrayLike, *, draws: int = 500, seed: int = 0
) -> Estimate:
    """`jensen_shannon` of the summed histograms, with a 95 % interval from resampled days."""
    return _histogram_by_day(ref_days, cur_days, jensen_shannon_of, draws, seed)


def _histogram_by_day(
    ref_days: ArrayLike, cur_days: ArrayLike, distance: Distance, draws: int, seed: int
) -> Estimate:
    ref, cur = _days(ref_days), _days(cur_days)
    if ref.shape[1] != cur.shape[1]:
        raise ValueError("both histograms need the same categories")
    return by_day(ref, cur, distance, squared=True, draws=draws, seed=seed)


def by_day(
    ref_days: Array,
    cur_days: Array,
    distance: Distance,
    *,
    squared: bool,
    draws: int = 500,
    seed: int = 0,
) -> Estimate:
    """A distance of two summed windows and its 95 % interval, days drawn with replacement.

    A distance is never negative, so noise only adds to it, and resampling adds the same noise
    once more: the interval is the *basic* bootstrap's (Davison & Hinkley 1997, § 5.2), which
    subtracts it, on the scale where noise adds up, the squared one. So without change the low end
    is at or near 0, while the value itself is not. Each side's draws are stretched as Student's t
    is against the normal, without which few days would seem more alike than they are.

    Args:
        ref_days, cur_days: shape (days, k): anything whose sum over days describes a window.
        distance: of sums, (…, k) and (…, k) → (…).
        squared: ``distance`` grows with the square of a shift (PSI does, Wasserstein does not).

    Returns:
        Value, low, high, with 0 ≤ low ≤ value ≤ high.
    """
    value = float(distance(ref_days.sum(axis=0), cur_days.sum(axis=0)))
    times = _times(len(ref_days), len(cur_days), draws, seed)
    sums = [_resampled(*each) for each in zip((ref_days, cur_days), times, strict=True)]
    power = 1 if squared else 2
    found = distance(*sums) ** power
    here = value**power
    low, high = (2 * here - float(q) for q in np.quantile(found, [0.975, 0.025]))
    return (
        value,
        min(max(low, 0.0) ** (1 / power), value),
        max(max(high, 0.0) ** (1 / power), value),
    )


@lru_cache(maxsize=16)
def _times(ref: int, cur: int, draws: int, seed: int) -> tuple[Array, Array]:
    """How much of each day is in each draw, shape (draws, days): the same for all columns."""
    generator = np.random.default_rng(seed)
    made = []
    for count in (ref, cur):
        times = generator.multinomial(count, np.full(count, 1 / count), draws).astype(np.float64)
        # n/(n−1) for the variance's bias, Student over normal for having estimated it.
        student = float(special.stdtrit(count - 1, 0.975)) / _NORMAL
        stretch = min(math.sqrt(count / (count - 1)) * student, _MOST)
        made.append(1 + (times - 1) * stretch)
        made[-1].setflags(write=False)
    return made[0], made[1]


def _resampled(days: Array, times: Array) -> Array:
    total = days.sum(axis=0)
    sums = np.maximum(times @ days, 0.0)
    empty = sums.sum(axis=1) <= 0
    drawn: Array = np.where(empty[:, None], total, sums)
    return drawn


def _days(histograms: ArrayLike) -> Array:
    days = np.asarray(histograms, dtype=np.float64)
    if days.ndim != 2 or not np.isfinite(days).all() or (days < 0).any():
        raise ValueError("give one histogram of counts per day")
    filled: Array = days[days.sum(axis=1) > 0]
    if len(filled) < 2:
        raise ValueError("days can only be compared with each other from two on")
    return filled


# ── numbers ──────────────────────────────────────────────────────────────────────────────────


def wasserstein_over_iqr_by_day(
    ref_days: Sequence[ArrayLike],
    cur_days: Sequence[ArrayLike],
    *,
    draws: int = 500,
    seed: int = 0,
) -> Estimate:
    """`wasserstein_over_iqr` of the pooled days, with a 95 % interval from resampled days.

    Each day is kept as its distribution function on 256 quantiles of the pooled values, so the
    cost does not grow with the rows; the distance is that of the values so rounded.

    Args:
        ref_days, cur_days: one array of values per day; days without values are passed over.

    Raises:
        ValueError: fewer than two days with values on a side, or NaN.
    """
    ref = [v for day in ref_days if len(v := finite(day, "values"))]
    cur = [v for day in cur_days if len(v := finite(day, "values"))]
    if min(len(ref), len(cur)) < 2:
        raise ValueError("days can only be compared with each other from two on")
    together, reference = np.concatenate([*ref, *cur]), np.concatenate(ref)
    grid = np.unique(np.quantile(together, np.linspace(0, 1, GRID), method="inverted_cdf"))
    if len(grid) < 2:
        return 0.0, 0.0, 0.0
    return wasserstein_by_day(
        np.stack([_on_grid(day, grid) for day in ref]),
        np.stack([_on_grid(day, grid) for day in cur]),
        grid,
        scale_of(reference, np.concatenate(cur)),
        draws=draws,
        seed=seed,
    )


def wasserstein_by_day(
    ref_days: ArrayLike,
    cur_days: ArrayLike,
    grid: Array,
    scale: float,
    *,
    draws: int = 500,
    seed: int = 0,
) -> Estimate:
    """Earth mover's distance of the summed days over ``scale``, with a 95 % interval from resampled
    days.

    Args:
        ref_days, cur_days: shape (days, k): the day's rows at each point of ``grid``.
        grid: shape (k,), rising; two points at least.
    """
    gaps = np.diff(grid) / scale

    def distance(a: Array, b: Array) -> Array:
        p, q = (np.cumsum(x, axis=-1) / x.sum(axis=-1, keepdims=True) for x in (a, b))
        return np.asarray(np.abs(p - q)[..., :-1] @ gaps)

    return by_day(_days(ref_days), _days(cur_days), distance, squared=False, draws=draws, seed=seed)


def _on_grid(values: Array, grid: Array) -> Array:
    """Counts of the values, each rounded to the nearest point of the grid."""
    middle = (grid[1:] + grid[:-1]) / 2
    places = np.searchsorted(middle, values, side="left")
    return np.bincount(places, minlength=len(grid)).astype(np.float64)
