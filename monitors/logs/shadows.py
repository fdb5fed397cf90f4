"""Strata for pairs: so that the sample holds a shadow answer and the answer that was served.

A shadow has the sample key of the request it shadows. In a window with shadows the strata are told
apart by a further name, ``pairing``: ``shadow``, ``shadowed`` (a request that some row of the
window shadows), or NULL. Keys within a stratum stay distinct and uniform, so that inclusion
probabilities are what `monitors.logs.design` says; *shadowed* and *shadow* hold the same keys, so
that their minimum is reached at the same rank, by the same pairs. Two shadows of one request have
one key and come together; n / N is then their probability on average. A shadow that is logged in
another window than its request is paired only where both keys are below the rate. A window without
shadows has neither the name nor any other difference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, select

from monitors.context import Context
from monitors.logs.source import Source
from sql.window import Window

PAIRING = "pairing"
SHADOW, SHADOWED = "shadow", "shadowed"


@dataclass(frozen=True, slots=True)
class Counted:
    """The strata of a window.

    Args:
        names: whose values make them: attributes, and ``pairing`` where there are shadows.
        totals: values → rows of the log.
    """

    names: tuple[str, ...]
    totals: dict[tuple[Any, ...], int]


def count_strata(window: Window, context: Context) -> Counted:
    """Count the configured strata; a window with shadows is counted again by pairing."""
    source, wanted = context.source, context.settings.sampling
    names = tuple(name for name in wanted.strata if name in source.attributes)
    shadow = source.shadow_of()
    if shadow is None:
        return Counted(names, source.count_by(window, names))
    is_shadow = case((shadow.is_not(None), 1), else_=0)
    found = source.count_by(window, [*names, is_shadow])
    if any(values[-1] for values in found):
        paired = (*names, PAIRING)
        columns = [stratum_column(source, window, name) for name in paired]
        return Counted(paired, source.count_by(window, columns))
    totals: Counter[tuple[Any, ...]] = Counter()
    for values, rows in found.items():
        totals[values[:-1]] += rows
    return Counted(names, dict(totals))


def stratum_column(source: Source, window: Window, name: str) -> ColumnElement[Any]:
    """The expression of one of the names that make the strata."""
    shadow = source.shadow_of()
    if name != PAIRING or shadow is None:
        return source.column(name)
    # Within itself the inner table hides the outer one of the same name.
    shadowed = select(shadow).where(*source.within(window), shadow.is_not(None)).correlate(None)
    is_shadowed = source.column("id").in_(shadowed)
    return case((shadow.is_not(None), SHADOW), (is_shadowed, SHADOWED), else_=None)
