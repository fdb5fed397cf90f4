"""Intervals for rates, means and quantiles, and the smallest change that a sample could show.

Every published number carries one of these. All intervals are two-sided at ``level`` (0.95).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[np.float64]
Interval = tuple[float, float]

# Pseudo-values by which an estimated variance is drawn towards a coin's.
_PSEUDO = 2.0


def finite(values: ArrayLike, what: str) -> Array:
    """``values`` as a one-dimensional array of floats.

    Raises:
        ValueError: it is not one-dimensional, or holds NaN or an infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} holds a number that is not finite")
    return array


def checked_weights(weights: ArrayLike | None, n: int) -> Array:
    """``weights`` (ones when None) scaled to sum to 1.

    Raises:
        ValueError: not ``n`` of them, one is negative or not finite, or all are zero.
    """
    if weights is None:
        if n == 0:
            raise ValueError("there are no values")
        return np.full(n, 1.0 / n)
    array = finite(weights, "weights")
    if len(array) != n:
        raise ValueError(f"{len(array)} weights for {n} values")
    if n == 0 or (array < 0).any() or array.sum() <= 0:
        raise ValueError("weights must not be negative, nor all zero")
    scaled: Array = array / array.sum()
    return scaled


def effective_sample_size(weights: ArrayLike) -> float:
    """(Σw)² / Σw²: as many equally weighted values say as much about a mean (Kish 1965, § 11.7).

    Right where weights have nothing to do with the values, conservative or not where they have.
    """
    array = finite(weights, "weights")
    share = checked_weights(array, len(array))
    return float(1.0 / np.sum(share**2))


# ── rates ────────────────────────────────────────────────────────────────────────────────────


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of a rate (Wilson 1927); never empty, never outside of [0, 1].

    Args:
        successes: out of ``n``; both may be fractional, as effective counts of weighted data are.
        n: more than 0.

    Raises:
        ValueError: ``n`` is not positive, or ``successes`` is not between 0 and ``n``.
    """
    if not (math.isfinite(n) and n > 0):
        raise ValueError("an interval for a rate needs n > 0")
    if not -1e-9 * n <= successes <= n * (1 + 1e-9):
        raise ValueError("successes must lie between 0 and n")
    z = _z(level)
    rate = min(max(successes / n, 0.0), 1.0)
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # Rounding must not leave the estimate outside of its own interval.
    return min(max(centre - half, 0.0), rate), max(min(centre + half, 1.0), rate)


def rate_difference(
    successes1: float, n1: float, successes0: float, n0: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Difference of two independent rates (1 − 0) with its interval, all in [−1, 1].

    Newcombe (1998), method 10: the two Wilson intervals, their distances from the estimates
    squared and added.
    """
    low1, high1 = wilson(successes1, n1, level)
    low0, high0 = wilson(successes0, n0, level)
    rate1, rate0 = successes1 / n1, successes0 / n0
    difference = rate1 - rate0
    return (
        difference,
        difference - math.hypot(rate1 - low1, high0 - rate0),
        difference + math.hypot(high1 - rate1, rate0 - low0),
    )


# ── means ────────────────────────────────────────────────────────────────────────────────────


def mean_interval(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
    bounded: bool = False,
) -> tuple[float, float, float]:
    """Weighted mean and its interval.

    Hájek's ratio estimator Σwy / Σw with linearised variance n/(n−1) · Σw²(y−ȳ)² / (Σw)² and
    Student's t with Kish's effective n − 1 degrees of freedom (Särndal, Swensson & Wretman 1992,
    § 5.7).

    Args:
        values: shape (n,); at least two, unless ``bounded``.
        weights: shape (n,), inverse inclusion probabilities on any scale; None for equal ones.
        bounded: the values lie in [0, 1]; the interval then is Wilson's at the effective sample
            size that the linearised variance implies (Korn & Graubard 1998), so it stays in
            [0, 1] and has a width even where all values are equal. On unweighted zeros and ones
            it is Wilson's.

    Raises:
        ValueError: too few values, NaN, bad weights, or values outside of [0, 1] if ``bounded``.
    """
    y = finite(values, "values")
    share = checked_weights(weights, len(y))
    mean = float(share @ y)
    if bounded:
        mean = min(max(mean, 0.0), 1.0)
        low, high = wilson_of_mean(y, share, mean, level)
        return mean, low, high
    if len(y) < 2:
        raise ValueError("an interval for a mean needs at least two values")
    n, effective = len(y), float(1 / np.sum(share**2))
    error = math.sqrt(n / (n - 1) * float(np.sum(share**2 * (y - mean) ** 2)))
    half = float(special.stdtrit(max(effective - 1, 1.0), (1 + level) / 2)) * error
    return mean, mean - half, mean + half


def wilson_of_mean(values: Array, share: Array, mean: float, level: float) -> Interval:
    """Wilson's interval at the effective n; two pseudo-values steady a variance near an edge."""
    if (values < -1e-12).any() or (values > 1 + 1e-12).any():
        raise ValueError("bounded values must lie in [0, 1]")
    n, spread = len(values), mean * (1 - mean)
    kish = float(np.sum(share**2))
    if spread <= 1e-12:
        return wilson(mean / kish, 1 / kish, level)
    # One divided by the effective n: as the data say, and as a weighted coin would have it.
    seen = float(np.sum(share**2 * (values - mean) ** 2)) / spread
    effective = (n + _PSEUDO) / (n * seen + _PSEUDO * kish)
    return wilson(mean * effective, effective, level)


def welch_df(va: float, na: float, vb: float, nb: float) -> float:
    """Welch–Satterthwaite degrees of freedom of two squared standard errors."""
    if va + vb <= 0:
        return na + nb - 2
    # Shares of the variance, because squares of tiny variances underflow to 0 / 0.
    a, b = va / (va + vb), vb / (va + vb)
    return 1 / (a * a / (na - 1) + b * b / (nb - 1))


# ── quantiles ────────────────────────────────────────────────────────────────────────────────


def quantile_minimum(q: float, level: float = 0.95) -> int:
    """Fewest values for a two-sided interval of a quantile: 36 for p90, 72 for p95, 368 for p99."""
    _check_quantile(q)
    tail = (1 - level) / 2
    # Beyond the outermost value lies the quantile with probability q^n or (1 − q)^n.
    n = math.ceil(math.log(tail) / math.log(max(q, 1 - q)) - 1e-9)
    while None in quantile_ranks(n, q, level):
        n += 1
    return n


def quantile_ranks(n: int, q: float, level: float = 0.95) -> tuple[int | None, int, int | None]:
    """1-based ranks (low, estimate, high) of the order statistics that bound the q-quantile.

    For a database that can answer "the k-th smallest" without handing out the values. Each tail
    errs with at most (1 − level)/2 whatever the distribution (David & Nagaraja 2003, § 7.1); a
    bound is None when not even the outermost value would do.

    Raises:
        ValueError: ``n`` < 1, or ``q`` not strictly between 0 and 1.
    """
    _check_quantile(q)
    if n < 1:
        raise ValueError("a quantile needs at least one value")
    tail = (1 - level) / 2
    # X_(r) lies above the quantile with probability P(Bin(n, q) <= r − 1), and ppf is the smallest
    # count whose probability reaches its argument.
    low = int(stats.binom.ppf(tail, n, q))
    high = int(stats.binom.ppf(1 - tail, n, q)) + 1
    middle = min(max(math.ceil(n * q - 1e-9), 1), n)
    return low if low >= 1 else None, middle, high if high <= n else None


def quantile_interval(
    values: ArrayLike, q: float, *, weights: ArrayLike | None = None, level: float = 0.95
) -> tuple[float, float | None, float | None]:
    """The q-quantile (an order statistic) and its distribution-free interval.

    Args:
        values: shape (n,), in any order, any unit.
        weights: shape (n,), inverse inclusion probabilities; the interval then is Woodruff's
            (1952): the interval of the share below, read off the weighted distribution.

    Returns:
        Estimate, low, high; a bound is None where n is too small for it (`quantile_minimum`).

    Raises:
        ValueError: no values, NaN, bad weights, or ``q`` outside of (0, 1).
    """
    ordered = finite(values, "values")
    if weights is not None:
        return _woodruff(ordered, q, checked_weights(weights, len(ordered)), level)
    low, middle, high = quantile_ranks(len(ordered), q, level)
    ordered = np.sort(ordered)
    return (
        float(ordered[middle - 1]),
        None if low is None else float(ordered[low - 1]),
        None if high is None else float(ordered[high - 1]),
    )


def _woodruff(
    values: Array, q: float, share: Array, level: float
) -> tuple[float, float | None, float | None]:
    _check_quantile(q)
    order = np.argsort(values, kind="stable")
    values, share = values[order], share[order]
    below = np.cumsum(share)
    estimate = _weighted_quantile(values, below, q)
    inside = (values <= estimate).astype(np.float64)
    # As unweighted data of the effective size: their ranks, as shares of the distribution.
    seen = float(np.sum(share**2 * (inside - q) ** 2)) / (q * (1 - q))
    steadied = (len(values) * seen + _PSEUDO * float(np.sum(share**2))) / (len(values) + _PSEUDO)
    effective = min(max(round(1 / steadied), 1), len(values))
    low, _, high = quantile_ranks(effective, q, level)
    return (
        estimate,
        None if low is None else min(_weighted_quantile(values, below, low / effective), estimate),
        None
        if high is None
        else max(_weighted_quantile(values, below, high / effective), estimate),
    )


def _weighted_quantile(values: Array, below: Array, q: float) -> float:
    index = int(np.searchsorted(below, q * float(below[-1]) * (1 - 1e-12)))
    return float(values[min(index, len(values) - 1)])


def _check_quantile(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError("a quantile lies strictly between 0 and 1")


# ── what could have been seen ────────────────────────────────────────────────────────────────


def detectable_difference(
    p0: float,
    n0: float,
    n1: float,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    direction: Literal["down", "up", "either"] = "either",
) -> float | None:
    """Smallest change from the rate ``p0`` that a two-sided test would find with ``power``.

    From Cohen's h (1988, § 6.2): arcsine-transformed rates have variance 1/n at nearly every
    rate, so there is an answer at p0 = 0 and 1 too.

    Args:
        n0: rows behind ``p0``; ``math.inf`` when it is known exactly.
        n1: rows of the window.
        direction: of the change; ``either`` gives the larger of the two that are possible.

    Returns:
        A positive difference of rates, or None when even the largest change would stay unseen.
    """
    if not 0 <= p0 <= 1:
        raise ValueError("a rate lies in [0, 1]")
    h = _z(1 - alpha, power) * math.sqrt(_inverse(n0) + _inverse(n1))
    angle = 2 * math.asin(math.sqrt(p0))
    found = []
    if direction != "up" and angle - h > 0:
        found.append(p0 - math.sin((angle - h) / 2) ** 2)
    if direction != "down" and angle + h < math.pi:
        found.append(math.sin((angle + h) / 2) ** 2 - p0)
    return max(found) if found else None


def detectable_mean_difference(
    sd0: float, n0: float, sd1: float, n1: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest difference of means that Welch's test would find with ``power``, in the unit of sd.

    Args:
        sd0, n0: standard deviation and number of the reference values; ``n0`` may be infinite.
        sd1, n1: of the window's. With days as clusters: of day means, and days.
    """
    v0, v1 = sd0 * sd0 * _inverse(n0), sd1 * sd1 * _inverse(n1)
    if v0 + v1 == 0:
        return 0.0
    df = n1 - 1 if math.isinf(n0) else welch_df(v0, max(n0, 2), v1, max(n1, 2))
    reach = special.stdtrit(max(df, 1), 1 - alpha / 2) + special.stdtrit(max(df, 1), power)
    return float(reach) * math.sqrt(v0 + v1)


def _inverse(n: float) -> float:
    if not n > 0:
        raise ValueError("n must be positive")
    return 0.0 if math.isinf(n) else 1 / n


def _z(level: float, power: float | None = None) -> float:
    if not 0 < level < 1:
        raise ValueError("a level lies strictly between 0 and 1")
    both = float(special.ndtri((1 + level) / 2))
    return both if power is None else both + float(special.ndtri(power))
