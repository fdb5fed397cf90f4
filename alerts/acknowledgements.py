"""Somebody looks after an incident, or says what it was: kept once, and told in its thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from alerts.outbox import tell_below
from sql.audit import append
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import acknowledgement, incident

# What a person may say of an incident, and how it is told.
VERDICTS = {"real": "a real one", "false": "a false alarm"}
_SAID = "verdict"


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
    store: Store,
    found: Row[Any],
    *,
    actor: str,
    comment: str,
    action: str,
    now: datetime,
    verdict: str = "",
) -> bool:
    """Keep that ``actor`` looks after it, or what it was, and tell so in its thread.

    Args:
        action: the click or command; the same one again changes nothing.
        verdict: one of `VERDICTS`: also of an incident that is over, then without a message; what
            a person says last stands. Empty for none.

    Returns:
        False when that was known.

    Raises:
        ConfigurationError: nobody is named, or the incident is over and no verdict is given.
    """
    if not actor.strip():
        raise ConfigurationError(
            "an acknowledgement needs a name", mend="say who you are with --by"
        )
    if verdict and verdict not in VERDICTS:
        raise ConfigurationError(f"{verdict!r} is no verdict", mend="say real or false")
    over = found.state == "resolved"
    if over and not verdict:
        raise ConfigurationError(
            f"incident {found.fingerprint[:10]} is resolved",
            mend="say what it was: --real or --false-alarm",
        )
    table = acknowledgement.c
    mine = (table.fingerprint == found.fingerprint, table.generation == found.generation)
    row = {
        "fingerprint": found.fingerprint,
        "generation": found.generation,
        "actor": actor,
        "action_id": _SAID if verdict else action,
        "at": now,
        "comment": comment,
        "verdict": verdict,
    }
    subject = f"{found.fingerprint}:{found.generation}"
    with store.begin() as connection:
        known = select(table.verdict).where(
            *mine, table.actor == actor, table.action_id == row["action_id"]
        )
        before = connection.execute(known).first()
        if before is not None and before.verdict == verdict:
            return False
        store.upsert(connection, acknowledgement, [row])
        detail = {"action": action} | ({"verdict": verdict} if verdict else {})
        append(connection, actor, "acknowledge", subject, detail, now)
        if over:
            return True
        facts = {
            **found.body,
            "transition": "acknowledged",
            "members": [subject],
            "by": actor,
            "comment": comment,
            "verdict": VERDICTS.get(verdict, ""),
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


def verdicts(store: Store) -> dict[tuple[str, int], tuple[str, str]]:
    """(fingerprint, generation) → the verdict that was said last, and by whom."""
    table = acknowledgement.c
    query = select(acknowledgement).where(table.verdict != "").order_by(table.at, table.actor)
    return {
        (row.fingerprint, row.generation): (row.verdict, row.actor) for row in store.rows(query)
    }
