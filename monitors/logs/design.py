"""Who is in the sample, and with which probability: decided from keys and counts alone.

Let a stratum of one window have N rows with independent uniform keys (the md5 of the ids). With
rate r and minimum m, the sample is every row with key < r and, where those are fewer than m, the
rows with the smallest keys until there are min(m, N). So its size is n = max(K, min(m, N)), where
K ~ Binomial(N, r) rows have key < r.

Keys are exchangeable: given n, every set of n rows is equally likely, because n depends on the
keys only through their order statistics and which row holds which rank is independent of those.
Hence, given n, each row is in with probability n / N, and as n ≥ 1 whenever m ≥ 1 and N ≥ 1, the
Horvitz–Thompson total with π = n / N is unbiased given n, and so unbiased (Horvitz & Thompson
1952; conditioning on the realised size is post-stratification, Särndal, Swensson & Wretman 1992,
section 7.6). It also gives every stratum its true weight N, which π = r would only do on average.
With m = 0 a stratum may come out empty; then π = r, the unconditional probability.

A higher rate or minimum adds rows and takes none away. Rows drawn earlier stay when the log grows
late, and late rows with smaller keys join them. The last row of a stratum drawn up to its minimum
then stands there by the rank it once had, and late rows are in with probability (m + 1) / (N + 1)
and not m / N: the weights still sum to N, and the bias is of the order of (late share) / m.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from monitors.context import Context
from monitors.logs.redaction import redact
from monitors.logs.shadows import PAIRING, Counted, stratum_column
from monitors.logs.source import Source
from sql.errors import ConfigurationError
from sql.sampling import rate_bound
from sql.tables import sample
from sql.types import canonical_json
from sql.window import Window

Values = tuple[Any, ...]

MOST_STRATA = 1_000
_TOGETHER = 50  # strata in one statement
_LABEL = 400


@dataclass(frozen=True, slots=True)
class Stratum:
    """One combination of values in one window.

    Args:
        total: rows of the window in it (N).
        drawn: rows of the sample in it (n).
        last: the largest sample key of the sample, when that lies beyond the rate; else None.
        probability: of inclusion, the same for each of its rows.
    """

    total: int
    drawn: int
    last: str | None
    probability: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The sample of a window, before any text is read.

    Args:
        names: whose values make the strata (see `monitors.logs.shadows`).
        bound: keys below it are in whatever their stratum.
    """

    window: Window
    names: tuple[str, ...]
    bound: str
    strata: Mapping[Values, Stratum]
    key: ColumnElement[str]

    @property
    def rows(self) -> int:
        return sum(stratum.total for stratum in self.strata.values())

    def columns(self, source: Source) -> list[ColumnElement[Any]]:
        """The expressions of ``names``."""
        return [stratum_column(source, self.window, name) for name in self.names]

    def conditions(self, source: Source) -> list[ColumnElement[bool]]:
        """Disjoint conditions that together are the sample; each fits one statement."""
        found = [self.key < self.bound]
        beyond = [(values, s.last) for values, s in self.strata.items() if s.last is not None]
        for place in range(0, len(beyond), _TOGETHER):
            parts = [
                and_(self.key <= last, *_is(self.columns(source), values))
                for values, last in beyond[place : place + _TOGETHER]
            ]
            found.append(and_(self.key >= self.bound, or_(*parts)))
        return found


def plan(window: Window, context: Context, counted: Counted) -> Plan:
    """Find how far into each of the counted strata the sample reaches.

    Raises:
        ConfigurationError: the strata are too many to have a minimum each.
    """
    source, wanted = context.source, context.settings.sampling
    names, totals = counted.names, counted.totals
    columns = [stratum_column(source, window, name) for name in names]
    key = source.key(wanted.seed, window, shadows=PAIRING in names)
    bound = rate_bound(wanted.rate)
    if len(totals) > MOST_STRATA:
        raise ConfigurationError(
            f"the strata {', '.join(names)} make {len(totals)} combinations in {window}",
            where="[sampling] strata",
            mend=f"choose fields with few values: at most {MOST_STRATA} combinations",
        )
    below = source.count_by(window, columns, key < bound)
    kept = _kept(window, context)
    last = {
        values: kept[label]
        for values in totals
        if kept.get(label := stratum_label(names, values), "") >= bound
    }
    short = {
        values: min(wanted.minimum, total) - below.get(values, 0)
        for values, total in totals.items()
        if (below.get(values, 0) < min(wanted.minimum, total) or values in last)
        and _can_be_asked_for(values)
    }
    further = _further(window, context, (columns, key, bound), short, last)
    strata = {}
    for values, total in totals.items():
        keys = further.get(values, [])
        drawn = min(total, below.get(values, 0) + len(keys))
        probability = drawn / total if wanted.minimum or keys else wanted.rate
        if drawn:
            strata[values] = Stratum(total, drawn, keys[-1] if keys else None, probability)
        else:
            strata[values] = Stratum(total, 0, None, wanted.rate)
    return Plan(window, names, bound, strata, key)


def stratum_label(names: Sequence[str], values: Values) -> str:
    """The stratum's name in the store: canonical JSON of its values, or its digest when long."""
    clean = [redact(value).text if isinstance(value, str) else value for value in values]
    label = canonical_json(dict(zip(names, clean, strict=True)))
    return label if len(label) <= _LABEL else hashlib.sha256(label.encode()).hexdigest()


def _kept(window: Window, context: Context) -> dict[str, str]:
    """The largest key that earlier draws of the window put into each stratum."""
    query = (
        select(sample.c.stratum, func.max(sample.c.sample_key))
        .where(
            sample.c.source == context.source.name,
            sample.c.at >= window.start,
            sample.c.at < window.end,
        )
        .group_by(sample.c.stratum)
    )
    return {row[0]: row[1] for row in context.store.rows(query)}


def _further(
    window: Window,
    context: Context,
    where: tuple[Sequence[ColumnElement[Any]], ColumnElement[str], str],
    short: Mapping[Values, int],
    last: Mapping[Values, str],
) -> dict[Values, list[str]]:
    """Keys beyond the rate's bound that belong to the sample, by stratum, in order."""
    source, (parts, key, bound) = context.source, where
    found: dict[Values, list[str]] = {}
    wanted = list(short)
    for place in range(0, len(wanted), _TOGETHER):
        together = wanted[place : place + _TOGETHER]
        columns = [part.label(f"s{index}") for index, part in enumerate(parts)]
        # Not row_number: two shadows of one request have one key, and come together.
        rank = func.rank().over(partition_by=columns or None, order_by=key)
        inner = (
            select(*columns, key.label("k"), rank.label("rank"))
            .where(*source.within(window), key >= bound)
            .where(or_(*(and_(True, *_is(parts, values)) for values in together)))
            .subquery()
        )
        most = max(short[values] for values in together)
        furthest = max((last.get(values, "") for values in together), default="")
        query = select(*inner.c).where(or_(inner.c.rank <= most, inner.c.k <= furthest))
        for row in source.rows(query.order_by(inner.c.k)):
            values, largest = tuple(row[: len(parts)]), row.k
            if row.rank <= short[values] or largest <= last.get(values, ""):
                found.setdefault(values, []).append(largest)
    return found


def _can_be_asked_for(values: Values) -> bool:
    """Not UTF-8 in the log: no statement can name it, so it is sampled by the rate alone."""
    try:
        "".join(value for value in values if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is(columns: Sequence[ColumnElement[Any]], values: Values) -> list[ColumnElement[bool]]:
    return [
        column.is_(None) if value is None else column == value
        for column, value in zip(columns, values, strict=True)
    ]
