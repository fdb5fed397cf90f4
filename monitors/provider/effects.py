"""Did the answers to the same prompts move, beyond what repeated answers move by themselves?

Model answers are random even at temperature 0, so one changed answer means nothing. The pin holds
several answers to each prompt; under "nothing changed" today's answer to a prompt and its pinned
ones are exchangeable, which gives an exact test whatever the noise looks like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Once so many dealings were as extreme as what was seen, further ones cannot bring a verdict.
_ENOUGH = 100
_FIRST_BLOCK, _BLOCK = 250, 2_000


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference, replay minus pin.

    Args:
        pinned, replayed: means over prompts of the prompts' own means.
        low, high: 95 % interval of ``replayed - pinned``.
        p: two-sided, of the within-prompt permutation test.
        standard_error: of the difference.
        n: prompts.
        testable: do the answers to any prompt differ at all? If not, p is 1 whatever happens.
    """

    pinned: float
    replayed: float
    low: float
    high: float
    p: float
    standard_error: float
    n: int
    testable: bool

    @property
    def difference(self) -> float:
        return self.replayed - self.pinned

    def beyond(self, tolerance: float) -> bool:
        """Does the whole interval lie outside of ±tolerance?"""
        return self.low > tolerance or self.high < -tolerance


def compare(
    pinned: Array, replayed: Array, *, share: bool, draws: int = 19_999, seed: int = 0
) -> Effect:
    """The paired effect of one feature.

    Args:
        pinned: K prompts × r repeats.
        replayed: K × m.
        share: the feature lies in [0, 1] (a rate), so its interval is widened near the edges.

    Raises:
        ValueError: the shapes do not fit, or there are fewer than two prompts.
    """
    if pinned.ndim != 2 or replayed.ndim != 2 or len(pinned) != len(replayed) or len(pinned) < 2:
        raise ValueError("compare needs K × r pinned and K × m replayed values, K at least 2")
    differences = replayed.mean(axis=1) - pinned.mean(axis=1)
    low, high, error = difference_interval(differences, share=share)
    together = np.concatenate([pinned, replayed], axis=1)
    yes_or_no = bool(((together == 0) | (together == 1)).all())
    return Effect(
        pinned=float(pinned.mean(axis=1).mean()),
        replayed=float(replayed.mean(axis=1).mean()),
        low=low,
        high=high,
        p=exact_p(pinned, replayed)
        if yes_or_no
        else permutation_p(pinned, replayed, draws=draws, seed=seed),
        standard_error=error,
        n=len(pinned),
        testable=bool(np.ptp(together, axis=1).any()),
    )


def exact_p(pinned: Array, replayed: Array) -> float:
    """Two-sided p-value of "which of a prompt's answers are today's is a matter of chance".

    For answers that are right or wrong. Of a prompt's answers the number of good ones that fall
    to the pin is hypergeometric; their sum over prompts (Fisher's exact test, stratified by
    prompt; Mantel & Haenszel 1959) has the convolution of those distributions. Two-sided by
    distance from the mean: with r = m = 1 it is McNemar's exact test.

    Args:
        pinned: K prompts × r, of 0 and 1.
        replayed: K × m.
    """
    r, m = pinned.shape[1], replayed.shape[1]
    good = (pinned.sum(axis=1) + replayed.sum(axis=1)).astype(int)
    distribution: Array = np.ones(1)
    for count, times in zip(*np.unique(good, return_counts=True), strict=True):
        each = _power(_hypergeometric(int(count), r, m), int(times))
        distribution = np.convolve(distribution, each)
    mean = float(good.sum()) * r / (r + m)
    distance = abs(float(pinned.sum()) - mean)
    far = np.abs(np.arange(len(distribution)) - mean) >= distance - 1e-9
    return float(min(1.0, distribution[far].sum()))


def _power(distribution: Array, times: int) -> Array:
    """Of the sum of so many independent numbers; by squaring, so that all terms stay positive."""
    out: Array = np.ones(1)
    while times:
        if times & 1:
            out = np.convolve(out, distribution)
        distribution, times = np.convolve(distribution, distribution), times >> 1
    return out


@lru_cache(maxsize=1_024)
def _hypergeometric(good: int, r: int, m: int) -> Array:
    """P(k of the pin's r answers are good), k = 0 … r, when ``good`` of r + m are."""
    every = math.comb(r + m, good)
    ways = [math.comb(r, k) * math.comb(m, good - k) if k <= good else 0 for k in range(r + 1)]
    return np.array([each / every for each in ways])


def permutation_p(pinned: Array, replayed: Array, *, draws: int = 19_999, seed: int = 0) -> float:
    """Two-sided p-value of "which of a prompt's answers are today's is a matter of chance".

    The statistic is the mean over prompts of (mean of replay − mean of pin); within each prompt
    the r + m answers are dealt anew, at most ``draws`` times. The observed dealing counts as one
    of them (Phipson & Smyth 2010), and the drawing ends as soon as 100 were as extreme, with
    p = 100 / draws so far (Besag & Clifford 1991): both keep the level exactly.
    """
    r, m = pinned.shape[1], replayed.shape[1]
    together = np.concatenate([pinned, replayed], axis=1)
    totals = together.sum(axis=1)
    # mean(replay) - mean(pin) = (1/m + 1/r) · sum(replay) − total / r: only the first term moves.
    factor, fixed = 1 / m + 1 / r, float(totals.sum()) / r
    observed = abs(factor * float(replayed.sum()) - fixed)
    scale = max(1.0, float(np.abs(together).sum()))
    # Prompts whose answers are all equal are dealt into the same hand every time.
    varied = together[np.ptp(together, axis=1) > 0]
    constant = float(replayed.sum()) - float(replayed[np.ptp(together, axis=1) > 0].sum())
    if len(varied) == 0:
        return 1.0
    generator = np.random.default_rng(seed)
    as_extreme = done = 0
    while done < draws:
        size = min(_BLOCK if done else _FIRST_BLOCK, draws - done)
        sums = _dealt(varied, m, size, generator) + constant
        extreme = np.abs(factor * sums - fixed) >= observed - 1e-12 * scale
        count = int(np.count_nonzero(extreme))
        if as_extreme + count >= _ENOUGH:
            last = int(np.flatnonzero(extreme)[_ENOUGH - as_extreme - 1])
            return _ENOUGH / (done + last + 1)
        as_extreme, done = as_extreme + count, done + size
    return (1 + as_extreme) / (draws + 1)


def _dealt(values: Array, m: int, draws: int, generator: np.random.Generator) -> Array:
    """For each draw, the sum over prompts of the m answers that are dealt to the replay."""
    count, width = values.shape
    if m == 1:
        chosen = generator.integers(width, size=(draws, count))
        return np.asarray(values[np.arange(count), chosen].sum(axis=1))
    order = generator.random((draws, count, width)).argpartition(m - 1, axis=2)[:, :, :m]
    return np.asarray(np.take_along_axis(values[None], order, axis=2).sum(axis=(1, 2)))


def difference_interval(differences: Array, *, share: bool) -> tuple[float, float, float]:
    """95 % interval and standard error of the mean difference.

    Shares: half a pseudo-prompt in each cell of the paired 2 × 2 table (Agresti & Min 2005),
    so that "no difference seen" still has a width. Else: Student's t.
    """
    from scipy import stats

    n, mean = len(differences), float(differences.mean())
    if share:
        centre = float(differences.sum()) / (n + 2)
        spread = (float((differences**2).sum()) + 1) / (n + 2) - centre**2
        error = math.sqrt(max(spread, 0.0) / (n + 2))
        half = 1.959964 * error
        low, high = max(-1.0, min(centre - half, mean)), min(1.0, max(centre + half, mean))
        return low, high, error
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return mean - half, mean + half, error
