"""What the reviews page shows: how far people have come. No text, no score, no model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from sql.store import Store
from sql.tables import label, review_assignment, review_batch, review_item
from sql.window import Grain, Window


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Args:
        assigned: ratings asked for (an item may be rated by two).
        rated: ratings given.
    """

    batch_id: str
    window: str
    state: str
    due: datetime
    items: int
    assigned: int
    rated: int

    @property
    def share(self) -> float | None:
        return self.rated / self.assigned if self.assigned else None


def batches(store: Store, zone: str) -> list[Batch]:
    """All batches, the latest first."""
    rated = select(label.c.batch_id, label.c.item_id, label.c.evaluator).where(
        label.c.submitted_at.is_not(None)
    )
    with store.connect() as connection:
        count = {
            "items": _counted(connection, review_item.c.batch_id),
            "assigned": _counted(connection, review_assignment.c.batch_id),
            "rated": _counted(connection, rated.distinct().subquery().c.batch_id),
        }
        rows = connection.execute(
            select(review_batch).order_by(review_batch.c.window_start.desc())
        ).all()
    return [
        Batch(
            batch_id=row.batch_id,
            window=Window.containing(row.window_start, _grain(row), zone).label,
            state=row.state,
            due=row.due_at,
            **{name: by_batch.get(row.batch_id, 0) for name, by_batch in count.items()},
        )
        for row in rows
    ]


def _grain(row: Any) -> Grain:
    return Grain.WEEK if row.window_end - row.window_start < timedelta(days=20) else Grain.MONTH


def _counted(connection: Connection, column: ColumnElement[str]) -> dict[str, int]:
    found = connection.execute(select(column, func.count()).group_by(column))
    return {row[0]: row[1] for row in found}
