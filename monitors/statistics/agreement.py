"""Do two (or more) raters agree? Percent, beyond chance, and on the class that matters.

Never show agreement alone: where 82 % of the answers are fine, a judge that passes everything
agrees on 82 %. Kappa and recall on the bad class belong beside it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from monitors.statistics.intervals import checked_weights, mean_interval, wilson

Array = NDArray[np.float64]
Estimate = tuple[float, float, float]
Level = Literal["nominal", "ordinal", "interval"]

# What is returned where chance alone explains everything (one rating used throughout).
UNDEFINED: Estimate = (0.0, -1.0, 1.0)
# Items rated by chance that steady kappa's interval (the idea of Agresti & Coull 1998).
_BY_CHANCE = 4.0


def percent_agreement(
    first: Sequence[Hashable] | NDArray[np.bool_],
    second: Sequence[Hashable] | NDArray[np.bool_],
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Weighted share of items with equal ratings, and Wilson's interval at the effective n.

    Raises:
        ValueError: no items, lengths differ, or bad weights.
    """
    same, _, _ = _coded(first, second)
    return mean_interval(same, weights, level=level, bounded=True)


def recall(
    truth: ArrayLike, found: ArrayLike, weights: ArrayLike | None = None, level: float = 0.95
) -> Estimate | None:
    """Share of the truly positive items that were found; None where nothing is truly positive.

    Args:
        truth, found: booleans, shape (n,); True is the class that matters (a bad answer).
    """
    positive, hit = np.asarray(truth, dtype=bool), np.asarray(found, dtype=bool)
    if positive.shape != hit.shape or positive.ndim != 1:
        raise ValueError("both sides must rate the same items")
    if not positive.any():
        return None
    chosen = None if weights is None else np.asarray(weights, dtype=np.float64)[positive]
    return mean_interval(hit[positive].astype(np.float64), chosen, level=level, bounded=True)


def cohen_kappa(
    first: Sequence[Hashable] | NDArray[np.bool_],
    second: Sequence[Hashable] | NDArray[np.bool_],
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Agreement beyond chance, (p_o − p_e)/(1 − p_e) (Cohen 1960), with an interval.

    The variance is the linearised one (Fleiss, Cohen & Everitt 1969, here with item weights), at
    the estimate that four more items rated by chance would give: without those, perfect agreement
    on few items would be certain. Where both raters used one category only, kappa is undefined:
    `UNDEFINED`.

    Raises:
        ValueError: no items, lengths differ, or bad weights.
    """
    same, a, b = _coded(first, second)
    share = checked_weights(weights, len(same))
    size = int(max(a.max(), b.max())) + 1
    left: Array = np.bincount(a, share, size).astype(np.float64)
    right: Array = np.bincount(b, share, size).astype(np.float64)
    observed = 1.0 if same.all() else float(share @ same)
    chance = float(left @ right)
    if chance >= 1 - 1e-12:
        return UNDEFINED
    kappa = (observed - chance) / (1 - chance)
    effective = 1 / float(np.sum(share**2))
    # Chance ratings have the same margins, so they move p_o alone.
    kept = effective / (effective + _BY_CHANCE)
    steadied = kept * observed + (1 - kept) * chance
    influence = _influence(left, right, steadied, chance)
    variance = kept**2 * float(np.sum(share**2 * influence[a, b] ** 2))
    variance += (1 - kept) ** 2 / _BY_CHANCE * float(left @ influence**2 @ right)
    centre = (steadied - chance) / (1 - chance)
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt(variance)
    return kappa, max(-1.0, min(centre - half, kappa)), min(1.0, max(centre + half, kappa))


def _influence(left: Array, right: Array, observed: float, chance: float) -> Array:
    """How an item rated (i, j) moves kappa, shape (k, k)."""
    same = np.eye(len(left)) - observed
    by_chance = right[:, None] + left[None, :] - 2 * chance
    moved: Array = (same * (1 - chance) - (1 - observed) * by_chance) / (1 - chance) ** 2
    return moved


def _coded(
    first: Sequence[Hashable] | NDArray[np.bool_], second: Sequence[Hashable] | NDArray[np.bool_]
) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """1.0 where ratings are equal, and both sides as numbers of their categories."""
    left, right = list(first), list(second)
    if len(left) != len(right) or not left:
        raise ValueError("both raters must rate the same items, at least one")
    number: dict[Hashable, int] = {}
    a = np.array([number.setdefault(value, len(number)) for value in left], dtype=np.intp)
    b = np.array([number.setdefault(value, len(number)) for value in right], dtype=np.intp)
    return (a == b).astype(np.float64), a, b


# ── any number of raters, missing ratings ────────────────────────────────────────────────────


def krippendorff_alpha(
    units: Sequence[Sequence[float | None]],
    level: Level = "nominal",
    *,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """1 − observed/expected disagreement (Krippendorff 2019, "Content analysis", ch. 12).

    Args:
        units: for each item its ratings, as many as there are, in any order; None and NaN are
            missing, and an item with fewer than two ratings says nothing.
        level: how far apart ratings are: equal or not, by ranks passed, or squared difference.
        confidence, draws, seed: of the percentile bootstrap over items.

    Returns:
        Alpha, low, high; `UNDEFINED` where all ratings are equal. Without any disagreement the
        low end supposes that as many items as Wilson's limit allows disagree by chance.

    Raises:
        ValueError: no item has two ratings, or the level is unknown.
    """
    rated = [[float(v) for v in unit if v is not None and v == v] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    if not rated:
        raise ValueError("no item has two ratings")
    scale = np.unique(np.concatenate([np.array(unit) for unit in rated]))
    if len(scale) < 2:
        return UNDEFINED
    pairs = np.stack([_coincidences(unit, scale) for unit in rated])
    alpha = float(_alpha(pairs.sum(axis=0)[None], scale, level)[0])
    counts = np.random.default_rng(seed).multinomial(
        len(rated), np.full(len(rated), 1 / len(rated)), draws
    )
    drawn = (counts @ pairs.reshape(len(rated), -1)).reshape(draws, len(scale), len(scale))
    found = _alpha(drawn, scale, level)
    found = found[np.isfinite(found)]
    if len(found) == 0:
        return UNDEFINED if alpha < 1 else (alpha, -1.0, 1.0)
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(found, [tail, 1 - tail]))
    if alpha >= 1 - 1e-12:
        low = min(low, 1 - wilson(0, len(rated), confidence)[1])
    return alpha, min(low, alpha), max(high, alpha)


def _coincidences(unit: Sequence[float], scale: Array) -> Array:
    """How often two ratings of one item met; each rating counts once."""
    counts = np.bincount(np.searchsorted(scale, unit), minlength=len(scale)).astype(np.float64)
    met: Array = (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    return met


def _alpha(tables: Array, scale: Array, level: Level) -> Array:
    """Alpha of each coincidence matrix; NaN where its ratings are all equal."""
    totals = tables.sum(axis=2)
    n = totals.sum(axis=1)
    distance = _distances(totals, scale, level)
    observed = (tables * distance).sum(axis=(1, 2)) / n
    chance = totals[:, :, None] * totals[:, None, :]
    expected = (chance * distance).sum(axis=(1, 2)) / (n * (n - 1))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1.0), np.nan)


def _distances(totals: Array, scale: Array, level: Level) -> Array:
    """Squared distances of categories, shape (tables or 1, k, k)."""
    if level == "nominal":
        unequal: Array = (scale[:, None] != scale).astype(np.float64)
        return unequal[None]
    if level == "interval":
        squares: Array = np.square(scale[:, None] - scale)
        return squares[None]
    if level == "ordinal":
        # Ratings between the two, half of those at the ends.
        middle = np.cumsum(totals, axis=1) - totals / 2
        ranks: Array = np.square(middle[:, :, None] - middle[:, None, :])
        return ranks
    raise ValueError("level must be nominal, ordinal or interval")
