"""An evaluator's desk: which item comes next, and what has been written on it so far.

A draft is kept at every change; only *submit* makes it a rating that estimates read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from monitors.context import Context
from monitors.review.design import seed_of
from monitors.review.labels import (
    LabelError,
    Rating,
    close_when_settled,
    hold,
    settle,
    write_labels,
)
from monitors.review.rubric import DIMENSIONS, FLAGS, GUIDELINES_VERSION, SKIP_REASONS
from sql.tables import (
    golden_example,
    review_assignment,
    review_batch,
    review_entry,
    review_item,
    sample,
)
from sql.window import Grain, Window

# A sitting ends with a pause of so long; after two hours people rate worse than they know.
PAUSE = timedelta(minutes=30)
RESERVED = timedelta(minutes=30)
SOFT_STOP_S, HARD_STOP_S = 90 * 60, 120 * 60
# Longer on one item is a pause that nobody declared.
LONGEST_S = 600.0
COMMENT_LIMIT = 10_000
GOLD = "gold:"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a person's queue.

    Args:
        number: from 1, in the person's own order.
        state: ``open``, ``draft``, ``done`` or ``skipped``.
        calibration: answered with what people agreed on, once it is submitted.
    """

    number: int
    item_id: str
    state: str
    calibration: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person has written on an item."""

    scores: Mapping[str, float | None] = field(default_factory=dict)
    comment: str = ""
    flags: Sequence[str] = ()
    correction: str = ""
    reason: str = ""
    seconds: float = 0.0
    revision: int = 0
    state: str = "open"
    guidelines: str = GUIDELINES_VERSION


@dataclass(frozen=True, slots=True)
class Text:
    """What may be seen of an item: no model, version, segment, score or reason."""

    input: str
    output: str
    context: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The answer to a save; ``notice`` is for the person, empty when all is as expected."""

    revision: int
    state: str
    notice: str = ""


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def open_batches(evaluator: str, context: Context) -> list[tuple[str, datetime]]:
    """The batches in which the person has items, the latest first, with their due times."""
    mine = select(review_assignment.c.batch_id).where(review_assignment.c.evaluator == evaluator)
    rows = context.store.rows(
        select(review_batch)
        .where(review_batch.c.batch_id.in_(mine))
        .order_by(review_batch.c.window_start.desc())
    )
    return [(row.batch_id, row.due_at) for row in rows]


def all_batches(context: Context) -> Sequence[Any]:
    """Two years of batches, the latest first: ``batch_id``, ``state``, ``due_at``."""
    table = review_batch.c
    query = select(table.batch_id, table.state, table.due_at)
    return context.store.rows(query.order_by(table.window_start.desc()).limit(24))


def is_open(batch_id: str, context: Context) -> bool:
    """May it still be rated?"""
    batch = _batch(batch_id, context)
    return batch is not None and batch.state == "open"


def queue(batch_id: str, evaluator: str, context: Context) -> list[Place]:
    """The person's items in their own order: calibration first, hidden gold strewn in.

    The order is random but fixed, another one for every person, so that tiredness and contrast
    do not fall on the same items. Empty for somebody who was not asked.
    """
    batch = _batch(batch_id, context)
    places = review_assignment.c
    mine = context.store.rows(
        select(places.item_id, places.state).where(
            places.batch_id == batch_id, places.evaluator == evaluator
        )
    )
    if batch is None or not mine:
        return []
    entries = review_entry.c
    written = {
        row.item_id: row.state
        for row in context.store.rows(
            select(entries.item_id, entries.state).where(
                entries.batch_id == batch_id, entries.evaluator == evaluator
            )
        )
    }
    done = {row.item_id for row in mine if row.state == "done"}
    first: list[str] = batch.design.get("calibration", [])
    mixed = [row.item_id for row in mine] + list(batch.design.get("gold", []))
    mixed.sort(key=lambda item_id: seed_of(f"{batch_id}:{evaluator}:{item_id}"))
    return [
        Place(
            number,
            item_id,
            "done" if item_id in done else written.get(item_id, "open"),
            item_id in first,
        )
        for number, item_id in enumerate([*first, *mixed], 1)
    ]


def next_place(places: Sequence[Place], after: int = 0) -> Place | None:
    """The first unfinished place behind ``after``, else the first of all; None when all is done."""
    left = [place for place in places if place.state in ("open", "draft")]
    return next((place for place in left if place.number > after), left[0] if left else None)


def entry_of(batch_id: str, item_id: str, evaluator: str, context: Context) -> Entry:
    """What the person has written so far; an empty entry before that."""
    with context.store.connect() as connection:
        return _entry(connection, batch_id, item_id, evaluator)


def text_of(batch_id: str, item_id: str, context: Context) -> Text:
    """The item's text; empty where retention has removed it."""
    if item_id.startswith(GOLD):
        table = golden_example.c
        query = select(table.input, table.output, table.context).where(
            table.example_id == item_id.removeprefix(GOLD)
        )
    else:
        query = (
            select(sample.c.input, sample.c.output, sample.c.context)
            .join(
                review_item,
                (review_item.c.source == sample.c.source)
                & (review_item.c.item_id == sample.c.item_id),
            )
            .where(review_item.c.batch_id == batch_id, review_item.c.item_id == item_id)
        )
    found = context.store.rows(query)
    return Text(*(value or "" for value in found[0])) if found else Text("", "", "")


def gold_verdict(item_id: str, context: Context) -> float | None:
    """What people agreed on for a golden item, 0 bad to 1 good."""
    table = golden_example.c
    query = select(table.label).where(table.example_id == item_id.removeprefix(GOLD))
    found = context.store.rows(query)
    return found[0].label if found else None


def sitting_seconds(evaluator: str, context: Context) -> float:
    """Active time since the person's last pause of half an hour."""
    entries = review_entry.c
    rows = context.store.rows(
        select(entries.updated_at, entries.seconds)
        .where(entries.evaluator == evaluator, entries.state != "settled")
        .order_by(entries.updated_at.desc())
        .limit(500)
    )
    return sitting([(row.updated_at, row.seconds) for row in rows], context.clock())


def finished_today(evaluator: str, context: Context) -> int:
    """Items submitted or skipped since midnight, in the configured zone; of all batches."""
    now = context.clock()
    today = Window.containing(now, Grain.DAY, context.settings.timezone)
    entries = review_entry.c
    count = (
        select(func.count())
        .select_from(review_entry)
        .where(
            entries.evaluator == evaluator,
            entries.state.in_(("done", "skipped")),
            entries.updated_at >= today.start,
        )
    )
    return int(context.store.rows(count)[0][0])


def sitting(entries: Sequence[tuple[datetime, float]], now: datetime) -> float:
    """Seconds of the sitting that goes on at ``now``; ``entries`` are the latest first."""
    total, later = 0.0, now
    for at, seconds in entries:
        if later - at > PAUSE + timedelta(seconds=seconds):
            break
        total, later = total + seconds, at
    return total


def reserve(batch_id: str, item_id: str, evaluator: str, context: Context) -> None:
    """Whoever looks at an item has it for half an hour: nobody takes it over meanwhile."""
    now, places = context.clock(), review_assignment.c
    mine = (
        places.batch_id == batch_id,
        places.item_id == item_id,
        places.evaluator == evaluator,
        places.state == "open",
    )
    with context.store.begin() as connection:
        connection.execute(
            update(review_assignment).where(*mine).values(reserved_until=now + RESERVED)
        )


# ── writing ──────────────────────────────────────────────────────────────────────────────────


def save(
    batch_id: str, item_id: str, evaluator: str, entry: Entry, action: str, context: Context
) -> Saved:
    """Keep what a person has written.

    The same again changes nothing, so a save whose answer was lost can be sent again. Of two tabs
    the later one stands, with a notice; a draft that was under way when the item was submitted is
    dropped.

    Args:
        entry: its ``revision`` is the one that the page was made from.
        action: ``draft``, ``submit`` or ``skip``.

    Raises:
        LabelError: not asked for, incomplete, off the scale, or the batch is closed.
    """
    if action == "submit":
        # What is optional and was left open counts as "cannot judge".
        left: dict[str, float | None] = dict.fromkeys(context.settings.review.optional)
        entry = replace(entry, scores={**left, **entry.scores})
    _check(entry, action, f"{batch_id}/{evaluator}")
    now = context.clock()
    state = {"draft": "draft", "submit": "done", "skip": "skipped"}[action]
    with context.store.begin() as connection:
        batch_state = hold(connection, batch_id)
        before = _entry(connection, batch_id, item_id, evaluator)
        if before.state == state and _content(before) == _content(entry):
            return Saved(before.revision, state)
        if batch_state != "open":
            raise LabelError("the batch is closed", where=batch_id, mend="ask for a new batch")
        late = entry.revision < before.revision
        if late and action == "draft" and before.state in ("done", "skipped"):
            return Saved(before.revision, before.state, "already submitted")
        row = {
            **_content(entry),
            "batch_id": batch_id,
            "item_id": item_id,
            "evaluator": evaluator,
            "revision": before.revision + 1,
            "state": state,
            "seconds": min(max(entry.seconds, before.seconds, 0.0), LONGEST_S),
            "guidelines": GUIDELINES_VERSION,
            "updated_at": now,
        }
        context.store.upsert(connection, review_entry, [row])
        if not item_id.startswith(GOLD):
            _book(connection, row, action, now, context)
    return Saved(row["revision"], state, "changed in another tab; this one stands" if late else "")


def _book(
    connection: Connection, row: Mapping[str, Any], action: str, now: datetime, context: Context
) -> None:
    """Carry a submitted or skipped entry over to the assignments and labels."""
    batch_id, item_id, evaluator = row["batch_id"], row["item_id"], row["evaluator"]
    if action == "skip":
        settle(connection, batch_id, item_id, evaluator, "skipped")
        close_when_settled(connection, batch_id)
    elif action == "submit":
        rating = Rating(
            item_id=item_id,
            evaluator=evaluator,
            scores=row["scores"],
            comment=row["comment"],
            flags=row["flags"],
            seconds=row["seconds"],
            submitted_at=now,
        )
        write_labels(connection, batch_id, [rating], context.store)


def _check(entry: Entry, action: str, where: str) -> None:
    if action not in ("draft", "submit", "skip"):
        raise LabelError(f"there is no action {action!r}", where=where)
    if unknown := set(entry.scores) - set(DIMENSIONS):
        raise LabelError(f"there is no dimension {sorted(unknown)[0]!r}", where=where)
    if any(value is not None and value not in (1, 2, 3, 4, 5) for value in entry.scores.values()):
        raise LabelError("a score is 1, 2, 3, 4 or 5", where=where, mend="or cannot judge")
    if unknown := set(entry.flags) - FLAGS:
        raise LabelError(f"there is no flag {sorted(unknown)[0]!r}", where=where)
    missing = [name for name in DIMENSIONS if name not in entry.scores]
    if action == "submit" and missing:
        raise LabelError(
            f"{', '.join(missing)}: no score yet", where=where, mend="0 says that you cannot judge"
        )
    if action == "skip" and entry.reason not in SKIP_REASONS:
        raise LabelError("a skip needs a reason", where=where, mend=", ".join(SKIP_REASONS))


def _content(entry: Entry) -> dict[str, Any]:
    """What a person wrote, without what the page counts by itself."""
    kept = asdict(entry)
    for name in ("seconds", "revision", "state", "guidelines"):
        del kept[name]
    clean = {name: kept[name].replace("\0", "\ufffd") for name in ("comment", "correction")}
    return {
        **kept,
        **clean,
        "scores": {name: entry.scores[name] for name in sorted(entry.scores)},
        "flags": sorted(entry.flags),
    }


def _entry(connection: Connection, batch_id: str, item_id: str, evaluator: str) -> Entry:
    table = review_entry.c
    row = connection.execute(
        select(review_entry).where(
            table.batch_id == batch_id, table.item_id == item_id, table.evaluator == evaluator
        )
    ).first()
    if row is None:
        return Entry()
    return Entry(**{name: row._mapping[name] for name in Entry.__slots__})


def _batch(batch_id: str, context: Context) -> Any:
    found = context.store.rows(select(review_batch).where(review_batch.c.batch_id == batch_id))
    return found[0] if found else None
