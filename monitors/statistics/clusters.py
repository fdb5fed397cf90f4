"""Means whose rows come in clusters: many answers to one person are not as many observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from monitors.statistics.intervals import finite

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A sum of weighted means, each with its sign, and how sure it is.

    Args:
        value: in the values' unit.
        error: standard error by clusters, above 0.
        degrees: of freedom of the t distribution that ``(value − truth) / error`` has nearly.
        clusters: in the group that has fewest.
        design_effect: the variance over that of as many independent rows; 1 where every cluster
            is one row, below 1 where the same clusters stand on both sides of a difference.
    """

    value: float
    error: float
    degrees: float
    clusters: int
    design_effect: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        half = float(special.stdtrit(self.degrees, (1 + level) / 2)) * self.error
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float:
        """Two-sided, of "the truth is 0"."""
        return float(2 * special.stdtr(self.degrees, -abs(self.value) / self.error))


def contrast(
    values: ArrayLike,
    weights: ArrayLike,
    clusters: NDArray[np.intp],
    groups: NDArray[np.intp],
    signs: Sequence[float],
) -> Contrast:
    """Σ_g sign_g · mean_g of weighted (Hájek) means, its variance by clusters.

    Leaving cluster c out moves mean_g by −s_gc / (1 − p_gc), where s_gc = Σ_c w(x − mean_g) / W_g
    and p_gc is the cluster's share of the group's weight; the variance is
    Σ_c (Σ_g sign_g √((G_g − 1) / G_g) · s_gc / (1 − p_gc))²: the linearised variance with the
    leverage correction of the jackknife (CR3; Bell & McCaffrey 2002), which is Welch's where
    every cluster is one row of weight 1. A cluster that stands in several groups counts once, so
    that a person who saw both variants does not widen their difference. Degrees of freedom by
    Welch and Satterthwaite, with the effective number of clusters 1 / Σp² (Kish 1965, § 11.7).
    No group's error is below half an observation of a share, 0.5 / G_g: equal values are no
    certainty.

    Args:
        values, weights: shape (rows,); weights are above 0.
        clusters: shape (rows,), whole numbers from 0 that name each row's cluster.
        groups: shape (rows,), the mean that a row belongs to: an index of ``signs``, or −1 for
            none; the values of such rows may be NaN.

    Raises:
        ValueError: a group has fewer than two clusters, shapes differ, or a number is no number.
    """
    x, w = np.asarray(values, dtype=np.float64), finite(weights, "weights")
    if not len(x) == len(w) == len(clusters) == len(groups):
        raise ValueError("values, weights, clusters and groups differ in length")
    x = finite(np.where(groups >= 0, x, 0.0), "values")
    if len(w) and w.min() <= 0:
        raise ValueError("a weight is not above 0")
    width = int(clusters.max(initial=-1)) + 1
    moves, floors, value, degrees, plain = np.zeros(width), 0.0, 0.0, 0.0, 0.0
    fewest = len(x)
    for group, sign in enumerate(signs):
        inside = groups == group
        mean, moved, share, independent = _group(x[inside], w[inside], clusters[inside], width)
        count = int((share > 0).sum())
        moves += sign * moved
        own = sign**2 * float(moved @ moved)
        floor = max(sign**2 * (0.5 / count) ** 2 - own, 0.0)
        value, floors, fewest = value + sign * mean, floors + floor, min(fewest, count)
        plain += sign**2 * max(independent, (0.5 / int(inside.sum())) ** 2)
        degrees += (own + floor) ** 2 / max(1 / float(share @ share) - 1, 1e-9)
    variance = float(moves @ moves) + floors
    return Contrast(
        value,
        math.sqrt(variance),
        max(variance**2 / degrees, 1.0),
        fewest,
        variance / plain,
    )


def _group(
    x: Array, w: Array, clusters: NDArray[np.intp], width: int
) -> tuple[float, Array, Array, float]:
    """(mean, how each cluster moves it, each cluster's share, variance of independent rows)."""
    if len(x) == 0:
        raise ValueError("a group has no rows")
    part = w / w.sum()
    mean = float(part @ x)
    pulls = part * (x - mean)
    share: Array = np.bincount(clusters, part, width).astype(np.float64)
    count = int((share > 0).sum())
    if count < 2:
        raise ValueError("a group needs at least two clusters")
    correction = math.sqrt((count - 1) / count) / np.maximum(1 - share, 1e-9)
    moved = correction * np.bincount(clusters, pulls, width)
    n = len(x)
    return mean, moved, share, n / (n - 1) * float(pulls @ pulls)
