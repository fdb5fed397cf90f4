"""The outbox: what is to be said, written in the transaction that found it; the relay says it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from sql.store import Store
from sql.tables import notification
from sql.types import canonical_json


@dataclass(frozen=True, slots=True)
class Intent:
    """A message to be sent exactly once.

    Args:
        channel: ``file`` or ``slack:<channel id>``.
        kind: ``root`` (a new message), ``thread`` (an answer below it) or ``digest``.
        subject: what it is about: ``<fingerprint>:<generation>``, or the digest's own name.
        sequence: position in the story of the subject.
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


def enqueue(store: Store, connection: Connection, intents: Iterable[Intent], now: datetime) -> int:
    """Write the intents that are not there yet.

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
            "next_at": now,
        }
        for key, intent in wanted.items()
        if key not in known
    ]
    store.upsert(connection, notification, fresh, keep=True)
    return len(fresh)
