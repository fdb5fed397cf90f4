"""What people decided, in a chain: each row's hash covers the row before it.

A row that is changed, or taken out of the middle, no longer fits its neighbours. Rows cut off the
end leave no trace in the table itself: write the last hash down elsewhere to notice that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, select, text

from sql.tables import audit
from sql.types import canonical_json

_FIRST = "0" * 64


def append(
    connection: Connection,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    at: datetime,
) -> str:
    """Add an entry within the caller's write transaction, so that it stands or falls with the deed.

    Args:
        actor: who, a user name.
        action: what, for example ``approve_baseline``.
        subject: to what.
        detail: further facts; never a text of a user or a model.

    Returns:
        the entry's hash.
    """
    if connection.dialect.name == "postgresql":
        # Two writers at once would both follow the same row; readers go on.
        connection.execute(text("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE"))
    last = connection.scalar(select(audit.c.hash).order_by(audit.c.sequence.desc()).limit(1))
    row = {
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": dict(detail),
        "previous_hash": last or _FIRST,
    }
    digest = _hash(row)
    connection.execute(audit.insert().values(**row, hash=digest))
    return digest


def approve(
    connection: Connection,
    table: Table,
    name: str,
    digest: str,
    actor: str,
    reason: str,
    action: str,
    now: datetime,
) -> bool:
    """Write that ``digest`` is what ``name`` stands for from now on, and its entry, within the
    caller's write transaction.

    Args:
        table: `sql.tables.pin` or `sql.tables.judge_approval`.

    Returns:
        False where it was in force already: then nothing is written.
    """
    columns = table.c
    newest = select(columns.digest, columns.approved_at).where(columns.name == name)
    present = connection.execute(newest.order_by(columns.approved_at.desc())).first()
    if present is not None and present.digest == digest:
        return False
    if present is not None:  # a clock that stands still must not make two of one instant
        now = max(now, present.approved_at + timedelta(microseconds=1))
    row = {
        "name": name,
        "approved_at": now,
        "digest": digest,
        "approved_by": actor,
        "reason": reason,
    }
    connection.execute(table.insert().values(**row))
    detail = {"digest": digest, "previous": present.digest if present else "", "reason": reason}
    append(connection, actor, action, name, detail, now)
    return True


def first_broken(connection: Connection) -> int | None:
    """The sequence number of the first entry that does not fit; None when the chain is whole."""
    previous = _FIRST
    for row in connection.execute(select(audit).order_by(audit.c.sequence)).mappings():
        if row["previous_hash"] != previous or row["hash"] != _hash(row):
            return int(row["sequence"])
        previous = row["hash"]
    return None


def _hash(row: Mapping[Any, Any]) -> str:
    names = ("actor", "action", "subject", "detail", "previous_hash")
    body = {name: row[name] for name in names}
    body["at"] = row["at"].astimezone(UTC).isoformat()
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()
