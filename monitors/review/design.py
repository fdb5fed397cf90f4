"""Which items people look at: a draw with known probabilities that aims where the judge doubts.

Two stages. The log's sample was drawn first (probability π₁, `monitors.logs.draw`); the batch is
drawn from it (π₂). Every estimate from labels divides by π₁·π₂, so aiming costs no bias; labels
taken from flagged items alone and averaged would cover the truth hardly ever.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Even an item of which the judge is certain must be able to prove it wrong.
FLOOR = 0.15
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item of the sample.

    Args:
        first_stage: π₁, its probability of being in the sample.
        judge: the judge's score in [0, 1]; None where it has none.
    """

    item_id: str
    stratum: str
    first_stage: float
    judge: float | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """An item of the batch.

    Args:
        probability: π₁·π₂, of being in the batch.
        kind: ``core`` (drawn without regard to any score) or ``targeted``.
    """

    item_id: str
    stratum: str
    probability: float
    kind: str
    judge: float | None


@dataclass(frozen=True, slots=True)
class Design:
    """The draw and what it promises.

    Args:
        population: items in the sample.
        expected_width: of the 95 % interval for the share of good answers, with the judge's help,
            if the judge's doubts are honest.
        people_width: the same for as many items drawn at random, and people alone.
    """

    chosen: tuple[Chosen, ...]
    population: int
    expected_width: float
    people_width: float


def seed_of(text: str) -> int:
    """A random generator's seed that any machine makes of the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def draw(
    candidates: Sequence[Candidate], size: int, *, core: float, seed: str, floor: float = FLOOR
) -> Design:
    """Draw ``size`` items (all, when there are fewer); the same seed draws the same items.

    Systematic sampling with unequal probabilities (Madow 1949) along a list that is sorted by
    stratum and shuffled within: the size is exact, every item has its own probability, and each
    stratum gets its share.
    """
    if not candidates:
        return Design((), 0, 0.0, 0.0)
    second = inclusion(candidates, size, core=core, floor=floor)
    generator = np.random.default_rng(seed_of(seed))
    ordered = sorted(range(len(candidates)), key=lambda i: candidates[i].item_id)
    shuffled = [ordered[i] for i in generator.permutation(len(ordered))]
    order = np.array(sorted(shuffled, key=lambda i: candidates[i].stratum))
    picked = order[_systematic(second[order], float(generator.random()))]
    # In an equal-probability draw of core · size items each has this chance. Marking a chosen
    # item as core with the ratio of the two makes the core such a draw by itself.
    even = _even_share(candidates, size, core)
    dice = generator.random(len(picked))
    chosen = tuple(
        Chosen(
            item_id=candidates[i].item_id,
            stratum=candidates[i].stratum,
            probability=float(candidates[i].first_stage * second[i]),
            kind="core" if die < even[i] / second[i] else "targeted",
            judge=candidates[i].judge,
        )
        for i, die in zip(picked, dice, strict=True)
    )
    with_judge, alone = expected_widths(candidates, second)
    return Design(chosen, len(candidates), with_judge, alone)


def inclusion(
    candidates: Sequence[Candidate], size: int, *, core: float, floor: float = FLOOR
) -> Array:
    """π₂ of every candidate; they sum to ``size``.

    A part ``core`` of the batch goes to every answer of the traffic alike, the rest in proportion
    to √(p(1 − p)) of the judge's score p: for an estimate that adds the labels' corrections to
    the judge's mean, that is the allocation of least variance (Neyman; Zrnic & Candès, "Active
    statistical inference", 2024).
    """
    count = len(candidates)
    if size >= count:
        return np.ones(count)
    weights = _weights(candidates)
    aim = weights * np.maximum(np.sqrt(_variance(candidates)), floor)
    mixed = core * weights / weights.sum() + (1 - core) * aim / aim.sum()
    return _capped(mixed, size)


def expected_widths(candidates: Sequence[Candidate], second: Array) -> tuple[float, float]:
    """Widths of the 95 % interval: with the judge's help, and of people alone at random."""
    weights = _weights(candidates)
    share = weights / weights.sum()
    scores = np.array([0.5 if c.judge is None else c.judge for c in candidates])
    doubt = _variance(candidates)
    mean = float(share @ scores)
    correcting = float(np.sum(share**2 * doubt * (1 - second) / second))
    sampling = float(np.sum(share**2 * (doubt + (scores - mean) ** 2)))
    size = float(second.sum())
    overall = float(share @ doubt + share @ (scores - mean) ** 2)
    return 2 * _Z * math.sqrt(correcting + sampling), 2 * _Z * math.sqrt(overall / size)


def _weights(candidates: Sequence[Candidate]) -> Array:
    return 1 / np.array([c.first_stage for c in candidates], dtype=float)


def _variance(candidates: Sequence[Candidate]) -> Array:
    """p(1 − p); a quarter, the most there is, where the judge says nothing."""
    return np.array([0.25 if c.judge is None else c.judge * (1 - c.judge) for c in candidates])


def _even_share(candidates: Sequence[Candidate], size: int, core: float) -> Array:
    if size >= len(candidates):
        return np.ones(len(candidates))
    weights = _weights(candidates)
    return np.asarray(np.minimum(core * size * weights / weights.sum(), 1.0))


def _capped(measure: Array, size: int) -> Array:
    """Probabilities in proportion to ``measure`` that sum to ``size``, none above 1."""
    certain = np.zeros(len(measure), dtype=bool)
    while True:
        left = size - int(certain.sum())
        scaled = np.where(certain, 1.0, left * measure / measure[~certain].sum())
        over = ~certain & (scaled > 1)
        if not over.any():
            return scaled
        certain |= over


def _systematic(probabilities: Array, start: float) -> NDArray[np.intp]:
    edges = np.cumsum(probabilities)
    edges *= round(float(edges[-1])) / edges[-1]  # rounding must not cost the last item
    counts = np.floor(edges - start + 1).astype(int)
    return np.flatnonzero(np.diff(counts, prepend=math.floor(1 - start)) > 0)
