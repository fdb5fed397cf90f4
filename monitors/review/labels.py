"""People's ratings: stored under batch, item, person and dimension, with a count of revisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from monitors.context import Context
from monitors.review.rubric import DIMENSIONS, FLAGS
from sql.errors import TidegaugeError
from sql.store import Store
from sql.tables import label, review_assignment, review_batch


class LabelError(TidegaugeError):
    """A rating that cannot be taken: nobody asked for it, or it is not on the scale."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's view of one item.

    Args:
        scores: dimension → 1 to 5, or None for "cannot judge"; every dimension of the rubric.
        seconds: time spent on the item.
        submitted_at: None is a draft, which no estimate reads.
    """

    item_id: str
    evaluator: str
    scores: Mapping[str, float | None]
    comment: str = ""
    flags: Sequence[str] = field(default_factory=tuple)
    seconds: float | None = None
    submitted_at: datetime | None = None


def record_labels(batch_id: str, ratings: Sequence[Rating], context: Context) -> int:
    """Store ratings; what is the same as before stays, what differs becomes a new revision.

    All or nothing. The batch closes with its last submitted rating.

    Returns:
        how many (item, person, dimension) entries are new or changed.

    Raises:
        LabelError: a rating without assignment, of an unknown dimension or flag, or off the scale.
    """
    with context.store.begin() as connection:
        return write_labels(connection, batch_id, ratings, context.store)


def write_labels(
    connection: Connection, batch_id: str, ratings: Sequence[Rating], store: Store
) -> int:
    """`record_labels` within a transaction of the caller's."""
    hold(connection, batch_id)
    asked = _asked(connection, batch_id)
    for rating in ratings:
        _check(rating, asked, batch_id)
    rows = [row for rating in ratings for row in _rows(batch_id, rating)]
    stored = _stored(connection, batch_id)
    changed = []
    for row in rows:
        before = stored.get((row["item_id"], row["evaluator"], row["dimension"]))
        if before is None:
            changed.append({**row, "revision": 1})
        elif any(before[name] != value for name, value in row.items()):
            changed.append({**row, "revision": before["revision"] + 1})
    store.upsert(connection, label, changed)
    for rating in ratings:
        if rating.submitted_at is not None:
            settle(connection, batch_id, rating.item_id, rating.evaluator, "done")
    close_when_settled(connection, batch_id)
    return len(changed)


def hold(connection: Connection, batch_id: str) -> str | None:
    """Keep other writers of the batch waiting until this transaction ends.

    Without it two last ratings at once would each see the other's place open, and the batch
    would never close. SQLite has one writer anyway.

    Returns:
        the batch's state; None where there is no such batch.
    """
    return connection.scalar(
        select(review_batch.c.state).where(review_batch.c.batch_id == batch_id).with_for_update()
    )


def _asked(connection: Connection, batch_id: str) -> set[tuple[str, str]]:
    table = review_assignment.c
    rows = connection.execute(
        select(table.item_id, table.evaluator).where(table.batch_id == batch_id)
    )
    return {(row.item_id, row.evaluator) for row in rows}


def _check(rating: Rating, asked: set[tuple[str, str]], batch_id: str) -> None:
    if (rating.item_id, rating.evaluator) not in asked:
        raise LabelError(
            f"{rating.evaluator!r} was not asked to rate this item",
            where=f"{batch_id}/{rating.item_id}",
            mend="rate the items that are assigned to you",
        )
    where = f"{batch_id}/{rating.item_id}/{rating.evaluator}"
    if set(rating.scores) != set(DIMENSIONS):
        raise LabelError(
            "a rating has each dimension of the rubric, and no other",
            where=where,
            mend=f"give {', '.join(DIMENSIONS)}",
        )
    for value in rating.scores.values():
        if value is not None and value not in (1, 2, 3, 4, 5):
            raise LabelError("a score is 1, 2, 3, 4 or 5", where=where, mend="or cannot judge")
    if unknown := set(rating.flags) - FLAGS:
        raise LabelError(f"there is no flag {sorted(unknown)[0]!r}", where=where)


def _rows(batch_id: str, rating: Rating) -> list[dict[str, Any]]:
    return [
        {
            "batch_id": batch_id,
            "item_id": rating.item_id,
            "evaluator": rating.evaluator,
            "dimension": dimension,
            "value": value,
            "comment": rating.comment.replace("\0", "\ufffd"),  # PostgreSQL holds no NUL
            "flags": sorted(rating.flags),
            "submitted_at": rating.submitted_at,
            "seconds": rating.seconds,
        }
        for dimension, value in sorted(rating.scores.items())
    ]


def _stored(connection: Connection, batch_id: str) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    rows = connection.execute(select(label).where(label.c.batch_id == batch_id)).mappings()
    return {(r["item_id"], r["evaluator"], r["dimension"]): dict(r) for r in rows}


def settle(connection: Connection, batch_id: str, item_id: str, evaluator: str, state: str) -> None:
    """Mark an assignment ``done`` or ``skipped``; what is done stays done."""
    places = review_assignment.c
    connection.execute(
        update(review_assignment)
        .where(
            places.batch_id == batch_id,
            places.item_id == item_id,
            places.evaluator == evaluator,
            places.state != "done",
        )
        .values(state=state, reserved_until=None)
    )


def close_when_settled(connection: Connection, batch_id: str) -> None:
    """The batch is closed when no assignment is open."""
    places = review_assignment.c
    left = connection.scalar(
        select(func.count()).where(places.batch_id == batch_id, places.state == "open")
    )
    if left == 0:
        connection.execute(
            update(review_batch).where(review_batch.c.batch_id == batch_id).values(state="closed")
        )
