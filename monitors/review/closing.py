"""What stands at a batch's close: who rates kindly, where people split, and what to fix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from monitors.context import Context
from monitors.review.desk import GOLD, Text, text_of
from monitors.review.labels import LabelError, hold
from monitors.review.rated import ADJUDICATOR, Rated, rated_items
from monitors.review.rubric import DIMENSIONS, GUIDELINES_VERSION, VERDICT
from sql import audit
from sql.tables import golden_example, label, review_assignment, review_entry, review_item, sample

Estimate = tuple[float, float, float]

# Two people so far apart did not see the same answer; a third looks at it.
GAP = 2
MIDDLE = 3
LEAST_SHARED, LEAST_GOLD, LEAST_SLICE = 5, 5, 10
# Columns whose values say where bad answers come from.
SLICES = ("feature", "segment", "prompt_version", "language", "interaction_type", "regenerated")


@dataclass(frozen=True, slots=True)
class Rater:
    """One person's work on a batch.

    Args:
        given, assigned: ratings.
        seconds: the median on an item; None before the first.
        leniency: own accuracy minus the co-rater's on the same items, in points of the scale,
            with a 95 % interval; None below five shared items.
        gold: share of golden items judged as people had agreed, with its interval.
        unable: share of "cannot judge" among the scores.
    """

    name: str
    given: int
    assigned: int
    seconds: float | None
    leniency: Estimate | None
    gold: Estimate | None
    unable: float


@dataclass(frozen=True, slots=True)
class Dispute:
    """An item on which people split, without their names.

    Args:
        scores: one mapping a person, in an order that says nothing.
    """

    position: int
    item_id: str
    text: Text
    scores: tuple[Mapping[str, float | None], ...]
    settled: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """A slice of the traffic in which more answers are bad than elsewhere.

    Args:
        bad, elsewhere: weighted shares of bad answers.
        low: lower end of the difference's interval, all slices looked at together.
    """

    column: str
    value: str
    n: int
    bad: float
    elsewhere: float
    low: float


def raters(batch: str, context: Context) -> list[Rater]:
    """Everybody who was asked, by name."""
    items = rated_items([batch], context)
    places = context.store.rows(
        select(review_assignment.c.evaluator).where(review_assignment.c.batch_id == batch)
    )
    assigned: dict[str, int] = defaultdict(int)
    for place in places:
        assigned[place.evaluator] += 1
    seconds = _seconds(batch, context)
    gold = _gold(batch, context)
    found = []
    for name in sorted(assigned):
        own = [item.ratings[name] for item in items if name in item.ratings]
        scores = [value for rating in own for value in rating.values()]
        found.append(
            Rater(
                name=name,
                given=len(own),
                assigned=assigned[name],
                seconds=_median(seconds.get(name, ())),
                leniency=leniency(items, name),
                gold=_share(gold.get(name, ())),
                unable=sum(value is None for value in scores) / len(scores) if scores else 0.0,
            )
        )
    return found


def leniency(items: Sequence[Rated], name: str) -> Estimate | None:
    """Mean of (own − others' mean) accuracy over shared items, Student's t; None below five."""
    from monitors.statistics.intervals import mean_interval

    gaps = []
    for item in items:
        own = item.ratings.get(name, {}).get(VERDICT)
        others = [
            value
            for person, scores in item.ratings.items()
            if person != name and (value := scores.get(VERDICT)) is not None
        ]
        if own is not None and others:
            gaps.append(own - sum(others) / len(others))
    return mean_interval(gaps) if len(gaps) >= LEAST_SHARED else None


# ── where people split ───────────────────────────────────────────────────────────────────────


def split(scores: Sequence[Mapping[str, float | None]]) -> bool:
    """Do people differ by two points anywhere, or on whether an answer is safe?"""
    for dimension in DIMENSIONS:
        given = [value for one in scores if (value := one.get(dimension)) is not None]
        if len(given) > 1 and max(given) - min(given) >= GAP:
            return True
        if dimension == "safety" and given and min(given) < MIDDLE <= max(given):
            return True
    return False


def disputes(batch: str, context: Context) -> list[Dispute]:
    """The items to be settled by a third person, in the batch's order."""
    position = {
        row.item_id: row.position
        for row in context.store.rows(
            select(review_item.c.item_id, review_item.c.position).where(
                review_item.c.batch_id == batch
            )
        )
    }
    found = []
    for item in rated_items([batch], context):
        # By their scores, not their names: the order must not tell who is who.
        scores = sorted(item.ratings.values(), key=lambda one: str(sorted(one.items())))
        if split(scores):
            text = text_of(batch, item.item_id, context)
            settled = item.settled is not None
            place = position[item.item_id]
            found.append(Dispute(place, item.item_id, text, tuple(scores), settled))
    return sorted(found, key=lambda one: one.position)


def settle_dispute(
    batch: str, position: int, scores: Mapping[str, float | None], actor: str, context: Context
) -> None:
    """Store what stands; it replaces the raters' mean in every verdict, and the audit names who.

    Raises:
        LabelError: people do not differ there, or a score is missing.
    """
    found = [one for one in disputes(batch, context) if one.position == position]
    if not found:
        raise LabelError("people do not differ on this item", where=f"{batch}/{position}")
    if set(scores) != set(DIMENSIONS):
        raise LabelError("each dimension needs a score", where=f"{batch}/{position}")
    now = context.clock()
    row = {
        "batch_id": batch,
        "item_id": found[0].item_id,
        "evaluator": ADJUDICATOR,
        "revision": 1,
        "state": "settled",
        "scores": dict(scores),
        "comment": "",
        "flags": [],
        "correction": "",
        "reason": "",
        "seconds": 0.0,
        "guidelines": GUIDELINES_VERSION,
        "updated_at": now,
    }
    with context.store.begin() as connection:
        hold(connection, batch)
        context.store.upsert(connection, review_entry, [row])
        audit.append(
            connection, actor, "settle_dispute", f"{batch}/{found[0].item_id}", dict(scores), now
        )


# ── what to fix ──────────────────────────────────────────────────────────────────────────────


def what_to_fix(batch: str, context: Context) -> list[Cluster]:
    """Slices in which bad answers are over-represented, the clearest first.

    Each slice against the rest of the traffic by weighted shares (Newcombe's interval at the
    effective n), at a level shared among all slices looked at (Bonferroni).
    """
    mark = context.settings.review.pass_mark
    items = [
        (item, verdict)
        for item in rated_items([batch], context)
        if (verdict := item.is_good(mark)) is not None
    ]
    fields = _fields([item.item_id for item, _ in items], context)
    groups: dict[tuple[str, str], list[bool]] = {}
    for place, (item, _) in enumerate(items):
        for column in SLICES:
            value = fields.get(item.item_id, {}).get(column)
            if value is not None:
                groups.setdefault((column, str(value)), [False] * len(items))[place] = True
    wanted = {
        key: inside
        for key, inside in groups.items()
        if LEAST_SLICE <= sum(inside) <= len(items) - LEAST_SLICE
    }
    found = []
    for (column, value), inside in sorted(wanted.items()):
        cluster = _cluster(items, inside, column, value, level=1 - 0.05 / len(wanted))
        if cluster.low > 0:
            found.append(cluster)
    return sorted(found, key=lambda one: -one.low)


def _cluster(
    items: Sequence[tuple[Rated, bool]],
    inside: Sequence[bool],
    column: str,
    value: str,
    *,
    level: float,
) -> Cluster:
    from monitors.statistics.intervals import effective_sample_size, rate_difference

    rates, sizes = [], []
    for side in (True, False):
        chosen = [pair for pair, here in zip(items, inside, strict=True) if here is side]
        weights = [item.weight for item, _ in chosen]
        bad = sum(item.weight for item, good in chosen if not good)
        rates.append(bad / sum(weights))
        sizes.append(effective_sample_size(weights))
    counts = [rate * size for rate, size in zip(rates, sizes, strict=True)]
    _, low, _ = rate_difference(counts[0], sizes[0], counts[1], sizes[1], level)
    return Cluster(column, value, sum(inside), rates[0], rates[1], low)


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def _fields(ids: Sequence[str], context: Context) -> dict[str, Mapping[str, object]]:
    rows = context.store.rows(
        select(sample.c.item_id, sample.c.fields).where(
            sample.c.source == context.settings.source.name, sample.c.item_id.in_(ids)
        )
    )
    return {row.item_id: row.fields for row in rows}


def _seconds(batch: str, context: Context) -> dict[str, list[float]]:
    rows = context.store.rows(
        select(label.c.item_id, label.c.evaluator, label.c.seconds)
        .where(label.c.batch_id == batch, label.c.seconds.is_not(None))
        .distinct()
    )
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[row.evaluator].append(row.seconds)
    return found


def _gold(batch: str, context: Context) -> dict[str, list[bool]]:
    """Person → for each golden item submitted: judged as people had agreed?"""
    entries = review_entry.c
    rows = context.store.rows(
        select(entries.item_id, entries.evaluator, entries.scores).where(
            entries.batch_id == batch, entries.state == "done", entries.item_id.startswith(GOLD)
        )
    )
    ids = {row.item_id.removeprefix(GOLD) for row in rows}
    table = golden_example.c
    known = context.store.rows(
        select(table.example_id, table.label).where(table.example_id.in_(ids))
    )
    truth = {f"{GOLD}{row.example_id}": row.label >= 0.5 for row in known}
    found: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        given = row.scores.get(VERDICT)
        if given is not None and row.item_id in truth:
            good = given >= context.settings.review.pass_mark
            found[row.evaluator].append(good == truth[row.item_id])
    return found


def _share(hits: Sequence[bool]) -> Estimate | None:
    from monitors.statistics.intervals import wilson

    if len(hits) < LEAST_GOLD:
        return None
    low, high = wilson(sum(hits), len(hits))
    return sum(hits) / len(hits), low, high


def _median(values: Sequence[float]) -> float | None:
    from statistics import median

    return median(values) if values else None
