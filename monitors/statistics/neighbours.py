"""New topics among embedded texts: found by their neighbourhood, so that they can be named.

Whole-window tests hardly see two per cent of new traffic; neighbourhoods do. All vectors are
unit vectors, so that a product of two is their cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]
Vectors = NDArray[np.float32]

RADII = (0.5, 0.6, 0.7)
_TAILS = (0.01, 0.02, 0.05, 0.1)
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class DenseRegion:
    """The most over-dense neighbourhood of the current window.

    Args:
        p: of the whole scan, corrected for points and radii.
        centre: index of the current text in its middle.
        radius: the cosine within which texts were counted.
        members: indices of the current texts within it, the centre included.
        reference: how many reference texts are within it.
        excess: share of the current window above what the reference leads to expect.
        point_p: shape (n_current,), each point's smallest p over the radii, corrected for them
            but not for the points: which texts lie where the traffic grew.
    """

    p: float
    centre: int
    radius: float
    members: NDArray[np.intp]
    reference: int
    excess: float
    point_p: Array


@dataclass(frozen=True, slots=True)
class NoveltyTail:
    """How much of the current window is farther from the reference than the reference itself.

    Args:
        p: of the test, corrected for the tails looked at.
        share: of current texts beyond the reference's 95th percentile; 0.05 without change.
        novelty: shape (n_current,), 1 − cosine to the nearest reference text.
    """

    p: float
    share: float
    novelty: Array


def density_scan(
    reference: ArrayLike, current: ArrayLike, radii: Sequence[float] = RADII
) -> DenseRegion:
    """Is there a place where the current window has more texts than its size accounts for?

    Around every current text the other current and the reference texts within each radius are
    counted. Without change the current ones among them are binomial with the windows' share; the
    smallest tail probability over points and radii is multiplied by their number (Bonferroni).
    Swap the windows to find topics that shrank. O(n²) products in blocks.

    Args:
        reference, current: shapes (n, d), (m, d); unit vectors; n ≥ 1, m ≥ 2.
        radii: cosines; at least one.

    Raises:
        ValueError: shapes do not fit, NaN, vectors that are not of length one.
    """
    ref, cur = unit_vectors(reference, "reference"), unit_vectors(current, "current")
    if len(ref) < 1 or len(cur) < 2 or ref.shape[1] != cur.shape[1] or not radii:
        raise ValueError("a density scan needs a reference, two current vectors, and a radius")
    inside, outside = _within(cur, cur, radii), _within(cur, ref, radii)
    inside -= 1  # the point itself
    share = (len(cur) - 1) / (len(cur) - 1 + len(ref))
    tails = stats.binom.sf(inside - 1, inside + outside, share)
    point, which = divmod(int(np.argmin(tails)), len(radii))
    members = np.flatnonzero(cur @ cur[point] >= radii[which])
    known = int(outside[point, which])
    return DenseRegion(
        p=min(1.0, float(tails[point, which]) * tails.size),
        centre=point,
        radius=float(radii[which]),
        members=members,
        reference=known,
        excess=max(0.0, len(members) / len(cur) - known / len(ref)),
        point_p=np.minimum(tails.min(axis=1) * len(radii), 1.0),
    )


def novelty_tail(reference: ArrayLike, current: ArrayLike) -> NoveltyTail:
    """Are current texts farther from their nearest reference text than reference texts from
    theirs?

    Among the most distant 1, 2, 5 and 10 % of both windows, the current ones are counted; without
    change their number is hypergeometric. Smallest tail × 4. A reference text has one candidate
    fewer, so its distance is larger by a trifle: the test errs to the quiet side.

    Raises:
        ValueError: shapes do not fit, fewer than two reference vectors, NaN, not unit vectors.
    """
    ref, cur = unit_vectors(reference, "reference"), unit_vectors(current, "current")
    if len(ref) < 2 or len(cur) < 1 or ref.shape[1] != cur.shape[1]:
        raise ValueError("novelty needs two reference vectors and a current one")
    own = 1 - _nearest(ref, ref, itself=True)
    novelty = 1 - _nearest(cur, ref, itself=False)
    together = np.concatenate([own, novelty])
    p = 1.0
    for tail in _TAILS:
        # Everything that ties with the cut is inside of the tail, on both sides.
        cut = np.quantile(together, 1 - tail, method="higher")
        hits, size = int((novelty >= cut).sum()), int((together >= cut).sum())
        p = min(p, float(stats.hypergeom.sf(hits - 1, len(together), len(cur), size)))
    beyond = float(np.mean(novelty > np.quantile(own, 0.95)))
    return NoveltyTail(min(1.0, p * len(_TAILS)), beyond, novelty)


def unit_vectors(values: ArrayLike, what: str) -> Vectors:
    """``values`` as a matrix of unit rows (lengths within 1 % are set right).

    Raises:
        ValueError: not a matrix, NaN, or a row is not of length one.
    """
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(f"{what} must be a matrix of finite numbers")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if (np.abs(lengths - 1) > 0.01).any():
        raise ValueError(f"{what} must be unit vectors")
    unit: Vectors = array / lengths
    return unit


def _within(points: Vectors, others: Vectors, radii: Sequence[float]) -> NDArray[np.int64]:
    counts = np.empty((len(points), len(radii)), dtype=np.int64)
    for begin in range(0, len(points), _BLOCK):
        cosine = points[begin : begin + _BLOCK] @ others.T
        for column, radius in enumerate(radii):
            counts[begin : begin + _BLOCK, column] = (cosine >= radius).sum(axis=1)
    return counts


def _nearest(points: Vectors, others: Vectors, *, itself: bool) -> Array:
    """Cosine of each point to its nearest among ``others`` (not counting itself)."""
    nearest = np.empty(len(points))
    for begin in range(0, len(points), _BLOCK):
        cosine = points[begin : begin + _BLOCK] @ others.T
        if itself:
            rows = np.arange(len(cosine))
            cosine[rows, rows + begin] = -2.0
        nearest[begin : begin + _BLOCK] = cosine.max(axis=1)
    return nearest
