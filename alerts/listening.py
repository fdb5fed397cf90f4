"""Buttons below a message: Slack's Socket Mode, so that no address of ours need be reachable.

An envelope is acknowledged first and acted upon then, from what the store says. Slack may deliver
one twice, and people press twice: the same press is one act. Who may not press is told so, alone,
and the audit keeps that it was tried.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from alerts import silences
from alerts.acknowledgements import acknowledge
from alerts.markup import escape, plain
from alerts.messages import ACKNOWLEDGE, FALSE_ALARM, SILENCE
from sql.audit import append
from sql.errors import TidegaugeError
from sql.store import Store
from sql.tables import audit, incident

if TYPE_CHECKING:
    from slack_sdk.socket_mode.builtin import SocketModeClient

log = logging.getLogger("tidegauge")
SILENCED_FOR = timedelta(hours=4)
_ACTOR, _SUBJECT = 100, 100


@dataclass(frozen=True, slots=True)
class Press:
    """A button that somebody pressed: which, of which incident, who, where and when."""

    action: str
    subject: str
    actor: str
    user: str
    channel: str
    at: datetime

    @property
    def key(self) -> str:
        """The same press has the same key, however often it is delivered."""
        return f"slack:{self.at.timestamp():.6f}"


def press_of(payload: Mapping[str, Any]) -> Press | None:
    """Read an interaction; None when it is none of our buttons or is not in order. Pure."""
    try:
        (action,) = payload["actions"]
        user = payload["user"]
        made = Press(
            action=str(action["action_id"]),
            subject=str(action["value"]),
            actor=plain(user.get("username") or user.get("name") or user["id"])[:_ACTOR],
            user=str(user["id"]),
            channel=str(payload["channel"]["id"]),
            at=datetime.fromtimestamp(float(action["action_ts"]), UTC),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    known = payload.get("type") == "block_actions" and made.action in (
        ACKNOWLEDGE,
        SILENCE,
        FALSE_ALARM,
    )
    return made if known and made.actor else None


def act(store: Store, press: Press, *, now: datetime) -> str:
    """Do what the button says, once.

    Returns:
        what the person is to be told, in plain words; ``""`` when the thread will show it.

    Raises:
        TidegaugeError: it cannot be done, explained.
    """
    fingerprint, _, generation = press.subject.rpartition(":")
    table = incident.c
    number = int(generation) if generation.isdecimal() and len(generation) < 9 else 0
    query = select(incident).where(table.fingerprint == fingerprint, table.generation == number)
    found = store.rows(query)
    if not found:
        return "This incident is not known here any more."
    (row,) = found
    if press.action != SILENCE:
        said = "false" if press.action == FALSE_ALARM else ""
        acknowledge(
            store, row, actor=press.actor, comment="", action=press.key, now=now, verdict=said
        )
        return ""
    return _silence(store, row, press, now)


def refuse(store: Store, press: Press, *, now: datetime) -> str:
    """Keep once that it was tried.

    Returns:
        what the person is to be told, in plain words.
    """
    detail = {"action": press.action, "user": press.user, "press": press.key}
    table = audit.c
    tried = (table.action == "refuse_press", table.subject == press.subject[:_SUBJECT])
    with store.begin() as connection:
        known = connection.scalars(select(table.detail).where(*tried))
        if detail not in list(known):
            append(connection, press.actor, "refuse_press", press.subject[:_SUBJECT], detail, now)
    return "You may not press this. Who may stands in the configuration: [slack] may_press."


def _silence(store: Store, row: Any, press: Press, now: datetime) -> str:
    """Hold back what this very series says."""
    until = press.at + SILENCED_FOR
    told = f"Silent until {until:%Y-%m-%d %H:%M} UTC: {row.rule}. To end it: tidegauge silence end "
    for known in silences.read(store):
        if (known.starts, known.author) == (press.at, press.actor):
            return told + known.key
    made = silences.add(
        store,
        silences.series(row),
        starts=press.at,
        ends=until,
        author=press.actor,
        comment="from Slack",
        now=now,
    )
    return told + made.key


def listen(
    store: Store,
    *,
    app_token: str,
    bot_token: str,
    channels: set[str],
    clock: Callable[[], datetime],
    allowed: Callable[[str], bool],
    done: Callable[[], None],
    base_url: str | None = None,
) -> SocketModeClient:
    """Connect and serve in threads of the client's own until it is closed.

    Args:
        channels: ids of the channels that may act; a press elsewhere is passed over.
        allowed: may the user with this id press?
        done: called after each act, so that its message leaves at once.

    Raises:
        slack_sdk.errors.SlackClientError: the token is not taken.
    """
    from slack_sdk import WebClient
    from slack_sdk.socket_mode.builtin import SocketModeClient
    from slack_sdk.socket_mode.response import SocketModeResponse

    quiet = logging.getLogger("tidegauge.slack")
    quiet.setLevel(logging.ERROR)  # at lower levels the client tells what it hears
    arguments: dict[str, Any] = {"base_url": base_url} if base_url else {}
    web = WebClient(bot_token, retry_handlers=[], logger=quiet, **arguments)
    client = SocketModeClient(app_token, web_client=web, logger=quiet, concurrency=1)

    def heard(client: Any, request: Any) -> None:
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type != "interactive":
            return
        press = press_of(request.payload)
        if press is None or press.channel not in channels:
            return
        try:
            if allowed(press.user):
                told = act(store, press, now=clock())
                done()
            else:
                told = refuse(store, press, now=clock())
        except TidegaugeError as error:
            told = error.what
        except Exception as error:  # the next press must still be heard
            log.error("a button could not be served: %s", type(error).__name__)
            told = "That did not work; the listener's log says why."
        if told:
            _whisper(web, press, told)

    client.socket_mode_request_listeners.append(heard)
    client.connect()
    return client


def _whisper(web: Any, press: Press, told: str) -> None:
    """Tell the one who pressed; if that fails, the press has counted all the same."""
    from slack_sdk.errors import SlackClientError

    try:
        web.chat_postEphemeral(channel=press.channel, user=press.user, text=escape(told))
    except (SlackClientError, OSError) as error:
        log.warning("nothing could be whispered: %s", type(error).__name__)
