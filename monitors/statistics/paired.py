"""The same prompts twice: what differs within a pair cannot be due to other prompts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from monitors.statistics.intervals import finite, wilson

Array = NDArray[np.float64]

_ENUMERATED = 16
_BLOCK = 2048


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that right and wrong change places by chance (McNemar 1947).

    Args:
        only_first: pairs that are right in the first round only.
        only_second: in the second only. The pairs that agree say nothing.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError("a count is not negative")
    if only_first + only_second == 0:
        return 1.0
    found = stats.binomtest(int(only_first), int(only_first + only_second), 0.5)
    return float(found.pvalue)


def paired_rate_difference(
    both: int, only_first: int, only_second: int, neither: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Second rate − first rate of the same items, with its interval.

    Newcombe (1998, "Improved confidence intervals for the difference between binomial proportions
    based on paired data"), method 10: Wilson's limits, joined by the pairs' correlation φ.

    Raises:
        ValueError: a count is negative, or there are no pairs.
    """
    n = both + only_first + only_second + neither
    if min(both, only_first, only_second, neither) < 0 or n == 0:
        raise ValueError("a paired difference needs pairs")
    first, second = (both + only_first) / n, (both + only_second) / n
    low1, high1 = wilson(both + only_first, n, level)
    low2, high2 = wilson(both + only_second, n, level)
    phi = _phi(both, only_first, only_second, neither)
    difference = second - first
    down = _joined(second - low2, high1 - first, phi)
    up = _joined(high2 - second, first - low1, phi)
    return difference, max(difference - down, -1.0), min(difference + up, 1.0)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the pairs; a positive one is made smaller, which errs to the wide side."""
    n = both + only_first + only_second + neither
    margins = (
        (both + only_first)
        * (only_second + neither)
        * (both + only_second)
        * (only_first + neither)
    )
    if margins == 0:
        return 0.0
    crossed = float(both * neither - only_first * only_second)
    if crossed > 0:
        crossed = max(crossed - n / 2, 0.0)
    return crossed / math.sqrt(margins)


def _joined(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))


def paired_difference(differences: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of the pairs' differences (second − first) and its t interval.

    Raises:
        ValueError: fewer than two pairs, or NaN.
    """
    d = finite(differences, "differences")
    if len(d) < 2:
        raise ValueError("an interval needs at least two pairs")
    mean = float(d.mean())
    half = float(special.stdtrit(len(d) - 1, (1 + level) / 2)) * float(d.std(ddof=1))
    half /= math.sqrt(len(d))
    return mean, mean - half, mean + half


def sign_flip(differences: ArrayLike, *, draws: int = 19_999, seed: int = 0) -> float:
    """Two-sided p-value of "each difference might as well have had the other sign" (Fisher 1935).

    All sign patterns where at most 16 differences are not zero, else ``draws`` random ones, the
    observed pattern counting as one of them.

    Args:
        differences: one per prompt; with repeats, of the means of both rounds.

    Raises:
        ValueError: NaN.
    """
    d = np.abs(finite(differences, "differences"))
    observed = abs(float(np.sum(np.asarray(differences, dtype=np.float64))))
    d = d[d > 0]
    bar = observed - 1e-12 * max(float(d.sum()), 1e-300)
    if len(d) == 0:
        return 1.0
    if len(d) <= _ENUMERATED:
        patterns = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1) @ d) >= bar))
    generator, hits = np.random.default_rng(seed), 0
    for begin in range(0, draws, _BLOCK):
        signs = generator.integers(0, 2, (min(_BLOCK, draws - begin), len(d))) * 2.0 - 1
        hits += int((np.abs(signs @ d) >= bar).sum())
    return (hits + 1) / (draws + 1)


def beyond_noise(
    first: ArrayLike, second: ArrayLike, *, draws: int = 4_999, seed: int = 0
) -> tuple[float, float]:
    """Mean difference of two rounds and its p-value against the noise within a prompt.

    Under "nothing changed" a prompt's repeats and its new answers are alike, so they are dealt
    anew within each prompt: the repeats of the first round are the noise floor.

    Args:
        first: shape (prompts, r), r ≥ 1 repeats at the pin.
        second: shape (prompts, m).

    Returns:
        Mean over prompts of (mean second − mean first), two-sided p-value.

    Raises:
        ValueError: shapes do not fit, no prompts, or NaN.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or min(a.size, b.size) == 0:
        raise ValueError("give prompts × repeats for both rounds")
    together = np.concatenate([a, b], axis=1)
    if not np.isfinite(together).all():
        raise ValueError("a value is not finite")
    r, m = a.shape[1], b.shape[1]
    difference = float((b.mean(axis=1) - a.mean(axis=1)).mean())
    generator, hits = np.random.default_rng(seed), 0
    bar = abs(difference) - 1e-12 * max(1.0, float(np.abs(together).max()))
    whole = together.sum(axis=1)
    for begin in range(0, draws, 256):
        count = min(256, draws - begin)
        order = generator.random((count, *together.shape)).argpartition(m - 1, axis=2)[:, :, :m]
        new = np.take_along_axis(together[None], order, axis=2).sum(axis=2)
        dealt = (new / m - (whole - new) / r).mean(axis=1)
        hits += int((np.abs(dealt) >= bar).sum())
    return difference, (hits + 1) / (draws + 1)
