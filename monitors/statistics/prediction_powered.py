"""Quality from few people's labels and many judge scores, with an interval that people vouch for.

The judge's mean over everything is corrected by the mean of (person − judge) over the labelled
items. A bad judge costs width, never truth (Angelopoulos, Duchi & Zrnic 2023, "PPI++: efficient
prediction-powered inference", § 3 and 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from monitors.statistics.intervals import checked_weights, finite

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PredictionPowered:
    """An estimate and what it took.

    Args:
        mean, low, high: of the labels' mean over the whole traffic.
        trust: λ in [0, 1], how far the judge was followed; 0 is people alone.
        labels_worth: how many labels by people alone would give the same variance.
    """

    mean: float
    low: float
    high: float
    trust: float
    labels_worth: float


def ppi_mean(
    labels: ArrayLike,
    judged: ArrayLike,
    judged_all: ArrayLike,
    label_weights: ArrayLike | None = None,
    all_weights: ArrayLike | None = None,
    *,
    nested: bool = True,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """`prediction_powered` as (mean, low, high)."""
    found = prediction_powered(
        labels, judged, judged_all, label_weights, all_weights, nested=nested, level=level
    )
    return found.mean, found.low, found.high


def prediction_powered(
    labels: ArrayLike,
    judged: ArrayLike,
    judged_all: ArrayLike,
    label_weights: ArrayLike | None = None,
    all_weights: ArrayLike | None = None,
    *,
    nested: bool = True,
    level: float = 0.95,
) -> PredictionPowered:
    """λ·(judge's mean of all) + (mean of label − λ·judge), λ of least variance.

    Both means are Hájek's with linearised variances. Where a good judge leaves few labels to
    disagree with it, an interval of these alone covers too little, so pseudo-labels join them, in
    equal parts for each way in which a person and a judge can pass or fail an answer: four where
    the judge knows nothing and people's rate is a plain proportion (Agresti & Coull 1998), two
    where the judge is right throughout and pairs are compared (Agresti & Min 2005, "Simple
    improved confidence intervals for comparing matched proportions"), between them 4 − 2ρ², by
    the correlation ρ of people and judge. The quantile is the normal one, as in both papers. The
    mean itself is of the real labels alone: unbiased.

    Where few labels aim at a strong judge's doubts this errs on the wide side by a point or so.
    What would be narrower there gives way elsewhere: among fifty labels a judge that is right on
    97 % is often not contradicted once, and then Student's quantile, a bootstrap, or fewer or
    lighter pseudo-labels leave too little.

    Args:
        labels: people's verdicts in [0, 1], shape (n,), n ≥ 2.
        judged: the judge's scores of the same items, in [0, 1].
        judged_all: its scores of the traffic or of a random sample of it, shape (N,).
        label_weights: 1 / probability of being labelled, shape (n,); None for equal ones.
        all_weights: 1 / probability of being in ``judged_all``, shape (N,).
        nested: the labelled items are among ``judged_all`` too (then their shared noise counts).

    Raises:
        ValueError: shapes do not fit, NaN, values outside of [0, 1], fewer than two labels.
    """
    y, f, everything = (
        _shares_of(values, what)
        for values, what in ((labels, "labels"), (judged, "judged"), (judged_all, "judged_all"))
    )
    if len(y) != len(f) or len(y) < 2 or len(everything) < 1:
        raise ValueError("each label needs the judge's score; two labels at least")
    b, a = checked_weights(label_weights, len(y)), checked_weights(all_weights, len(everything))
    count, real = len(y), (y, f, b)
    y, f, b = _with_pseudo_labels(y, f, b)
    trust = _least_variance(y, f, b, everything, a, nested)
    residual = y - trust * f
    mean = trust * float(a @ everything) + float(b @ residual)
    variance = _variance(residual, f, b, everything, a, trust, nested)
    alone = _variance(y, f, b, everything, a, 0.0, nested)
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt(variance)
    low, high = max(min(mean - half, 1.0), 0.0), min(max(mean + half, 0.0), 1.0)
    labels_real, judged_real, weights_real = real
    unbiased = trust * float(a @ everything) + float(
        weights_real @ (labels_real - trust * judged_real)
    )
    return PredictionPowered(
        mean=min(max(unbiased, low), high),
        low=low,
        high=high,
        trust=trust,
        labels_worth=count * alone / variance if variance > 0 else float(count),
    )


def _with_pseudo_labels(y: Array, f: Array, b: Array) -> tuple[Array, Array, Array]:
    count = len(y)
    more = 4 - 2 * _explained(y, f, b)
    return (
        np.concatenate([y, [1.0, 1.0, 0.0, 0.0]]),
        np.concatenate([f, [1.0, 0.0, 1.0, 0.0]]),
        np.concatenate([b * count, np.full(4, more / 4)]) / (count + more),
    )


def _explained(y: Array, f: Array, b: Array) -> float:
    """ρ² of labels and judge; 0 where the judge goes against people, or one of them is constant."""
    people, judge = y - float(b @ y), f - float(b @ f)
    spread = float(b @ people**2) * float(b @ judge**2)
    together = max(float(b @ (people * judge)), 0.0)
    return min(together**2 / spread, 1.0) if spread > 1e-15 else 0.0


def _least_variance(
    y: Array, f: Array, b: Array, everything: Array, a: Array, nested: bool
) -> float:
    """The λ at which `_variance` is smallest, kept within [0, 1]."""
    own = f - float(b @ f)
    squares = float(np.sum(b**2 * own**2))
    products = float(np.sum(b**2 * own * (y - float(b @ y))))
    whole = float(np.sum(a**2 * (everything - float(a @ everything)) ** 2))
    if nested:
        shared = float(np.sum(a**2))
        squares -= 2 * shared * float(b @ own**2)
        products -= shared * float(b @ (own * (y - float(b @ y))))
    slope = squares + whole
    return min(max(products / slope, 0.0), 1.0) if slope > 1e-15 else 0.0


def _variance(
    residual: Array, f: Array, b: Array, everything: Array, a: Array, trust: float, nested: bool
) -> float:
    n = len(residual)
    centred = residual - float(b @ residual)
    variance = n / (n - 1) * float(np.sum(b**2 * centred**2))
    variance += trust**2 * float(np.sum(a**2 * (everything - float(a @ everything)) ** 2))
    if nested:
        shared = float(b @ ((f - float(b @ f)) * centred))
        variance += 2 * trust * float(np.sum(a**2)) * max(shared, 0.0)
    return variance


def _shares_of(values: ArrayLike, what: str) -> Array:
    array = finite(values, what)
    if (array < 0).any() or (array > 1).any():
        raise ValueError(f"{what} must lie in [0, 1]")
    return array
