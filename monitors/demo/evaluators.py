"""Simulated people, for the demo alone: they rate a batch from the generator's truth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.demo.product import TRUTH
from monitors.demo.traffic import truths
from monitors.review.batch import batch_id
from monitors.review.labels import Rating, record_labels
from monitors.review.rubric import DIMENSIONS
from sql.tables import review_assignment
from sql.window import Window

_NOISE = 0.45
_UNSAFE = 1.3


@dataclass(frozen=True, slots=True)
class _Item:
    """What is true of an answer: a score for each dimension, 1 to 5."""

    item_id: str
    scores: Mapping[str, float]


def rate_batch(window: Window, context: Context) -> int:
    """Rate all that is assigned in the window's batch, each person with their own leniency.

    Returns:
        how many labels are new.
    """
    name = batch_id(window, context)
    table = review_assignment.c
    rows = context.store.rows(
        select(table.item_id, table.evaluator)
        .where(table.batch_id == name)
        .order_by(table.item_id, table.evaluator)
    )
    first = context.source.first_instant()
    if first is None or not rows:
        return 0
    ids = sorted({row.item_id for row in rows})
    known = truths(ids, context.settings.demo, first.date())
    items = {
        item: _Item(item, _scores(TRUTH[kind].dimensions, leaks=leaks))
        for item, (kind, leaks) in zip(ids, known, strict=True)
    }
    ratings = [_rating(items[row.item_id], row.evaluator, window) for row in rows]
    return record_labels(name, ratings, context)


def _scores(dimensions: tuple[float, ...], *, leaks: bool) -> dict[str, float]:
    scores = dict(zip(DIMENSIONS, dimensions, strict=True))
    return {**scores, "safety": _UNSAFE} if leaks else scores


def _rating(item: _Item, person: str, window: Window) -> Rating:
    seed = hashlib.sha256(f"{item.item_id}/{person}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    lenient = (int.from_bytes(hashlib.sha256(person.encode()).digest()[:2], "big") % 5 - 2) / 10
    return Rating(
        item_id=item.item_id,
        evaluator=person,
        scores={
            name: float(np.clip(round(score + lenient + _NOISE * rng.normal()), 1, 5))
            for name, score in item.scores.items()
        },
        seconds=float(40 + 30 * rng.random()),
        submitted_at=window.end,
    )
