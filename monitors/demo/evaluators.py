"""Simulated people, for the demo alone: they rate a batch from the generator's truth."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.demo.traffic import truth
from monitors.review.batch import batch_id
from monitors.review.labels import Rating, record_labels
from monitors.review.rubric import RUBRIC
from sql.tables import review_assignment
from sql.window import Window


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
    people: dict[str, list[Rating]] = defaultdict(list)
    for row in rows:
        people[row.evaluator].append(
            _rating(row.item_id, row.evaluator, first.date(), window, context)
        )
    ratings = [rating for some in people.values() for rating in some]
    return record_labels(name, ratings, context)


def _rating(item: str, person: str, first: object, window: Window, context: Context) -> Rating:
    seed = hashlib.sha256(f"{item}/{person}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    lenient = (int.from_bytes(hashlib.sha256(person.encode()).digest()[:2], "big") % 5 - 2) / 10
    right = truth(item, context.settings.demo, first)  # type: ignore[arg-type]
    centre = (4.6 if right else 1.8) + lenient
    scores: dict[str, float | None] = {
        one.name: float(np.clip(round(centre + 0.5 * rng.normal()), 1, 5)) for one in RUBRIC
    }
    return Rating(
        item_id=item,
        evaluator=person,
        scores=scores,
        seconds=float(40 + 30 * rng.random()),
        submitted_at=window.end,
    )
