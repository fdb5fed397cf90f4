"""The mean of an answer that not everybody gives, corrected for who gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from monitors.statistics.intervals import checked_weights, finite, wilson

Cell = tuple[str, ...]
_NORMAL = 1.959964
# Pseudo-values by which few values' variance is drawn towards that of all, and all's to a coin's.
_PSEUDO = 2.0


@dataclass(frozen=True, slots=True)
class Poststratified:
    """A corrected mean.

    Args:
        mean, low, high: with each cell at its share of everybody; 95 %.
        raw: mean of those who answered.
        cells: how many cells were told apart; the others were too thin and stand together.
    """

    mean: float
    low: float
    high: float
    raw: float
    cells: int


def poststratified(
    values: ArrayLike,
    cells: Sequence[Cell],
    weights: ArrayLike | None = None,
    *,
    enough: int = 5,
) -> Poststratified:
    """Mean over everybody of what only some tell, cell by cell (Holt & Smith 1979).

    Σ W_c ȳ_c with W_c the cell's share of all rows. Right if, within a cell, who answers has
    nothing to do with the answer; where that share is the same in all cells, it is the raw mean. A
    cell with fewer than ``enough`` answers joins those that differ from it in the last field alone,
    then in the last two, and so on.

    The variance is that of the cells' means, and of the shares, which are a sample's as well; the
    interval is Wilson's at the effective n that it implies, shortened by Student's t.

    Args:
        values: shape (n,), in [0, 1]; NaN where somebody did not answer.
        cells: n tuples of equal length, the most important field first.
        weights: shape (n,), inverse inclusion probabilities; None for equal ones.

    Raises:
        ValueError: nobody answered, values outside of [0, 1], or lengths that do not fit.
    """
    y = np.asarray(values, dtype=np.float64)
    share = checked_weights(weights, len(y))
    told = ~np.isnan(y)
    answers = finite(y[told], "values")
    if len(cells) != len(y) or not len(answers):
        raise ValueError("a corrected mean needs a cell for each row, and one answer at least")
    if answers.min() < 0 or answers.max() > 1:
        raise ValueError("values must lie in [0, 1]")
    groups = _grouped(cells, told, enough)
    parts = [_Part.of(y, share, told & (groups == g), groups == g) for g in np.unique(groups)]
    mean = min(max(sum(part.share * part.mean for part in parts), 0.0), 1.0)
    low, high = _interval(mean, parts, float(1 / np.sum(share**2)))
    raw = float(share[told] @ answers / share[told].sum())
    return Poststratified(mean, low, high, raw, len(parts))


@dataclass(frozen=True, slots=True)
class _Part:
    """One cell: its share of all, and of its answers the number, mean, Σp² and sum of squares."""

    share: float
    n: int
    mean: float
    concentration: float
    squares: float

    @classmethod
    def of(
        cls,
        y: NDArray[np.float64],
        share: NDArray[np.float64],
        told: NDArray[np.bool_],
        inside: NDArray[np.bool_],
    ) -> _Part:
        p = share[told] / share[told].sum()
        mean, n = float(p @ y[told]), int(told.sum())
        squares = n * float(p @ (y[told] - mean) ** 2)
        return cls(float(share[inside].sum()), n, mean, float(p @ p), squares)


def _interval(mean: float, parts: Sequence[_Part], everybody: float) -> tuple[float, float]:
    coin = mean * (1 - mean)
    flat = sum(part.share**2 * part.concentration for part in parts)
    if coin <= 1e-12:
        return wilson(mean / flat, 1 / flat)
    free = sum(part.n - 1 for part in parts)
    common = (sum(part.squares for part in parts) + _PSEUDO * coin) / (free + _PSEUDO)
    within = [
        part.share**2
        * part.concentration
        * (part.squares + _PSEUDO * common)
        / (part.n - 1 + _PSEUDO)
        for part in parts
    ]
    of_shares = sum(part.share * (part.mean - mean) ** 2 for part in parts) / everybody
    variance = sum(within) + of_shares
    # Satterthwaite's; the shares rest on everybody and cost no freedom.
    lost = sum(v * v / (part.n - 1 + _PSEUDO) for v, part in zip(within, parts, strict=True))
    student = float(special.stdtrit(variance**2 / lost, 0.975)) / _NORMAL
    effective = coin / (variance * student**2)
    return wilson(mean * effective, effective)


def _grouped(cells: Sequence[Cell], told: NDArray[np.bool_], enough: int) -> NDArray[np.intp]:
    """The number of each row's group: its cell, or the wider one that its cell had to join."""
    keys = list(cells)

    def answers() -> Counter[Cell]:
        return Counter(key for key, one in zip(keys, told, strict=True) if one)

    for length in reversed(range(len(keys[0]))):
        count = answers()
        keys = [k[:length] if len(k) > length and count[k] < enough else k for k in keys]
    count = answers()
    while () in keys and count[()] < enough and len(set(keys)) > 1:
        smallest = min(set(keys) - {()}, key=lambda key: (count[key], key))
        keys = [() if key == smallest else key for key in keys]
        count = answers()
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)
