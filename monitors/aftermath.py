"""What became of an incident: who was told, who did what, and what of it the audit holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from alerts.acknowledgements import VERDICTS
from alerts.silences import read as read_silences
from alerts.silences import written
from sql.store import Store
from sql.tables import acknowledgement, audit, notification

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: rows of words under the names of their columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def told(store: Store, row: Row[Any]) -> Sheet:
    """Every message about it, of a shared one too; ``row``: of the table `incident`."""
    table, mine = notification.c, f"{row.fingerprint}:{row.generation}"
    query = select(notification).where(table.subject.in_({row.thread, mine} - {""}))
    rows = [
        (
            one.payload.get("transition") or one.kind,
            one.channel,
            one.state + (f" ({one.last_error})" if one.last_error else ""),
            at(one.created_at),
            at(one.sent_at),
            f"{one.remote_channel} {one.remote_ts}".strip(),
            one.delivery_key[:_SHORT],
        )
        for one in store.rows(query.order_by(table.created_at, table.sequence))
        if mine in one.payload.get("members", [mine])
    ]
    columns = ("message", "to", "state", "written", "sent", "there as", "key")
    return Sheet("messages", columns, tuple(rows))


def people(store: Store, row: Row[Any], since: datetime) -> Sheet:
    """Who looks after it, and the silences that hide it and end after ``since``."""
    table = acknowledgement.c
    mine = (table.fingerprint == row.fingerprint, table.generation == row.generation)
    rows = [
        (
            one.actor,
            f"says: {VERDICTS[one.verdict]}" if one.verdict else "looks after it",
            at(one.at),
            "",
            one.comment,
        )
        for one in store.rows(select(acknowledgement).where(*mine).order_by(table.at))
    ]
    for silence in read_silences(store):
        if silence.ends > since and silence.takes(row.body):
            what = f"silenced {written(silence.matchers)}"
            rows.append(
                (silence.author, what, at(silence.starts), at(silence.ends), silence.comment)
            )
    return Sheet("people", ("who", "what", "from", "until", "comment"), tuple(rows))


def entries(store: Store, row: Row[Any]) -> Sheet:
    """What of it stands in the audit chain."""
    table = audit.c
    query = select(audit).where(table.subject.startswith(row.fingerprint))
    rows = [
        (str(one.sequence), at(one.at), one.actor, one.action, one.hash[:_SHORT])
        for one in store.rows(query.order_by(table.sequence))
    ]
    return Sheet("audit", ("entry", "at", "who", "action", "hash"), tuple(rows))


def at(instant: datetime | None) -> str:
    """An instant in UTC to the second; empty for none."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}Z"
