"""The same prompts twice: what differs within a pair cannot be due to other prompts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from monitors.statistics.intervals import wilson

Array = NDArray[np.float64]


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
