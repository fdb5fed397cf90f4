"""Topics that one window has and another has not: which texts they are made of. Pure.

The density scan says that there is one and where; here it gets its members, is set aside, and the
scan looks for the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.statistics.neighbours import density_scan

Vectors = NDArray[np.float32]
Indices = NDArray[np.intp]

# A topic is reported at this level after Holm over the three tests of the week.
LEVEL = 0.005 / 3
NEAR = 0.5  # cosine to a topic's centre: what lies beyond is another topic
SAME = 0.7  # two weeks' centres at least so near are one topic
_NEIGHBOURS = 10
_TIMES = 3.0  # a member's neighbourhood holds so many times more of the new window than of the old
_FEWEST, _MOST_TOPICS = 5, 8
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Region:
    """A topic.

    Args:
        centre: unit vector.
        members: indices in the window that has it.
        other: indices in the other window of those that would belong by the same rule.
        p: of the scan that found it.
    """

    centre: Vectors
    members: Indices
    other: Indices
    p: float


def regions(without: Vectors, having: Vectors, level: float = LEVEL) -> list[Region]:
    """The topics of ``having`` that ``without`` lacks, the plainest first.

    A text belongs when it lies near the topic's centre and its own ten nearest texts of both
    windows are mostly of this window: the first alone would take in old topics next to it.

    Args:
        without, having: shapes (n, d), (m, d), unit vectors.
    """
    rest = np.arange(len(having))
    found: list[Region] = []
    while len(rest) > max(_NEIGHBOURS, _FEWEST) and len(found) < _MOST_TOPICS and len(without):
        left = having[rest]
        scan = density_scan(without, left)
        if scan.p > level:
            break
        strong = np.flatnonzero(scan.point_p * len(left) <= level)
        strong = strong[left[strong] @ left[scan.centre] >= NEAR]
        middle = _unit(left[strong].mean(axis=0) if len(strong) else left[scan.centre])
        members = _members(left, without, [middle])[0]
        centres = [_unit(left[members[part]].mean(axis=0)) for part in apart(left[members])]
        # Each topic anew about its own centre: the first one may have lain between two.
        parts = [members] * len(centres)
        if len(centres) > 1:
            parts = _members(left, without, centres)
        for centre, part in zip(centres, parts, strict=True):
            if len(part) >= _FEWEST:
                old = np.flatnonzero(without @ centre >= NEAR)
                if len(old):
                    old = old[_belongs(without[old], left, without, itself="without")]
                found.append(Region(centre, rest[part], old, scan.p))
        # What lies near and does not belong is an old topic, or another new one: it stays.
        aside = np.unique(np.concatenate([[scan.centre], strong, members, *parts]))
        rest = np.delete(rest, aside)
    return found[:_MOST_TOPICS]


def _members(left: Vectors, without: Vectors, centres: Sequence[Vectors]) -> list[Indices]:
    """For each centre the texts that belong there, each to the nearest centre."""
    cosine = left @ np.stack(centres).T
    near = np.flatnonzero(cosine.max(axis=1) >= NEAR)
    near = near[_belongs(left[near], left, without, itself="having")]
    nearest = cosine[near].argmax(axis=1)
    return [near[nearest == number] for number in range(len(centres))]


def apart(points: Vectors) -> list[Indices]:
    """The topics among texts that lie near each other; none where there are too few.

    In two along the widest direction, and again, for as long as the halves would be two topics
    by the measure that tells topics of two weeks apart.

    Args:
        points: shape (n, d), unit vectors.
    """
    whole = np.arange(len(points))
    if len(points) < 2 * _FEWEST:
        return [whole] if len(points) >= _FEWEST else []
    side = _halves(points)
    halves = [np.flatnonzero(side == half) for half in (False, True)]
    if min(map(len, halves)) < _FEWEST or _alike(*(points[half] for half in halves)) >= SAME:
        return [whole]
    return [half[part] for half in halves for part in apart(points[half])]


def _halves(points: Vectors) -> NDArray[np.bool_]:
    """Two means on the sphere, begun at the sign of the first principal component."""
    middle = points - points.mean(axis=0)
    side: NDArray[np.bool_] = middle @ np.linalg.svd(middle, full_matrices=False)[2][0] > 0
    for _ in range(_ROUNDS):
        if side.all() or not side.any():
            break
        centres = [_unit(points[side == half].mean(axis=0)) for half in (False, True)]
        again = points @ centres[1] > points @ centres[0]
        if (again == side).all():
            break
        side = again
    return side


def _alike(some: Vectors, others: Vectors) -> float:
    """Cosine of the centres of two sets, as it would be of many texts.

    A centre of few texts keeps some of their noise: without the texts' products with themselves
    the noise cancels.
    """

    def within(points: Vectors) -> float:
        n = len(points)
        return float((np.sum(points.sum(axis=0) ** 2) - n) / (n * (n - 1)))

    between = float(some.mean(axis=0) @ others.mean(axis=0))
    return between / math.sqrt(max(within(some) * within(others), 1e-9))


def _belongs(
    points: Vectors, having: Vectors, without: Vectors, *, itself: str
) -> NDArray[np.bool_]:
    """Is a point's neighbourhood so many times denser in the one window than in the other?

    Args:
        itself: the window that the points are of; a point is no neighbour of its own.
    """
    skip = (int(itself == "having"), int(itself == "without"))
    here, there = (
        -np.sort(-(points @ side.T), axis=1)[:, first : first + _NEIGHBOURS]
        for side, first in zip((having, without), skip, strict=True)
    )
    both = -np.sort(-np.concatenate([here, there], axis=1), axis=1)
    last = both[:, min(_NEIGHBOURS, both.shape[1]) - 1][:, None]
    mine = (here >= last).sum(axis=1) / len(having)
    theirs = (there >= last).sum(axis=1) / len(without)
    kept: NDArray[np.bool_] = mine >= _TIMES * theirs
    return kept


def _unit(vector: Vectors) -> Vectors:
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length else vector, dtype=np.float32)


def matched(before: Sequence[Vectors], now: Sequence[Vectors]) -> list[int | None]:
    """For each centre of now, which of before is the same topic, or None.

    The pairs are those with the largest sum of cosines (Kuhn 1955), less those below `SAME`.
    """
    if not before or not now:
        return [None] * len(now)
    from scipy.optimize import linear_sum_assignment

    cosine = np.stack(now) @ np.stack(before).T
    found: list[int | None] = [None] * len(now)
    for row, column in zip(*linear_sum_assignment(-cosine), strict=True):
        if cosine[row, column] >= SAME:
            found[int(row)] = int(column)
    return found
