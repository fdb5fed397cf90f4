"""Topics that one window has and another has not: which texts they are made of. Pure.

The density scan says that there is one and where; here it gets its members, is set aside, and the
scan looks for the next.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Region:
    """A topic.

    Args:
        centre: unit vector.
        members: indices in the window that has it.
        other: how many texts of the other window would belong by the same rule.
        p: of the scan that found it.
    """

    centre: Vectors
    members: Indices
    other: int
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
        centre = _unit(left[strong].mean(axis=0) if len(strong) else left[scan.centre])
        near = np.flatnonzero(left @ centre >= NEAR)
        members = near[_belongs(left[near], left, without, itself="having")]
        if len(members) >= _FEWEST:
            old = without[without @ centre >= NEAR]
            other = int(_belongs(old, left, without, itself="without").sum()) if len(old) else 0
            found.append(Region(centre, rest[members], other, scan.p))
        aside = near if len(near) else np.array([scan.centre])
        rest = np.delete(rest, aside)
    return found


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
