"""After an outage: what waited is told as it stands now, in few messages.

What waits longer than a while is looked at together. An incident that nobody was told of and that
is over goes into one digest; of one that goes on there is one message, with what became of it
meanwhile. Rows in flight may have landed and are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from alerts import charts
from alerts.outbox import SILENCED, Intent, enqueue
from alerts.silences import matched_by
from alerts.telling import rank
from sql.store import Store
from sql.tables import incident, notification

AFTER = timedelta(minutes=30)
MOST = 10
_NAMED = 10
_SUBJECT = "outage:"
# In the payload of a row that is not said: key of the digest that stands for it.
TOLD_IN = "told_in"


@dataclass(slots=True)
class Plan:
    """What becomes of a channel's waiting rows.

    Args:
        unsaid: delivery keys of rows whose news is told elsewhere.
        changed: delivery key → its new payload.
        digest: facts of the one message on all that is told in no other; empty when none is.
        moved: rows that the digest stands for.
        stands: subject of the digest that is there already.
    """

    unsaid: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    digest: dict[str, Any] = field(default_factory=dict)
    moved: list[Row[Any]] = field(default_factory=list)
    stands: str = ""


def plan(
    rows: Sequence[Row[Any]], bodies: Mapping[str, Mapping[str, Any]], most: int = MOST
) -> Plan:
    """Decide it; pure.

    Args:
        rows: of one channel, not in flight, the oldest first.
        bodies: subject of an incident → its present facts; none of what is gone.
        most: so many messages on incidents that go on; more become the digest.
    """
    made = Plan()
    waited = f"{rows[0].created_at:%Y-%m-%d %H:%M} to {rows[-1].created_at:%Y-%m-%d %H:%M} UTC"
    rows = [row for row in rows if row.payload.get("members")]
    # The digest of an outage that goes on is written anew, not joined by another.
    standing = next((row for row in rows if row.subject.startswith(_SUBJECT)), None)
    openings = [row for row in rows if row.kind in ("root", "digest")]
    going, over = _states(openings, bodies)
    alive = [row for row in openings if row is not standing and going[row.delivery_key]]
    roots = [row for row in alive if row.kind == "root"]
    made.moved = [row for row in alive if row.kind == "digest" or len(roots) > most]
    made.unsaid = [
        row.delivery_key for row in openings if row is not standing and not going[row.delivery_key]
    ]
    # What a person said is told as it was said.
    threads = [row for row in rows if row.payload.get("transition") not in (None, "acknowledged")]
    left = _told_above(made, threads, openings, standing)
    for subject in sorted({row.subject for row in left}):
        _answers(made, [row for row in left if row.subject == subject], bodies, waited)
    for row in alive:
        if row not in made.moved:
            updates = sum(one.subject == row.subject for one in threads)
            news = {"updates": updates, "waited": waited} if updates else {}
            present = _present(going[row.delivery_key])
            made.changed[row.delivery_key] = {**row.payload, **present, **news}
    gathered = [
        facts
        for row in [*([standing] if standing else []), *made.moved]
        for facts in going[row.delivery_key]
    ]
    if gathered or over:
        made.digest = _digest(gathered, over, waited)
        made.stands = "" if standing is None else standing.subject
    return made


_Facts = Mapping[str, Any]


def _states(
    openings: Sequence[Row[Any]], bodies: Mapping[str, _Facts]
) -> tuple[dict[str, list[_Facts]], list[_Facts]]:
    """(delivery key → facts of the incidents that go on, facts of all that are over)."""
    going, over = dict[str, list[_Facts]](), list[_Facts]()
    for row in openings:
        mine = [bodies[subject] for subject in row.payload["members"] if subject in bodies]
        going[row.delivery_key] = [facts for facts in mine if facts["state"] != "resolved"]
        over += [facts for facts in mine if facts["state"] == "resolved"]
    return going, over


def _told_above(
    made: Plan,
    threads: Sequence[Row[Any]],
    openings: Sequence[Row[Any]],
    standing: Row[Any] | None,
) -> list[Row[Any]]:
    """Leave out the answers whose message waits too and says it itself; the others."""
    opened = {row.subject for row in openings}
    inside = set(standing.payload["members"]) if standing is not None else set()
    left = []
    for row in threads:
        if row.subject in opened or set(row.payload["members"]) <= inside:
            made.unsaid.append(row.delivery_key)
        else:
            left.append(row)
    return left


def _answers(
    made: Plan,
    threads: Sequence[Row[Any]],
    bodies: Mapping[str, Mapping[str, Any]],
    waited: str,
) -> None:
    """Below a message that was sent: of each incident its last change, alike ones in one answer."""
    if len(threads) < 2:
        return
    last = {subject: row for row in threads for subject in row.payload.get("members", ())}
    kinds: dict[str, list[str]] = defaultdict(list)
    for subject, row in last.items():
        kinds[row.payload["transition"]].append(subject)
    for kind, subjects in kinds.items():
        same = [row for row in threads if row.payload["transition"] == kind]
        kept = same.pop()
        made.unsaid += [row.delivery_key for row in same]
        there = [bodies[subject] for subject in subjects if subject in bodies]
        news = {"members": sorted(subjects), "updates": len(threads), "waited": waited}
        made.changed[kept.delivery_key] = {**kept.payload, **_present(there), **news}
    made.unsaid += [row.delivery_key for row in threads if row.payload["transition"] not in kinds]


def _present(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of incidents as they are now, the gravest first and the others beside it."""
    if not some:
        return {}
    first, *others = sorted(some, key=rank)
    beside = {"also": _named(others)[: _NAMED - 1], "also_total": len(others)}
    return {**first, **beside, "about": matched_by(some)}


def _digest(
    going: Sequence[Mapping[str, Any]], over: Sequence[Mapping[str, Any]], waited: str
) -> dict[str, Any]:
    return {
        "total": len(going),
        "window": waited,
        "incidents": _named(going),
        "members": sorted(f"{one['fingerprint']}:{one['generation']}" for one in [*going, *over]),
        "over": _named(over),
        "over_total": len(over),
        "waited": waited,
        "about": matched_by([*going, *over]),
    }


def _named(some: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(one) for one in sorted(some, key=rank)[:_NAMED]]


# ── in the store ─────────────────────────────────────────────────────────────────────────────


def coalesce(store: Store, channels: set[str], now: datetime) -> None:
    """Draw together what has waited too long, a transaction a channel."""
    table = notification.c
    waiting = (
        table.state == "pending",
        table.last_error != SILENCED,
        table.kind.in_(("root", "digest", "thread")),
    )
    for channel in sorted(channels):
        mine = (*waiting, table.channel == channel)
        oldest = select(table.created_at).where(*mine).order_by(table.created_at).limit(1)
        with store.begin() as connection:
            began = connection.scalar(oldest)
            if began is None or began > now - AFTER:
                continue
            query = select(notification).where(*mine)
            if store.dialect == "postgresql":
                query = query.with_for_update(skip_locked=True)
            order = (table.created_at, table.kind, table.sequence, table.delivery_key)
            rows = connection.execute(query.order_by(*order)).all()
            if len(rows) > 1:
                _apply(store, connection, channel, plan(rows, _bodies(connection, rows)), now)


def _bodies(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, dict[str, Any]]:
    """Subject → present facts, of all incidents that the rows speak of."""
    subjects = {subject for row in rows for subject in row.payload.get("members", ())}
    table = incident.c
    found = {}
    for name in sorted({subject.rpartition(":")[0] for subject in subjects}):
        for row in connection.execute(select(incident).where(table.fingerprint == name)):
            subject = f"{name}:{row.generation}"
            if subject in subjects:
                state = "resolved" if row.announced == "resolved" else "open"
                found[subject] = {**row.body, "state": state, "severity": row.severity}
    return found


def _apply(store: Store, connection: Connection, channel: str, made: Plan, now: datetime) -> None:
    table = notification.c

    def change(key: str, **values: Any) -> None:
        connection.execute(update(notification).where(table.delivery_key == key).values(**values))

    for key in made.unsaid:
        change(key, state="unsaid")
    for key, payload in made.changed.items():
        change(key, payload=payload)
    if not made.digest:
        return
    subject = made.stands or f"{_SUBJECT}{now.isoformat()}"
    intent = Intent(channel, "digest", subject, 0, made.digest)
    if not enqueue(store, connection, [intent], now):
        change(intent.delivery_key, payload=made.digest)
    for row in made.moved:
        # What comes later stands below the digest; a picture of one in many helps nobody.
        change(
            row.delivery_key, state="unsaid", payload={**row.payload, TOLD_IN: intent.delivery_key}
        )
        connection.execute(
            update(notification)
            .where(table.channel == channel, table.kind == charts.KIND)
            .where(table.subject == row.subject, table.state == "pending")
            .values(state="unsaid")
        )
