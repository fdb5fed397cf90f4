"""Somebody looks after an incident: kept once, and told in its thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from alerts.outbox import tell_below
from sql.audit import append
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import acknowledgement, incident


def find_incident(store: Store, text: str) -> Row[Any]:
    """The newest generation of the incident whose id begins so.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    table = incident.c
    rows = store.rows(
        select(incident)
        .where(table.fingerprint.startswith(text, autoescape=True))
        .order_by(table.fingerprint, table.generation.desc())
    )
    if not text or len({row.fingerprint for row in rows}) != 1:
        what = "more than one incident begins" if rows and text else "no incident begins"
        raise ConfigurationError(
            f"{what} with {text!r}", mend="`tidegauge incidents --all` shows their ids"
        )
    return rows[0]


def acknowledge(
    store: Store, found: Row[Any], *, actor: str, comment: str, action: str, now: datetime
) -> bool:
    """Keep that ``actor`` looks after it, and tell so in its thread.

    Args:
        action: the click or command; the same one again changes nothing.

    Returns:
        False when that was known.

    Raises:
        ConfigurationError: nobody is named, or the incident is over.
    """
    if not actor.strip():
        raise ConfigurationError(
            "an acknowledgement needs a name", mend="say who you are with --by"
        )
    if found.state == "resolved":
        raise ConfigurationError(f"incident {found.fingerprint[:10]} is resolved")
    table = acknowledgement.c
    mine = (table.fingerprint == found.fingerprint, table.generation == found.generation)
    row = {
        "fingerprint": found.fingerprint,
        "generation": found.generation,
        "actor": actor,
        "action_id": action,
        "at": now,
        "comment": comment,
    }
    subject = f"{found.fingerprint}:{found.generation}"
    with store.begin() as connection:
        known = select(table.actor).where(*mine, table.actor == actor, table.action_id == action)
        if connection.execute(known).first() is not None:
            return False
        store.upsert(connection, acknowledgement, [row], keep=True)
        append(connection, actor, "acknowledge", subject, {"action": action}, now)
        facts = {
            **found.body,
            "transition": "acknowledged",
            "members": [subject],
            "by": actor,
            "comment": comment,
        }
        tell_below(store, connection, found.thread, facts, now)
    return True


def who(store: Store) -> dict[tuple[str, int], str]:
    """(fingerprint, generation) → who looks after it, the first first."""
    table = acknowledgement.c
    names: dict[tuple[str, int], list[str]] = {}
    for row in store.rows(select(acknowledgement).order_by(table.at)):
        mine = names.setdefault((row.fingerprint, row.generation), [])
        if row.actor not in mine:
            mine.append(row.actor)
    return {key: ", ".join(found) for key, found in names.items()}
