"""Why a mean moved: other rows, or other values of the same rows? An exact table. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """A slice of one window.

    Args:
        weight: of its rows, on any scale that the window's slices share; 0: it has none.
        mean: of its values.
        variance: of single values.
        n: effective rows.
    """

    weight: float
    mean: float
    variance: float = 0.0
    n: float = math.inf


@dataclass(frozen=True, slots=True)
class Part:
    """A slice's part in the change.

    Args:
        share0, share1: of the rows, before and now.
        mean0, mean1: None in a window without the slice.
        mix: what its share's change did; within: what its own mean's change did.
        error: standard error of ``within``.
    """

    share0: float
    share1: float
    mean0: float | None
    mean1: float | None
    mix: float
    within: float
    error: float

    @property
    def total(self) -> float:
        return self.mix + self.within


def contributions(before: Mapping[str, Group], now: Mapping[str, Group]) -> dict[str, Part]:
    """Each slice's part; all ``mix`` and ``within`` together are the change of the mean.

    Kitagawa's (1955) symmetric decomposition: with shares p and means m, a slice's own change
    counts at its mean share, (m₁ − m₀)(p₀ + p₁)/2, and its shift at its mean distance from the
    whole, (p₁ − p₀)((m₀ + m₁)/2 − (M₀ + M₁)/2). A slice that one window lacks has no change of its
    own: all of its part is mix, unless its mean there is given with weight 0.

    Raises:
        ValueError: a window without weight.
    """
    total0, total1 = (sum(one.weight for one in side.values()) for side in (before, now))
    if not (total0 > 0 and total1 > 0):
        raise ValueError("both windows need rows")
    whole0 = sum(one.weight * one.mean for one in before.values()) / total0
    whole1 = sum(one.weight * one.mean for one in now.values()) / total1
    middle = (whole0 + whole1) / 2
    found = {}
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        share0 = old.weight / total0 if old else 0.0
        share1 = new.weight / total1 if new else 0.0
        mean0, mean1 = (one.mean if one else None for one in (old, new))
        known = [mean for mean in (mean0, mean1) if mean is not None]
        within = error = 0.0
        if old and new:
            within = (new.mean - old.mean) * (share0 + share1) / 2
            error = (share0 + share1) / 2 * math.sqrt(old.variance / old.n + new.variance / new.n)
        mix = (share1 - share0) * (sum(known) / len(known) - middle)
        found[name] = Part(share0, share1, mean0, mean1, mix, within, error)
    return found
