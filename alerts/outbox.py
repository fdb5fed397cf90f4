"""The outbox: what is to be said, written in the transaction that found it; the relay says it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from sql.store import Store
from sql.tables import notification
from sql.types import canonical_json

# In a waiting message's ``last_error``: why it waits.
SILENCED = "silenced"
# Told of each incident by itself: it knows one by its key, and a program reads there.
PAGER = "pagerduty"
# The kind of an intent to let the message above a thread say how things stand.
EDIT = "update"


@dataclass(frozen=True, slots=True)
class Intent:
    """A message to be sent exactly once.

    Args:
        channel: as in `alerts.channels.opening`: ``file``, ``slack:<channel id>``, …
        kind: ``root`` (a new message), ``thread`` (an answer below it) or ``digest``.
        subject: of a root ``<fingerprint>:<generation>`` of the incident that leads it, of a digest
            its own name; of a thread that of the root or digest above it.
        sequence: position in the story of the subject; `sequences` gives the next.
        facts: numbers, codes and configured words for the renderer; no text of a user or model.
    """

    channel: str
    kind: str
    subject: str
    sequence: int
    facts: dict[str, Any]

    @property
    def delivery_key(self) -> str:
        """The same intent always has the same key, so it cannot be enqueued or sent twice."""
        identity = [self.channel, self.kind, self.subject, self.sequence]
        return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def with_edit(answer: Intent) -> list[Intent]:
    """An answer in a thread, and with it the edit of what stands above, where a place can edit."""
    if answer.channel.startswith("slack:") and answer.channel != "slack:webhook":
        return [answer, replace(answer, kind=EDIT, facts={})]
    return [answer]


def sequences(connection: Connection, subjects: Iterable[str]) -> dict[str, int]:
    """Subject → the next free position in its story."""
    table = notification.c
    wanted = sorted(set(subjects))
    query = (
        select(table.subject, func.max(table.sequence))
        .where(table.subject.in_(wanted))
        .group_by(table.subject)
    )
    taken = {subject: last + 1 for subject, last in connection.execute(query)} if wanted else {}
    return {subject: taken.get(subject, 0) for subject in wanted}


def enqueue(
    store: Store,
    connection: Connection,
    intents: Iterable[Intent],
    now: datetime,
    *,
    held: datetime | None = None,
) -> int:
    """Write the intents that are not there yet.

    Args:
        held: until when a silence keeps them.

    Returns:
        how many were new.
    """
    wanted = {intent.delivery_key: intent for intent in intents}
    if not wanted:
        return 0
    keys = notification.c.delivery_key
    known = set(connection.scalars(select(keys).where(keys.in_(list(wanted)))))
    fresh = [
        {
            "delivery_key": key,
            "channel": intent.channel,
            "kind": intent.kind,
            "subject": intent.subject,
            "sequence": intent.sequence,
            "payload": intent.facts,
            "state": "pending",
            "attempts": 0,
            "created_at": now,
            "next_at": held or now,
            "last_error": SILENCED if held else "",
        }
        for key, intent in wanted.items()
        if key not in known
    ]
    store.upsert(connection, notification, fresh, keep=True)
    return len(fresh)


def tell_below(
    store: Store,
    connection: Connection,
    thread: str,
    facts: dict[str, Any],
    now: datetime,
    *,
    held: datetime | None = None,
) -> None:
    """Answer below the messages that told of an incident; nothing when it was never told.

    Args:
        thread: those messages' subject, as the incident keeps it.
        facts: their ``members`` is the incident's own subject alone, under which it is paged.
    """
    (own,) = facts["members"]
    table = notification.c
    query = select(table.channel, table.subject).where(
        table.subject.in_({thread, own} - {""}), table.kind.in_(("root", "digest", "escalation"))
    )
    known = {(channel, subject) for channel, subject in connection.execute(query)}
    places = {(channel, at) for channel, at in known if at == (own if channel == PAGER else thread)}
    free = sequences(connection, {subject for _, subject in places})
    for channel, subject in sorted(places):
        answer = Intent(channel, "thread", subject, free[subject], facts)
        enqueue(store, connection, with_edit(answer), now, held=held)
