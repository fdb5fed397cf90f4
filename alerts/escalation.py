"""Nobody looks after it: who was to be called then is called, and what goes on is told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from alerts.outbox import PAGER, Intent, enqueue
from alerts.silences import matched_by
from sql.store import Store
from sql.tables import acknowledgement, incident, notification

ESCALATION, REPEAT = "escalation", "repeat"
# An incident that nobody has touched for longer is past calling for.
_LONGEST = timedelta(days=30)


def escalate(store: Store, now: datetime) -> int:
    """Look through the messages that opened incidents; what is due goes into the outbox.

    What is to happen stands in the message since it was made, so a later change of the routes
    changes nothing of it. A step has a key of its own: looking again calls nobody twice.

    Returns:
        how many messages are new.
    """
    table = notification.c
    query = select(notification).where(
        table.state == "sent",
        table.kind.in_(("root", "digest")),
        table.sent_at > now - _LONGEST,
    )
    with store.begin() as connection:
        intents: list[Intent] = []
        for row in connection.execute(query).all():
            if "escalate" in row.payload or "repeat_s" in row.payload:
                open_ones = _unattended(connection, row.payload.get("members", ()))
                if open_ones:
                    intents += _due(row, open_ones, now)
        return enqueue(store, connection, intents, now)


def followed(connection: Connection, intents: Sequence[Intent]) -> list[Intent]:
    """The answers below a message, for those too who were called because nobody came.

    Without it whoever was called would not hear that it is over; a pager hears it otherwise
    (`alerts.paging`).
    """
    table, found = notification.c, []
    for intent in intents:
        if intent.kind == "thread":
            called = select(table.channel).where(
                table.subject == intent.subject, table.kind == ESCALATION
            )
            places = set(connection.scalars(called)) - {intent.channel, PAGER}
            found += [replace(intent, channel=place) for place in sorted(places)]
    return found


def _unattended(connection: Connection, subjects: Sequence[str]) -> list[Mapping[str, Any]]:
    """Present facts of those that are open and that nobody has acknowledged."""
    found = []
    table, known = incident.c, acknowledgement.c
    for subject in subjects:
        name, _, generation = subject.rpartition(":")
        mine = (table.fingerprint == name, table.generation == int(generation))
        acked = select(known.actor).where(
            known.fingerprint == name, known.generation == int(generation)
        )
        row = connection.execute(select(incident).where(*mine, table.state == "open")).first()
        if row is not None and connection.execute(acked.limit(1)).first() is None:
            found.append(row.body)
    return found


def _due(row: Row[Any], open_ones: Sequence[Mapping[str, Any]], now: datetime) -> list[Intent]:
    waited = (now - row.sent_at).total_seconds()
    step, every = row.payload.get("escalate"), row.payload.get("repeat_s")
    facts = {
        "incidents": [dict(one) for one in open_ones[:10]],
        "total": len(open_ones),
        "minutes": int(waited // 60),
        "members": row.payload["members"],
        "about": matched_by(open_ones),
    }
    due = []
    if step is not None and waited >= step["after_s"]:
        called = {**facts, "mention": step["mention"], "minutes": int(step["after_s"] // 60)}
        place = step["channel"] or row.channel
        if place == PAGER:
            due += [_alone(called, one) for one in open_ones]
        else:
            due.append(Intent(place, ESCALATION, row.subject, 0, called))
    if every is not None and waited >= every:
        due.append(Intent(row.channel, REPEAT, row.subject, int(waited // every), facts))
    return due


def _alone(facts: Mapping[str, Any], one: Mapping[str, Any]) -> Intent:
    """A pager is called for each incident by itself."""
    subject = f"{one['fingerprint']}:{one['generation']}"
    own = {"incidents": [dict(one)], "total": 1, "members": [subject], "about": matched_by([one])}
    return Intent(PAGER, ESCALATION, subject, 0, {**facts, **own})
