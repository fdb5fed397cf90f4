"""What the review's tests share: a month of sampled items, its judge, and people who rate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.review.labels import Rating, record_labels
from monitors.review.rubric import DIMENSIONS
from monitors.settings import ReviewSettings, Settings
from sql.store import Store
from sql.tables import review_assignment, sample, score
from sql.window import Grain, Window

MONTH = Window.of(date(2026, 5, 1), Grain.MONTH)
QUARTER = Window.of(date(2026, 4, 1), Grain.QUARTER)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEOPLE = ["eva", "finn", "grace", "hugo", "iris"]


def review_context(store: Store, folder: Path, *, embedder: Any = None, **changes: Any) -> Context:
    def load() -> Any:
        assert embedder is not None, "nothing here embeds"
        return embedder

    return Context(
        settings=Settings(root=folder, review=ReviewSettings(**{"size": 100, **changes})),
        store=store,
        source=None,  # type: ignore[arg-type]
        scorers=(),
        clock=lambda: NOW,
        embedder=load,
    )


def fill_month(
    context: Context,
    truth: Sequence[float],
    judge: Sequence[float | None],
    *,
    texts: Sequence[tuple[str, str]] | None = None,
    rate: float = 0.05,
) -> list[str]:
    """Store sampled items with their judge scores; returns their ids, in order."""
    rows, scores, ids = [], [], []
    for number, (_, said) in enumerate(zip(truth, judge, strict=True)):
        item_id = f"r{number:05d}"
        at = MONTH.start + timedelta(minutes=number)
        asked, answered = texts[number] if texts else (f"question {number}", f"answer {number}")
        ids.append(item_id)
        rows.append(
            {
                "source": "log",
                "item_id": item_id,
                "at": at,
                "sample_key": f"{number:032x}",
                "stratum": f"feature={'ask' if number % 3 else 'sum'}",
                "inclusion_probability": rate if number % 3 else rate / 2,
                "input": asked,
                "output": answered,
                "context": None,
                "reference": None,
                "input_sha256": "0" * 64,
                "output_sha256": "0" * 64,
                "redactions": {},
                "fields": {"request_model": "secret-model-9"},
                "user_key": None,
            }
        )
        if said is not None:
            for version in ("1", "2"):
                scores.append(
                    {
                        "source": "log",
                        "item_id": item_id,
                        "scorer": "judge",
                        "scorer_version": version,
                        "at": at,
                        "value": said if version == "2" else 0.123,
                        "reason": "",
                    }
                )
    with context.store.begin() as connection:
        context.store.upsert(connection, sample, rows)
        context.store.upsert(connection, score, scores)
    return ids


def rate_all(
    context: Context,
    batch: str,
    truth: dict[str, float],
    *,
    noise: float = 0.0,
    seed: int = 1,
    share: float = 1.0,
) -> None:
    """People rate their items: 5 or 4 for a good one, 1 or 2 for a bad one; some err."""
    rng = np.random.default_rng(seed)
    places = context.store.rows(
        select(review_assignment)
        .where(review_assignment.c.batch_id == batch)
        .order_by(review_assignment.c.item_id, review_assignment.c.slot)
    )
    ratings = []
    for place in places[: round(share * len(places))]:
        good = truth[place.item_id] > 0.5
        if rng.random() < noise:
            good = not good
        accuracy = float(rng.choice([4, 5] if good else [1, 2]))
        scores: dict[str, float | None] = dict.fromkeys(DIMENSIONS, 4.0)
        scores["accuracy"] = accuracy
        ratings.append(
            Rating(place.item_id, place.evaluator, scores, seconds=60.0, submitted_at=NOW)
        )
    record_labels(batch, ratings, context)
