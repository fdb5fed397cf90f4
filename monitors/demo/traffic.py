"""The demo's traffic, day by day: numbers drawn by the block, texts taken from pools.

A row depends on nothing but the seed, the log's first day, its own day and its number within the
day. So any day can be made alone, a larger volume has the rows of a smaller one and more, and the
truth about a row can be had back from its id (see `truths`). Memory is that of one block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitors.demo.grammar import PER_TOPIC, unfold
from monitors.demo.incidents import Effects, effects
from monitors.demo.product import (
    ANSWER,
    CANARY_SHARE,
    DRAFT,
    FEATURES,
    GROWTH_A_WEEK,
    HOURS,
    MIXES,
    SEGMENT_SHARES,
    WEEKDAYS,
    WEEKEND_TRADE,
    Kind,
)

if TYPE_CHECKING:
    from monitors.settings import DemoSettings

BLOCK = 1_000
PREFIX = "hb"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_ERRORS = 0.008
_FALLBACKS = (0.012, 0.003, 0.002)  # another model, the cache, a template
_SHADOWS = 0.05
_ATTACKS = 0.003


@dataclass(frozen=True, slots=True)
class Day:
    """What is true of a whole day, before any row.

    Args:
        rows: how many.
        topics: running sums of the topics' shares.
        mixes: shape (4, kinds), running sums of the kinds' shares, by `Block.mix`.
        slower: shape (features,), factor on the time of a request.
    """

    day: date
    number: int
    rows: int
    planted: Effects
    features: Floats
    segments: Floats
    topics: Floats
    mixes: Floats
    slower: Floats


@dataclass(frozen=True, slots=True)
class Block:
    """The choices behind `BLOCK` rows, one entry a row.

    Args:
        mix: which of the day's mixes of kinds the row was drawn from.
        kind: `Kind` of the answer.
        fallback: index into ``none, model, cache, template, omitted``.
        shadows: the row repeats the one before it, for nobody to see.
        leak, attack: the output holds another customer's data; the input attacks.
    """

    feature: Ints
    segment: Ints
    user: Ints
    topic: Ints
    scenario: Ints
    kind: Ints
    newer: Flags
    canary: Flags
    shadows: Flags
    error: Flags
    fallback: Ints
    leak: Flags
    attack: Flags
    order: Ints
    style: Ints
    at_us: Ints
    rng: np.random.Generator


def traffic(day: date, demo: DemoSettings, first_day: date) -> Iterator[dict[str, Any]]:
    """The rows of a day, by attribute of `Interaction`; nothing on a day that is missing.

    Args:
        first_day: of the log; incidents are planned from it.
    """
    from monitors.demo.rows import block_rows

    facts = day_facts(day, demo.seed, demo.rows_per_day, first_day)
    for number, start in enumerate(range(0, facts.rows, BLOCK)):
        yield from block_rows(facts, demo.seed, number, min(BLOCK, facts.rows - start))


def rows_on(day: date, demo: DemoSettings, first_day: date) -> int:
    """How many rows a day has."""
    return day_facts(day, demo.seed, demo.rows_per_day, first_day).rows


@lru_cache(maxsize=8)
def day_facts(day: date, seed: int, rows_per_day: int, first_day: date) -> Day:
    """Season, growth, the day's own weather, and what is planted on it."""
    rng = np.random.default_rng([seed, day.toordinal()])
    number = (day - first_day).days
    planted = effects(number)
    weather = rng.normal(size=8)
    amount = WEEKDAYS[day.weekday()] * (1 + GROWTH_A_WEEK) ** (number / 7)
    rows = 0 if planted.missing else round(rows_per_day * amount * np.exp(0.025 * weather[0]))
    shares = np.array([feature.share for feature in FEATURES]) * np.exp(0.03 * weather[1:4])
    segments = np.array(SEGMENT_SHARES)
    if day.weekday() >= 5:
        segments[2] *= WEEKEND_TRADE
    weights = unfold(seed).weights
    topics = weights * np.exp(0.06 * rng.normal(size=len(weights)))
    topics = topics / topics.sum() * (1 - planted.new_topic)
    topics[-1] = planted.new_topic
    return Day(
        day,
        number,
        rows,
        planted,
        np.cumsum(shares / shares.sum()),
        np.cumsum(segments / segments.sum()),
        np.cumsum(topics),
        _mixes(planted, 0.05 * float(weather[4])),
        np.exp(0.015 * weather[5:8]) * np.array([1.0, planted.slower, 1.0]),
    )


def _mixes(planted: Effects, bad_day: float) -> Floats:
    """Running sums, one line a feature and one for the newer version of ``answer``."""
    healthy, worse, confident = (_line(mix, bad_day) for mix in MIXES)
    behind = worse if planted.updated else healthy
    return np.cumsum(np.array([healthy, behind, behind, confident]), axis=1)


def _line(mix: Any, bad_day: float) -> Floats:
    line = np.array([mix.get(kind, 0.0) for kind in Kind], dtype=np.float64)
    line[Kind.WRONG_NUMBER :] *= np.exp(bad_day)
    shares: Floats = line / line.sum()
    return shares


def draw(facts: Day, seed: int, number: int) -> Block:
    """Everything random about a block that decides texts; always of `BLOCK` rows."""
    rng = np.random.default_rng([seed, facts.day.toordinal(), number + 1])
    u = rng.random((16, BLOCK))
    feature = _pick(facts.features, u[0])
    topic = _pick(facts.topics, u[1])
    segment = _pick(facts.segments, u[2])
    shadows = _shadows(u[3], feature)
    # A shadow is the request before it, put to another model.
    source = np.arange(BLOCK) - shadows
    feature, topic, segment = feature[source], topic[source], segment[source]
    scenario = topic * PER_TOPIC + (PER_TOPIC * u[4][source] ** 1.3).astype(np.int64)
    user = (6_000 * u[5][source] ** 1.6).astype(np.int64)
    newer = np.where(feature == ANSWER, facts.planted.confident, 0.0)
    newer = u[6][source] < np.where(feature == DRAFT, facts.planted.rolled_out, newer)
    error = (u[7] < _ERRORS) & ~shadows
    fallback = np.where(error, 4, _fallback(u[8]) * ~shadows)
    attack = (u[9][source] < _ATTACKS) & (feature == ANSWER)
    mix = np.where((feature == ANSWER) & newer, 3, feature)
    # Another model than the usual one answers a shadow or a fallback: it is a healthy one.
    mix = np.where(shadows | (fallback == 1), ANSWER, mix)
    kind = (u[10][:, None] >= facts.mixes[mix]).sum(axis=1).clip(max=Kind.BROKEN)
    kind = np.where(fallback == 3, Kind.TEMPLATE, kind)
    kind = np.where(attack, Kind.GOOD, kind)
    kind = np.where(error, Kind.NONE, kind)
    plain = (feature == ANSWER) & ~attack & (kind < Kind.TEMPLATE)
    return Block(
        feature=feature,
        segment=segment,
        user=user,
        topic=topic,
        scenario=scenario,
        kind=kind,
        newer=newer,
        canary=(u[11][source] < CANARY_SHARE) & (feature == ANSWER) & ~shadows,
        shadows=shadows,
        error=error,
        fallback=fallback,
        leak=(u[12] < facts.planted.leak) & plain,
        attack=attack,
        order=(100_000 + 900_000 * u[13][source]).astype(np.int64),
        style=(997 * u[14][source]).astype(np.int64),
        at_us=_times(u[15][source]),
        rng=rng,
    )


def _pick(sums: Floats, u: Floats) -> Ints:
    return np.searchsorted(sums, u, side="right").clip(max=len(sums) - 1)


def _shadows(u: Floats, feature: Ints) -> Flags:
    """Rows that repeat the one before: after a draft, and never after another shadow."""
    wanted = u < _SHADOWS
    wanted[0] = False
    wanted[1:] &= (feature[:-1] == DRAFT) & ~(u[:-1] < _SHADOWS)
    return wanted


def _fallback(u: Floats) -> Ints:
    return np.where(u < sum(_FALLBACKS), 1 + np.searchsorted(np.cumsum(_FALLBACKS), u), 0)


def _times(u: Floats) -> Ints:
    """Microseconds since midnight, by the hours' usual traffic."""
    edges = np.concatenate([[0.0], np.cumsum(HOURS) / sum(HOURS)])
    return (np.interp(u, edges, np.arange(25)) * 3.6e9).astype(np.int64).clip(max=86_399_999_999)


def row_id(day: date, index: int) -> str:
    """``hb-20260601-0000042``: the day and the row's number within it."""
    return f"{PREFIX}-{day:%Y%m%d}-{index:07d}"


def place_of(item_id: str) -> tuple[date, int]:
    """The day and the number that an id encodes.

    Raises:
        ValueError: it is not one of the demo's ids.
    """
    prefix, day, index = item_id.split("-")
    if prefix != PREFIX:
        raise ValueError(f"{item_id!r} is not a request of the demo")
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date(), int(index)


def truths(item_ids: Sequence[str], demo: DemoSettings, first_day: date) -> list[tuple[Kind, bool]]:
    """What the generator knows of rows: (kind of the answer, does it leak another's data)."""
    found: dict[tuple[date, int], Block] = {}
    answers = []
    for item_id in item_ids:
        day, index = place_of(item_id)
        key = (day, index // BLOCK)
        if key not in found:
            facts = day_facts(day, demo.seed, demo.rows_per_day, first_day)
            found[key] = draw(facts, demo.seed, index // BLOCK)
        block, row = found[key], index % BLOCK
        answers.append((Kind(int(block.kind[row])), bool(block.leak[row])))
    return answers


def days_of(first_day: date, weeks: int) -> list[date]:
    """The calendar days of a log, in order."""
    return [first_day + timedelta(days=number) for number in range(7 * weeks)]
