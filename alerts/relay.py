"""The relay: the only part that talks to a destination. Never lost, and never said twice.

A row is claimed and marked *in flight* in a transaction of its own before the call. Whoever finds
a row in flight whose quiet period is over (its relay died, or the answer never came) looks at the
destination first and posts only what has not landed. The quiet period outlasts the client's
timeout, so that a request still on its way when its relay died has landed by then.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Text, select, type_coerce, update

from alerts.channels import AmbiguousError, Channel, MisconfiguredError, NotSentError, Posted
from alerts.messages import render
from alerts.silences import SILENCED, held_until
from alerts.silences import read as read_silences
from sql.store import Store
from sql.tables import incident, notification

QUIET = timedelta(seconds=70)
_KEEP = timedelta(days=7)
_PACE_S = 1.1


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What one run of the relay did; ``refused`` names destinations that a person must mend."""

    sent: int
    waiting: int
    dead: int
    refused: tuple[str, ...] = ()


def deliver(
    store: Store,
    channels: Mapping[str, Channel],
    *,
    now: Callable[[], datetime],
    pause: Callable[[float], None] = time.sleep,
    quiet: timedelta = QUIET,
) -> DeliveryReport:
    """Send what is due, oldest first, a channel's messages in their order.

    Args:
        channels: by the names that intents use; one that is missing keeps its rows waiting.
        now: the clock; asked again for every message.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}"
    sent, blocked, refused = 0, set[str](), set[str]()
    last: dict[str, float] = {}
    dead = _bury(store, now())
    while True:
        row = _claim(store, owner, now(), blocked | refused, set(channels), quiet)
        if row is None:
            break
        if row.state == "silent":
            continue
        wait = last.get(row.channel, 0.0) + _PACE_S - time.monotonic()
        if row.channel != "file" and wait > 0:
            pause(wait)
        outcome = _send(store, channels[row.channel], row, now, quiet)
        last[row.channel] = time.monotonic()
        sent += outcome == "sent"
        if outcome == "refused":
            refused.add(row.channel)
        elif outcome != "sent":
            blocked.add(row.channel)
    waiting = len(store.rows(_open_rows()))
    return DeliveryReport(sent, waiting, dead, tuple(sorted(refused)))


def _open_rows() -> Any:
    states = ("pending", "inflight")
    return select(notification.c.delivery_key).where(notification.c.state.in_(states))


def _bury(store: Store, now: datetime) -> int:
    with store.begin() as connection:
        buried = connection.execute(
            update(notification)
            .where(
                notification.c.state.in_(("pending", "inflight")),
                notification.c.created_at < now - _KEEP,
                # A silence may be longer than an outage is waited for.
                notification.c.last_error != SILENCED,
            )
            .values(state="dead")
        )
        return buried.rowcount


def _claim(
    store: Store,
    owner: str,
    now: datetime,
    blocked: set[str],
    known: set[str],
    quiet: timedelta,
) -> Any:
    """Mark the oldest due row in flight, committed before anything is sent.

    Returns:
        the row; None when none is due; `_SILENT` when the oldest may not be said now.
    """
    table = notification.c
    with store.begin() as connection:
        query = (
            select(notification)
            .where(
                table.state.in_(("pending", "inflight")),
                table.next_at <= now,
                table.channel.in_(sorted(known - blocked)),
            )
            .order_by(table.created_at, table.kind, table.sequence, table.delivery_key)
            .limit(1)
        )
        if store.dialect == "postgresql":
            query = query.with_for_update(skip_locked=True)
        row = connection.execute(query).first()
        if row is None:
            return None
        # What may have been posted already is looked after first, silence or not.
        hidden = _hidden(store, connection, row, now) if row.state == "pending" else None
        if hidden is not None:
            connection.execute(
                update(notification).where(table.delivery_key == row.delivery_key).values(**hidden)
            )
            return _SILENT
        connection.execute(
            update(notification)
            .where(table.delivery_key == row.delivery_key)
            .values(
                state="inflight",
                attempts=row.attempts + 1,
                first_attempt_at=row.first_attempt_at or now,
                next_at=now + quiet,
                lease_owner=owner,
            )
        )
        return row


class _Silent:
    state = "silent"


_SILENT = _Silent()


def _hidden(
    store: Store, connection: Connection, row: Row[Any], now: datetime
) -> dict[str, Any] | None:
    """What becomes of a row that is not to be said now; None when it is."""
    until = held_until(row.kind, row.payload, read_silences(store, at=now), now)
    if until is not None:
        return {"next_at": until, "last_error": SILENCED}
    table = notification.c
    if row.kind == "root" and row.last_error == SILENCED and _all_over(connection, row):
        return {"state": "unsaid"}
    if row.kind == "thread":
        opening = connection.execute(select(table.state).where(*_opening(row))).scalars().all()
        if opening and set(opening) == {"unsaid"}:
            return {"state": "unsaid"}
    return None


def _all_over(connection: Connection, row: Row[Any]) -> bool:
    """Has every incident that the message would open ended while it was silenced?"""
    table = incident.c
    for subject in row.payload.get("members", ()):
        fingerprint, _, generation = subject.rpartition(":")
        state = connection.scalar(
            select(table.state).where(
                table.fingerprint == fingerprint, table.generation == int(generation)
            )
        )
        if state != "resolved":
            return False
    return bool(row.payload.get("members"))


def _send(
    store: Store,
    channel: Channel,
    row: Row[Any],
    now: Callable[[], datetime],
    quiet: timedelta,
) -> str:
    with store.connect() as connection:
        thread = _thread(connection, row)
    if row.kind == "thread" and thread is None and _root_waits(store, row):
        _release(store, row, "root_not_sent", now() + timedelta(seconds=30))
        return "waiting"
    try:
        posted = channel.find(row.delivery_key, thread) if row.state == "inflight" else None
        if posted is None:
            posted = channel.post(row.delivery_key, render(row.kind, row.payload), thread)
    except NotSentError as error:
        wait = error.wait or min(2.0**row.attempts, 300.0)
        _release(store, row, error.code, now() + timedelta(seconds=wait))
        return "waiting"
    except AmbiguousError as error:
        _note(store, row, state="inflight", last_error=error.code, next_at=now() + quiet)
        return "waiting"
    except MisconfiguredError as error:
        _release(store, row, error.code, now() + timedelta(minutes=5))
        return "refused"
    _note(
        store,
        row,
        state="sent",
        remote_channel=posted.channel,
        remote_ts=posted.ts,
        sent_at=now(),
        last_error="",
    )
    return "sent"


def _thread(connection: Connection, row: Row[Any]) -> Posted | None:
    """Where the story of this subject began, if the message that opened it was sent."""
    if row.kind != "thread":
        return None
    table = notification.c
    query = select(table.remote_channel, table.remote_ts).where(
        *_opening(row), table.state == "sent"
    )
    root = connection.execute(query.order_by(table.created_at.desc()).limit(1)).first()
    return Posted(root.remote_channel, root.remote_ts) if root else None


def _opening(row: Row[Any]) -> list[Any]:
    """The root or digest that names this row's subject among its members."""
    table = notification.c
    return [
        table.channel == row.channel,
        table.kind.in_(("root", "digest")),
        type_coerce(table.payload, Text).contains(f'"{row.subject}"'),
    ]


def _root_waits(store: Store, row: Row[Any]) -> bool:
    return bool(store.rows(_open_rows().where(*_opening(row))))


def _release(store: Store, row: Row[Any], code: str, next_at: datetime) -> None:
    """It was certainly not sent; an earlier unknown attempt of this row stays unknown."""
    state = "inflight" if row.state == "inflight" else "pending"
    _note(store, row, state=state, last_error=code, next_at=next_at)


def _note(store: Store, row: Row[Any], **values: Any) -> None:
    with store.begin() as connection:
        connection.execute(
            update(notification)
            .where(notification.c.delivery_key == row.delivery_key)
            .values(**values)
        )
