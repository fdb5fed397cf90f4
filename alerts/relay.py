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

from sqlalchemy import Connection, Row, func, select, update

from alerts import charts, editing
from alerts.channels import AmbiguousError, Channel, MisconfiguredError, NotSentError, Posted
from alerts.coalescing import TOLD_IN, coalesce
from alerts.escalation import ESCALATION, REPEAT
from alerts.messages import Message, render
from alerts.outbox import EDIT, PAGER, SILENCED, Intent, enqueue
from alerts.routing import is_machine
from alerts.silences import held_until, silenced_in
from alerts.silences import read as read_silences
from sql.store import Store
from sql.tables import incident, notification

QUIET = timedelta(seconds=70)
_KEEP = timedelta(days=7)
# Slack takes a message a second; a pager says by itself when it has enough.
_PACE_S, _UNPACED = 1.1, ("file", PAGER)
# Kinds that stand below the message that opened their story.
_COURTESY = (charts.KIND, EDIT)
_BELOW = ("thread", *_COURTESY, ESCALATION, REPEAT)
_WAITING = ("pending", "inflight")


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
    fallback: str = "",
) -> DeliveryReport:
    """Send what is due, oldest first, a channel's messages in their order.

    Args:
        channels: by the names that intents use; one that is missing keeps its rows waiting.
        now: the clock; asked again for every message.
        fallback: the channel where what opens an incident is told too while its own refuses it.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}"
    sent, blocked, refused = 0, set[str](), set[str]()
    last: dict[str, float] = {}
    dead = _bury(store, now())
    coalesce(store, {name for name in channels if not is_machine(name)}, now())
    while True:
        row = _claim(store, owner, now(), blocked | refused, set(channels), quiet)
        if row is None:
            break
        if row.state == "silent":
            continue
        wait = last.get(row.channel, 0.0) + _PACE_S - time.monotonic()
        if row.channel not in _UNPACED and wait > 0:
            pause(wait)
        outcome = _send(store, channels[row.channel], row, now, quiet)
        last[row.channel] = time.monotonic()
        sent += outcome == "sent"
        if outcome == "refused":
            refused.add(row.channel)
            if fallback not in ("", row.channel) and not is_machine(row.channel):
                _tell_elsewhere(store, row.channel, fallback, now())
        elif outcome == "waiting":
            blocked.add(row.channel)
    waiting = len(store.rows(_open_rows()))
    return DeliveryReport(sent, waiting, dead, tuple(sorted(refused)))


def _open_rows() -> Any:
    return select(notification.c.delivery_key).where(notification.c.state.in_(_WAITING))


def _bury(store: Store, now: datetime) -> int:
    with store.begin() as connection:
        buried = connection.execute(
            update(notification)
            .where(
                notification.c.state.in_(_WAITING),
                func.coalesce(notification.c.first_attempt_at, notification.c.created_at)
                < now - _KEEP,
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
                table.state.in_(_WAITING),
                table.next_at <= now,
                table.channel.in_(sorted(known - blocked)),
            )
            # A picture or an edit never stands before words.
            .order_by(
                table.kind.in_(_COURTESY),
                table.created_at,
                table.kind,
                table.sequence,
                table.delivery_key,
            )
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
    going_on = row.kind != "thread" or row.payload["transition"] == "unsilenced"
    if going_on and row.last_error == SILENCED and _all_over(connection, row):
        return {"state": "unsaid"}
    if row.kind == EDIT and _edited_again(connection, row):
        return {"state": "unsaid"}
    if row.kind in _BELOW:
        opening = _openings(connection, row)
        if opening and all(one.state == "unsaid" for one in opening):
            return {"state": "unsaid"}
    return None


def _edited_again(connection: Connection, row: Row[Any]) -> bool:
    """Does a later edit of the same message wait? It will say all that this one would."""
    table = notification.c
    later = (table.channel == row.channel, table.subject == row.subject, table.kind == EDIT)
    waiting = (table.state == "pending", table.sequence > row.sequence)
    found = connection.execute(select(table.delivery_key).where(*later, *waiting).limit(1))
    return found.first() is not None


def _all_over(connection: Connection, row: Row[Any]) -> bool:
    """Has every incident that the message speaks of ended while it was silenced?"""
    table = incident.c
    for subject in row.payload.get("members", ()):
        fingerprint, _, generation = subject.rpartition(":")
        state = connection.scalar(
            select(table.state).where(
                table.fingerprint == fingerprint, table.generation == int(generation)
            )
        )
        if state not in ("resolved", None):
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
        early = row.kind in _BELOW and thread is None and _root_waits(connection, row)
    if early:
        # It waits alone, for what it answers may be silenced for long.
        _release(store, row, "root_not_sent", now() + timedelta(seconds=30))
        return "later"
    try:
        posted = channel.find(row.delivery_key, thread) if row.state == "inflight" else None
        if posted is None:
            posted = channel.post(row.delivery_key, _message(store, row, thread, now()), thread)
    except _NotDrawnError as error:
        _note(store, row, state="unsaid", last_error=str(error))
        return "later"
    except NotSentError as error:
        wait = error.wait or min(2.0**row.attempts, 300.0)
        _release(store, row, error.code, now() + timedelta(seconds=wait))
        if row.kind in _COURTESY and error.wait is None:
            return "later"
        _pause_channel(store, row.channel, now() + timedelta(seconds=wait))
        return "waiting"
    except AmbiguousError as error:
        _note(store, row, state="inflight", last_error=error.code, next_at=now() + quiet)
        return "later" if row.kind in _COURTESY else "waiting"
    except MisconfiguredError as error:
        if row.kind in _COURTESY:  # it lacks a scope that words do not need
            _note(store, row, state="unsaid", last_error=error.code)
            return "later"
        _release(store, row, error.code, now() + timedelta(minutes=5))
        return "refused"
    _posted(store, row, posted, now())
    return "sent"


def _posted(store: Store, row: Row[Any], posted: Posted, now: datetime) -> None:
    """It stands there. Where it stands by itself, the story goes on below it from now on."""
    place = {"remote_channel": posted.channel, "remote_ts": posted.ts}
    table = notification.c
    with store.begin() as connection:
        above = _openings(connection, row) if posted.anew else []
        for key in (one.delivery_key for one in above if one.state == "sent"):
            connection.execute(
                update(notification).where(table.delivery_key == key).values(**place)
            )
        connection.execute(
            update(notification)
            .where(table.delivery_key == row.delivery_key)
            .values(state="sent", sent_at=now, last_error="", **place)
        )


def _message(store: Store, row: Row[Any], thread: Posted | None, now: datetime) -> Message:
    """The row's words, or its picture.

    Raises:
        _NotDrawnError: there is nothing to draw, nowhere to hang it, or drawing broke.
    """
    if row.kind == "digest":
        hidden = silenced_in(row.payload, read_silences(store, at=now), now)
        return render(row.kind, {**row.payload, "silenced": hidden})
    if row.kind not in _COURTESY:
        return render(row.kind, row.payload)
    if thread is None:
        raise _NotDrawnError("no_thread")
    try:
        if row.kind == EDIT:
            return editing.edited(store, row)
        return charts.drawn(store, row.payload)
    except Exception as error:  # a picture is a courtesy: whatever breaks it, words go on
        raise _NotDrawnError(f"not_drawn:{type(error).__name__}") from None


class _NotDrawnError(Exception):
    """A picture that will not be."""


def _thread(connection: Connection, row: Row[Any]) -> Posted | None:
    """Where the story of this subject began, if the message that opened it was sent."""
    if row.kind not in _BELOW:
        return None
    sent = [one for one in _openings(connection, row) if one.state == "sent"]
    return Posted(sent[-1].remote_channel, sent[-1].remote_ts) if sent else None


def _openings(connection: Connection, row: Row[Any]) -> list[Row[Any]]:
    """The root or digest below which this row stands, or what is said in its place."""
    table = notification.c
    mine = (
        table.channel == row.channel,
        table.kind.in_(("root", "digest")),
        table.subject == row.subject,
    )
    query = select(notification).order_by(table.created_at)
    found = connection.execute(query.where(*mine)).all()
    elsewhere = [one.payload[TOLD_IN] for one in found if TOLD_IN in one.payload]
    instead = connection.execute(query.where(table.delivery_key.in_(elsewhere))).all()
    return [*(one for one in found if TOLD_IN not in one.payload), *instead]


def _root_waits(connection: Connection, row: Row[Any]) -> bool:
    return any(one.state in _WAITING for one in _openings(connection, row))


def _tell_elsewhere(store: Store, refused: str, fallback: str, now: datetime) -> None:
    """What waits to open an incident is told in the fallback, once; it waits on for its own place.

    Whom to call, and who looks after it, stays with the message itself.
    """
    table = notification.c
    waiting = select(notification).where(
        table.channel == refused,
        table.kind.in_(("root", "digest")),
        table.state.in_(_WAITING),
        table.last_error != SILENCED,
    )
    own = ("mention", "escalate", "repeat_s", "buttons")
    with store.begin() as connection:
        intents = [
            Intent(
                fallback,
                row.kind,
                row.subject,
                row.sequence,
                {name: value for name, value in row.payload.items() if name not in own},
            )
            for row in connection.execute(waiting)
        ]
        enqueue(store, connection, intents, now)


def _release(store: Store, row: Row[Any], code: str, next_at: datetime) -> None:
    """It was certainly not sent; an earlier unknown attempt of this row stays unknown."""
    state = "inflight" if row.state == "inflight" else "pending"
    _note(store, row, state=state, last_error=code, next_at=next_at)


def _pause_channel(store: Store, channel: str, until: datetime) -> None:
    """Whoever relays next waits as long, so that nothing overtakes what was refused."""
    table = notification.c
    with store.begin() as connection:
        connection.execute(
            update(notification)
            .where(table.channel == channel, table.state == "pending", table.next_at < until)
            .values(next_at=until)
        )


def _note(store: Store, row: Row[Any], **values: Any) -> None:
    with store.begin() as connection:
        connection.execute(
            update(notification)
            .where(notification.c.delivery_key == row.delivery_key)
            .values(**values)
        )
