"""Submitted ratings beside what the judge said and how likely each item was to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, select

from monitors.context import Context
from monitors.review.rubric import VERDICT
from sql.tables import label, review_batch, review_entry, review_item
from sql.window import Window

# The name under which a settled dispute is kept; the audit knows the person.
ADJUDICATOR = "adjudicator"


@dataclass(frozen=True, slots=True)
class Rated:
    """An item of a batch with its submitted ratings.

    Args:
        weight: 1 / its inclusion probability: how many answers of the traffic it stands for.
        ratings: evaluator → dimension → 1 to 5, or None for "cannot judge".
        settled: what a third person decided where they split; None where nobody had to.
    """

    item_id: str
    weight: float
    judge: float | None
    ratings: Mapping[str, Mapping[str, float | None]]
    settled: Mapping[str, float | None] | None = None

    def values(self, dimension: str) -> list[float]:
        """The scores that people gave, without those who could not judge."""
        found = (scores.get(dimension) for scores in self.ratings.values())
        return [value for value in found if value is not None]

    def is_good(self, pass_mark: float) -> bool | None:
        """People's verdict: does their mean accuracy reach the mark? None if nobody could tell.

        Where they split, what the third person decided.
        """
        if self.settled is not None and (decided := self.settled.get(VERDICT)) is not None:
            return decided >= pass_mark
        values = self.values(VERDICT)
        return sum(values) / len(values) >= pass_mark if values else None


def batches_in(window: Window, context: Context) -> list[str]:
    """The batches drawn from months that begin within the window."""
    table = review_batch.c
    return _batches(context, table.window_start >= window.start, table.window_start < window.end)


def batches_before(window: Window, context: Context) -> list[str]:
    """The batches drawn from months that begin before the window."""
    return _batches(context, review_batch.c.window_start < window.start)


def _batches(context: Context, *which: ColumnElement[bool]) -> list[str]:
    table = review_batch.c
    rows = context.store.rows(
        select(table.batch_id)
        .where(table.source == context.settings.source.name, *which)
        .order_by(table.window_start)
    )
    return [row.batch_id for row in rows]


def rated_items(batches: Sequence[str], context: Context) -> list[Rated]:
    """Items with at least one submitted rating, in the order of batch and id."""
    ratings: dict[tuple[str, str], dict[str, dict[str, float | None]]] = {}
    for row in context.store.rows(
        select(label)
        .where(label.c.batch_id.in_(batches), label.c.submitted_at.is_not(None))
        .order_by(label.c.batch_id, label.c.item_id, label.c.evaluator)
    ):
        people = ratings.setdefault((row.batch_id, row.item_id), {})
        people.setdefault(row.evaluator, {})[row.dimension] = row.value
    entries = review_entry.c
    settled = {
        (row.batch_id, row.item_id): row.scores
        for row in context.store.rows(
            select(entries.batch_id, entries.item_id, entries.scores).where(
                entries.batch_id.in_(batches), entries.state == "settled"
            )
        )
    }
    items = context.store.rows(
        select(review_item)
        .where(review_item.c.batch_id.in_(batches))
        .order_by(review_item.c.batch_id, review_item.c.item_id)
    )
    return [
        Rated(
            item_id=item.item_id,
            weight=1 / item.inclusion_probability,
            judge=item.judge_score,
            ratings=ratings[item.batch_id, item.item_id],
            settled=settled.get((item.batch_id, item.item_id)),
        )
        for item in items
        if (item.batch_id, item.item_id) in ratings
    ]


def verdicts(
    items: Sequence[Rated], context: Context
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """People's and the judge's pass or fail, and weights, of the items that both judged."""
    mark, threshold = context.settings.review.pass_mark, context.settings.judge.threshold
    rows = [
        (verdict, item.judge >= threshold, item.weight)
        for item in items
        if item.judge is not None and (verdict := item.is_good(mark)) is not None
    ]
    people, judge, weights = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(people, bool), np.array(judge, bool), np.array(weights, float)
