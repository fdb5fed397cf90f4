"""Where the batches stand, read from the store."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select

from monitors.review.telling import Standing
from sql.store import Store
from sql.tables import review_assignment, review_batch, review_item


def standings(store: Store, source: str, last: int = 3) -> list[Standing]:
    """The ``last`` batches of a source, the latest first."""
    batch = review_batch.c
    rows = store.rows(
        select(review_batch)
        .where(batch.source == source)
        .order_by(batch.window_start.desc())
        .limit(last)
    )
    return [
        Standing(
            batch_id=row.batch_id,
            state=row.state,
            due=row.due_at,
            created=row.created_at,
            items=_items(store, row.batch_id),
            assigned=sum(places.values()),
            open={
                name: count for (name, state), count in sorted(places.items()) if state == "open"
            },
        )
        for row in rows
        for places in [_places(store, row.batch_id)]
    ]


def _items(store: Store, batch: str) -> int:
    count = select(func.count()).select_from(review_item).where(review_item.c.batch_id == batch)
    return int(store.rows(count)[0][0])


def _places(store: Store, batch: str) -> Counter[tuple[str, str]]:
    place = review_assignment.c
    rows = store.rows(select(place.evaluator, place.state).where(place.batch_id == batch))
    return Counter((row.evaluator, row.state) for row in rows)
