"""Categories that came, went or exploded: what a distance of whole distributions hides.

Days are the unit here, too. Were nothing new, the days on which a category occurs would lie
anywhere among all days of both windows; that all of its d days fall into a week of w, of D days in
all, has the chance C(w, d) / C(D, d): exact, whatever a day holds. Bonferroni's factor, the number
of categories, allows for having looked at all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from monitors.drift.cells import MINIMUM_ROWS, category_counts
from monitors.drift.sketches import Categories, Sketch
from monitors.statistics.days import Estimate, histogram_test_by_day, share_by_day

Floats = NDArray[np.float64]

# A share that at least trebled exploded.
_TIMES = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """Categories that did one thing.

    Args:
        kind: ``new``, ``vanished``, ``exploded``.
        names: of all that did, those with most rows first.
        share: of the week's rows in new or exploded ones, of the reference's in vanished ones, with
            an interval that takes days as clusters.
        expected: the share without any change: rare categories come and go by chance.
        evidence: p-value of the most telling one, adjusted for the number of categories.
    """

    kind: str
    names: tuple[str, ...]
    share: Estimate
    expected: float
    evidence: float


def changes(before: Sequence[Sketch], after: Sequence[Sketch]) -> list[Change]:
    """All three kinds; empty for numbers, and where there are too few rows or days."""
    past, week = (
        [d for d in side if isinstance(d, Categories) and d.known] for side in (before, after)
    )
    if min(len(past), len(week)) < 2 or min(_rows(past), _rows(week)) < MINIMUM_ROWS:
        return []
    names = sorted({name for day in (*past, *week) for name in day.frequent()})
    ref, cur = (category_counts(side, names)[:, :-1] for side in (past, week))
    return [
        _one_sided("new", names, cur, ref, unseen(ref.sum(axis=0))),
        _one_sided("vanished", names, ref, cur, _missed(ref, _rows(week))),
        _exploded(names, ref, cur),
    ]


def unseen(counts: Floats) -> float:
    """The share of rows whose category has not been seen yet, by how many were seen once (Good
    1953)."""
    total = float(counts.sum())
    return float((counts == 1).sum()) / total if total else 0.0


def _missed(ref: Floats, rows: int) -> float:
    """The share of the reference in categories that so many further rows would not hold."""
    shares = ref.sum(axis=0) / ref.sum()
    return float(np.sum(shares * (1 - shares) ** rows))


def _one_sided(
    kind: str, names: Sequence[str], here: Floats, there: Floats, expected: float
) -> Change:
    """Categories that are in the one window alone."""
    alone = np.flatnonzero((here.sum(axis=0) > 0) & (there.sum(axis=0) == 0))
    mine, total = len(here), len(here) + len(there)
    chances = [_chance(int((here[:, place] > 0).sum()), mine, total) for place in alone]
    return Change(
        kind,
        _by_rows(names, alone, here),
        share_by_day(here[:, alone].sum(axis=1), here.sum(axis=1)),
        expected,
        min([1.0, *(len(names) * chance for chance in chances)]),
    )


def _chance(days: int, mine: int, total: int) -> float:
    """C(mine, days) / C(total, days)."""
    logs = [lgamma(n + 1) - lgamma(n - days + 1) for n in (mine, total)]
    return float(np.exp(logs[0] - logs[1]))


def _exploded(names: Sequence[str], ref: Floats, cur: Floats) -> Change:
    """Categories of both windows whose share at least trebled."""
    p, q = ((side.sum(axis=0) + 0.5) / (side.sum() + 0.5 * len(names)) for side in (ref, cur))
    both = (ref.sum(axis=0) > 0) & (cur.sum(axis=0) > 0)
    grown = np.flatnonzero(both & (q >= _TIMES * p))
    chances = [
        histogram_test_by_day(_against_rest(ref, place), _against_rest(cur, place))
        for place in grown.tolist()
    ]
    inside = cur[:, grown].sum(axis=1)
    return Change(
        "exploded",
        _by_rows(names, grown, cur),
        share_by_day(inside, cur.sum(axis=1)),
        float(ref[:, grown].sum() / ref.sum()),
        min([1.0, *(len(names) * chance for chance in chances)]),
    )


def _against_rest(side: Floats, place: int) -> Floats:
    return np.stack([side[:, place], side.sum(axis=1) - side[:, place]], axis=1)


def _by_rows(names: Sequence[str], places: NDArray[np.intp], side: Floats) -> tuple[str, ...]:
    rows = side.sum(axis=0)
    return tuple(names[place] for place in sorted(places, key=lambda place: (-rows[place], place)))


def _rows(days: Sequence[Categories]) -> int:
    return sum(day.known for day in days)
