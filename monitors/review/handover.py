"""Who may not rate what, and how those who are done take over what others have not begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import exists, or_, select, update

from monitors.context import Context
from monitors.review.desk import RESERVED
from monitors.review.labels import hold
from sql.tables import review_assignment, review_entry, sample

AT_A_TIME = 5


def barred(ids: Sequence[str], context: Context) -> dict[str, set[str]]:
    """Item → the people whose own feature it is, by `[review] conflicts`."""
    conflicts = context.settings.review.conflicts
    if not conflicts:
        return {}
    rows = context.store.rows(
        select(sample.c.item_id, sample.c.fields).where(
            sample.c.source == context.settings.source.name, sample.c.item_id.in_(ids)
        )
    )
    found = {
        row.item_id: {
            name for name, features in conflicts.items() if row.fields.get("feature") in features
        }
        for row in rows
    }
    return {item: people for item, people in found.items() if people}


def free_places(batch: str, evaluator: str, context: Context) -> list[tuple[str, int]]:
    """(item, slot) that this person could take over, those of the busiest people first.

    Open, not begun, not reserved by a look within the last half hour, not rated by the same
    person in the other slot, and of no feature that they must not rate.
    """
    place, entry = review_assignment.c, review_entry.c
    begun = exists().where(
        entry.batch_id == place.batch_id,
        entry.item_id == place.item_id,
        entry.evaluator == place.evaluator,
    )
    rows = context.store.rows(
        select(review_assignment)
        .where(
            place.batch_id == batch,
            place.state == "open",
            or_(place.reserved_until.is_(None), place.reserved_until < context.clock()),
            ~begun,
        )
        .order_by(place.item_id, place.slot)
    )
    own = {
        row.item_id
        for row in context.store.rows(
            select(place.item_id).where(place.batch_id == batch, place.evaluator == evaluator)
        )
    }
    shut = barred([row.item_id for row in rows], context)
    load = Counter(row.evaluator for row in rows)
    free = [
        row for row in rows if row.item_id not in own and evaluator not in shut.get(row.item_id, ())
    ]
    free.sort(key=lambda row: -load[row.evaluator])
    return [(row.item_id, row.slot) for row in free]


def take_over(batch: str, evaluator: str, context: Context, count: int = AT_A_TIME) -> int:
    """Take up to ``count`` places; each is one update that fails if somebody was quicker.

    Returns:
        how many were taken.
    """
    now, place, entry = context.clock(), review_assignment.c, review_entry.c
    wanted = dict(reversed(free_places(batch, evaluator, context)))  # one slot of an item
    taken = 0
    with context.store.begin() as connection:
        hold(connection, batch)
        for item_id, slot in list(wanted.items())[::-1][:count]:
            begun = exists().where(
                entry.batch_id == batch,
                entry.item_id == item_id,
                entry.evaluator == place.evaluator,
            )
            own = review_assignment.alias()
            mine = exists().where(
                own.c.batch_id == batch, own.c.item_id == item_id, own.c.evaluator == evaluator
            )
            result = connection.execute(
                update(review_assignment)
                .where(
                    place.batch_id == batch,
                    place.item_id == item_id,
                    place.slot == slot,
                    place.state == "open",
                    or_(place.reserved_until.is_(None), place.reserved_until < now),
                    ~begun,
                    ~mine,
                )
                .values(evaluator=evaluator, reserved_until=now + RESERVED)
            )
            taken += result.rowcount
    return taken
