"""How well can two windows be told apart at all? The effect size that people know: an AUC."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from monitors.statistics.neighbours import Vectors, unit_vectors

Array = NDArray[np.float64]
_RIDGE = 0.1


@dataclass(frozen=True, slots=True)
class Separation:
    """Probability that a current text looks newer than a reference text; ½ without change.

    Args:
        low, high: 95 % interval.
        error: standard error.
        scores: shape (n_current,), how new each current text looks to a model that never saw it.
    """

    auc: float
    low: float
    high: float
    error: float
    scores: Array


def separation(
    reference: ArrayLike, current: ArrayLike, *, folds: int = 5, seed: int = 0
) -> Separation:
    """A domain classifier (Rabanser, Günnemann & Lipton 2019), cross-fitted.

    Fisher's linear discriminant, with a tenth of the mean variance as ridge, is fitted without a
    fold and asked about it; the folds' areas are averaged. Their variances are DeLong's (1988),
    and since folds share what they learned from, they count 1/K + 1/(K − 1) times and not 1/K
    (Nadeau & Bengio 2003).

    Args:
        reference, current: shapes (n, d), (m, d), unit vectors; at least two a fold.

    Raises:
        ValueError: shapes do not fit, too few vectors, NaN, not unit vectors.
    """
    ref, cur = unit_vectors(reference, "reference"), unit_vectors(current, "current")
    if min(len(ref), len(cur)) < 2 * folds or ref.shape[1] != cur.shape[1]:
        raise ValueError("a domain classifier needs two vectors of each window in each fold")
    generator = np.random.default_rng(seed)
    ref_fold = generator.permutation(np.arange(len(ref)) % folds)
    cur_fold = generator.permutation(np.arange(len(cur)) % folds)
    scores = np.empty(len(cur))
    areas, variances = [], []
    for fold in range(folds):
        weights = _discriminant(ref[ref_fold != fold], cur[cur_fold != fold])
        old = (ref[ref_fold == fold] @ weights).astype(np.float64)
        new = (cur[cur_fold == fold] @ weights).astype(np.float64)
        scores[cur_fold == fold] = new
        area, variance = auc_with_variance(old, new)
        areas.append(area)
        variances.append(variance)
    auc = float(np.mean(areas))
    error = math.sqrt((1 / folds + 1 / (folds - 1)) * float(np.mean(variances)))
    half = float(special.ndtri(0.975)) * error
    return Separation(auc, max(auc - half, 0.0), min(auc + half, 1.0), error, scores)


def auc_with_variance(old: Array, new: Array) -> tuple[float, float]:
    """P(new > old) + ½ P(new = old), and its variance (DeLong, DeLong & Clarke-Pearson 1988).

    Args:
        old, new: at least two scores each.
    """
    n, m = len(old), len(new)
    ranks = stats.rankdata(np.concatenate([old, new]))
    # Of each score: the share of the other side that it beats.
    of_new = (ranks[n:] - stats.rankdata(new)) / n
    of_old = 1 - (ranks[:n] - stats.rankdata(old)) / m
    variance = of_new.var(ddof=1) / m + of_old.var(ddof=1) / n
    return float(of_new.mean()), float(variance)


def _discriminant(ref: Vectors, cur: Vectors) -> Vectors:
    rows = np.concatenate([ref - ref.mean(axis=0), cur - cur.mean(axis=0)])
    spread = (rows.T @ rows).astype(np.float64) / len(rows)
    ridge = _RIDGE * float(np.trace(spread)) / len(spread) + 1e-9
    gap = cur.mean(axis=0) - ref.mean(axis=0)
    weights: Vectors = np.linalg.solve(spread + ridge * np.eye(len(spread)), gap).astype(np.float32)
    return weights
