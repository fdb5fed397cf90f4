"""Two samples, one question: are they from the same source, and if not, how far apart?

Effects (`psi`, `jensen_shannon`, `wasserstein_over_iqr`) say how far; each has a value above zero
even when nothing changed, so each comes with that floor. Tests say whether. Rows of one day are
not independent of each other: see `monitors.statistics.days`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from monitors.statistics.intervals import finite

Array = NDArray[np.float64]

_BLOCK = 128


# ── effects ──────────────────────────────────────────────────────────────────────────────────


def aligned(
    reference: Mapping[Hashable, float], current: Mapping[Hashable, float]
) -> tuple[list[Hashable], Array, Array]:
    """Counts by category of two windows as arrays over the union of the categories, sorted."""
    keys = sorted({*reference, *current}, key=str)
    return (
        keys,
        np.array([reference.get(key, 0) for key in keys], dtype=np.float64),
        np.array([current.get(key, 0) for key in keys], dtype=np.float64),
    )


def quantile_edges(reference: ArrayLike, bins: int = 10) -> Array:
    """Inner edges that cut the reference into ``bins`` equally full parts; fewer where it has
    ties. Use with `binned`, which counts a value equal to an edge below it."""
    values = finite(reference, "values")
    if len(values) == 0:
        raise ValueError("there are no values")
    inner = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.unique(inner)


def binned(values: ArrayLike, edges: Array) -> Array:
    """Counts of ``values`` in the len(edges) + 1 parts that ``edges`` make of the line."""
    places = np.searchsorted(edges, finite(values, "values"), side="left")
    return np.bincount(places, minlength=len(edges) + 1).astype(np.float64)


def psi(ref_counts: ArrayLike, cur_counts: ArrayLike) -> float:
    """Population stability index Σ (q − p)·ln(q/p), nats: Jeffreys' divergence of two histograms.

    Half a row is added to every category on both sides, so that a new or vanished one counts
    finitely, and less the fewer rows there are.

    Args:
        ref_counts, cur_counts: shape (k,), of the same categories.

    Raises:
        ValueError: shapes differ, a count is negative or NaN, or a side is empty.
    """
    return float(psi_of(*_counts(ref_counts, cur_counts)))


def jensen_shannon(ref_counts: ArrayLike, cur_counts: ArrayLike) -> float:
    """Jensen–Shannon divergence of two histograms in bits: 0 equal, 1 nothing in common.

    Its square root is the distance. Arguments and errors as in `psi`; nothing is added.
    """
    return float(jensen_shannon_of(*_counts(ref_counts, cur_counts)))


def psi_of(ref: Array, cur: Array) -> Array:
    """`psi` along the last axis of many pairs of histograms at once; nothing is checked."""
    p, q = _shares(ref, cur, 0.5)
    # A category that neither side has is none: its share of 1 on both sides adds 0.
    found: Array = np.sum((q - p) * np.log(q / p), axis=-1)
    return found


def jensen_shannon_of(ref: Array, cur: Array) -> Array:
    """`jensen_shannon` along the last axis of many pairs at once; nothing is checked."""
    p, q = ref / ref.sum(axis=-1, keepdims=True), cur / cur.sum(axis=-1, keepdims=True)
    # 0·log 0 is 0.
    found: Array = (special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2)).sum(
        axis=-1
    )
    return np.clip(found / (2 * math.log(2)), 0.0, 1.0)


def floor_without_change(
    ref_counts: ArrayLike, cur_counts: ArrayLike, *, draws: int = 300, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """What ``psi`` and ``jensen_shannon`` would be if both samples came from the pooled histogram.

    Returns:
        By name, the mean and the 95th percentile over ``draws`` simulated pairs of the same
        sizes. (For well-filled cells the means are about (k−1)(1/n + 1/m) for psi, and that
        divided by 8·ln 2 for jensen_shannon.) Rows count as independent here.
    """
    ref, cur = _counts(ref_counts, cur_counts)
    pooled = (ref + cur) / float((ref + cur).sum())
    generator = np.random.default_rng(seed)
    left = generator.multinomial(round(float(ref.sum())), pooled, draws).astype(np.float64)
    right = generator.multinomial(round(float(cur.sum())), pooled, draws).astype(np.float64)
    found = {}
    for name, distance in (("psi", psi_of), ("jensen_shannon", jensen_shannon_of)):
        values = distance(left, right)
        found[name] = (float(np.mean(values)), float(np.quantile(values, 0.95)))
    return found


def wasserstein_over_iqr(reference: ArrayLike, current: ArrayLike) -> float:
    """Earth mover's distance in units of the reference's interquartile range: "the values moved,
    on average, by so many typical spreads".

    Where half of the reference is one value, its standard deviation stands in; where all of it
    is, the pooled one.

    Raises:
        ValueError: a side is empty or holds NaN.
    """
    ref, cur = finite(reference, "reference"), finite(current, "current")
    if min(len(ref), len(cur)) == 0:
        raise ValueError("a distance needs values on both sides")
    distance = float(stats.wasserstein_distance(ref, cur))
    return distance / scale_of(ref, cur) if distance > 0 else 0.0


def scale_of(reference: Array, current: Array) -> float:
    """The unit of `wasserstein_over_iqr`; 1 where all values are equal."""
    low, high = np.quantile(reference, [0.25, 0.75])
    for scale in (high - low, reference.std(), np.concatenate([reference, current]).std()):
        if scale > 1e-12 * max(1.0, float(np.abs(reference).max())):
            return float(scale)
    return 1.0


def _shares(ref: Array, cur: Array, add: float) -> tuple[Array, Array]:
    """Shares with ``add`` rows more in every category that a side has; 1 on both where none has."""
    seen = ref + cur > 0
    ref, cur = np.where(seen, ref + add, 0.0), np.where(seen, cur + add, 0.0)
    p, q = ref / ref.sum(axis=-1, keepdims=True), cur / cur.sum(axis=-1, keepdims=True)
    return np.where(seen, p, 1.0), np.where(seen, q, 1.0)


def _counts(ref_counts: ArrayLike, cur_counts: ArrayLike) -> tuple[Array, Array]:
    ref, cur = finite(ref_counts, "counts"), finite(cur_counts, "counts")
    if len(ref) != len(cur):
        raise ValueError("both histograms need the same categories")
    if (ref < 0).any() or (cur < 0).any():
        raise ValueError("a count is not negative")
    if ref.sum() <= 0 or cur.sum() <= 0:
        raise ValueError("a distance needs rows on both sides")
    return ref, cur


# ── tests on independent rows ────────────────────────────────────────────────────────────────


def chi_square(
    ref_counts: ArrayLike, cur_counts: ArrayLike, *, minimum: float = 5.0
) -> tuple[float, float]:
    """Pearson's test of homogeneity of two histograms: (statistic, p-value).

    Both rows of the contingency table are samples; the reference is not taken for the truth.
    Categories of which a side expects fewer than ``minimum`` rows are merged into one, so that
    the χ² distribution holds (Cochran 1954). One category left is no evidence: (0, 1).
    """
    ref, cur = _counts(ref_counts, cur_counts)
    groups = merge_groups(ref, cur, minimum)
    if len(groups) < 2:
        return 0.0, 1.0
    table = np.array([[side[group].sum() for group in groups] for side in (ref, cur)])
    found = stats.chi2_contingency(table, correction=False)
    return float(found.statistic), float(found.pvalue)


def merge_groups(ref: Array, cur: Array, minimum: float) -> list[NDArray[np.intp]]:
    """Categories to count as one: the rare ones go together (with the next rarest, if even
    together they are rare), the others stay alone, and what neither side has is left out."""
    total = ref + cur
    order = np.argsort(-total, kind="stable")[: int((total > 0).sum())]
    smaller = min(float(ref.sum()), float(cur.sum())) / float(total.sum())
    expected = total[order] * smaller
    keep = int((expected >= minimum).sum())
    if 0 < float(expected[keep:].sum()) < minimum:
        keep = max(keep - 1, 0)
    rest = [order[keep:]] if keep < len(order) else []
    return [*(order[i : i + 1] for i in range(keep)), *rest]


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> tuple[float, float]:
    """Largest distance of the two distribution functions, and its p-value (conservative with
    ties).

    Raises:
        ValueError: a side is empty or holds NaN.
    """
    ref, cur = finite(reference, "reference"), finite(current, "current")
    if min(len(ref), len(cur)) == 0:
        raise ValueError("a distance needs values on both sides")
    found = stats.ks_2samp(ref, cur, method="asymp")
    return float(found.statistic), float(found.pvalue)


# ── kernels ──────────────────────────────────────────────────────────────────────────────────


def mmd_permutation(
    x: ArrayLike, y: ArrayLike, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Maximum mean discrepancy of two sets of vectors and its permutation p-value.

    Unbiased MMD² with a Gaussian kernel, bandwidth by the median heuristic on the pooled sample
    (Gretton et al. 2012, lemma 6 and § 8). The kernel is made once; ``draws`` exchanges are one
    matrix product. Memory: 4·(n + m)² bytes.

    Args:
        x, y: shapes (n, d) and (m, d); n, m ≥ 2.

    Raises:
        ValueError: shapes do not fit, too few vectors, or NaN.
    """
    first, second = np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError("both samples must be vectors of the same length")
    if min(len(first), len(second)) < 2:
        raise ValueError("MMD needs at least two vectors on each side")
    together = np.concatenate([first, second])
    if not np.isfinite(together).all():
        raise ValueError("a vector holds a number that is not finite")
    n, total = len(first), len(together)
    generator = np.random.default_rng(seed)
    kernel = _gaussian(together, generator)
    observed = float(_mmd2(kernel, np.arange(total)[:, None] < n, n)[0])
    hits = 0
    for begin in range(0, draws, _BLOCK):
        width = min(_BLOCK, draws - begin)
        order = generator.random((total, width)).argpartition(n - 1, axis=0)[:n]
        inside = np.zeros((total, width), dtype=bool)
        np.put_along_axis(inside, order, True, axis=0)
        hits += int((_mmd2(kernel, inside, n) >= observed).sum())
    # The observed dealing is one of the draws (Phipson & Smyth 2010).
    return observed, (hits + 1) / (draws + 1)


def _gaussian(points: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """exp(−d²/median d²) with a zero diagonal."""
    points = points - points.mean(axis=0)
    squares = np.square(points).sum(axis=1)
    chosen = generator.permutation(len(points))[:1000]
    part = squares[chosen][:, None] + squares[chosen] - 2 * points[chosen] @ points[chosen].T
    median = float(np.median(part[np.triu_indices(len(chosen), 1)]))
    kernel: NDArray[np.float32] = points @ points.T
    kernel *= 2
    kernel -= squares[:, None]
    kernel -= squares
    kernel /= np.float32(max(median, 1e-12))
    np.exp(np.minimum(kernel, 0, out=kernel), out=kernel)
    np.fill_diagonal(kernel, 0)
    return kernel


def _mmd2(kernel: NDArray[np.float32], inside: NDArray[np.bool_], n: int) -> Array:
    """MMD² for each column of ``inside``, which marks the n members of the first sample."""
    total = len(kernel)
    m = total - n
    chosen = inside.astype(np.float32)
    product = kernel @ chosen
    within = (product * chosen).sum(axis=0, dtype=np.float64)
    touched = product.sum(axis=0, dtype=np.float64)
    across = touched - within
    others = float(kernel.sum(dtype=np.float64)) - within - 2 * across
    result: Array = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (n * m)
    return result
