"""Many tests at once: p-values adjusted so that a family of them keeps its promise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Array:
    """Adjusted p-values in the given order: reject those ≤ α and the chance of even one false
    rejection is ≤ α, whatever the dependence (Holm 1979).

    Raises:
        ValueError: a p-value is NaN or outside of [0, 1].
    """
    p = _checked(p_values)
    m = len(p)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(m, 0, -1))
    return _restored(stepped, order)


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Adjusted p-values in the given order: of those ≤ q, at most the share q is expected to be
    false, for independent or positively dependent tests (Benjamini & Hochberg 1995, Benjamini &
    Yekutieli 2001).

    Raises:
        ValueError: a p-value is NaN or outside of [0, 1].
    """
    p = _checked(p_values)
    m = len(p)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * m / np.arange(1, m + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _restored(stepped, order)


def _checked(p_values: ArrayLike) -> Array:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be a list of numbers in [0, 1]")
    return p


def _restored(stepped: Array, order: NDArray[np.intp]) -> Array:
    adjusted = np.empty(len(order), dtype=np.float64)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
