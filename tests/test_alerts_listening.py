"""A button is pressed in Slack: over a real WebSocket, through the SDK's client, into the store."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from alerts.channels.slack import SlackChannel
from alerts.configuration import parse
from alerts.listening import act, listen, press_of
from alerts.messages import ACKNOWLEDGE, FALSE_ALARM, SILENCE, render
from alerts.permission import Permission
from alerts.relay import deliver
from monitors.check import check
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import acknowledgement, audit, incident, notification
from sql.tables import silence as silence_table
from tests.blockkit import faults_of
from tests.slack_kit import FakeSlack, facts, fake_slack
from tests.test_alerts_charts import World

NOW = datetime(2026, 6, 8, 2, tzinfo=UTC)


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


class Wire:
    """Slack's end of Socket Mode: sends envelopes, hears what is acknowledged."""

    def __init__(self) -> None:
        self.out: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.acknowledged: list[str] = []
        self.connections = 0

    def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        socket.send(json.dumps({"type": "hello", "num_connections": 1}))
        ears = threading.Thread(target=self._hear, args=(socket,), daemon=True)
        ears.start()
        while (envelope := self.out.get()) is not None:
            socket.send(json.dumps(envelope))

    def _hear(self, socket: ServerConnection) -> None:
        try:
            for text in socket:
                self.acknowledged.append(json.loads(text)["envelope_id"])
        except ConnectionClosed:
            return

    def press(self, payload: dict[str, Any], envelope: str = "e1") -> None:
        self.out.put({"envelope_id": envelope, "type": "interactive", "payload": payload})


@contextmanager
def wired() -> Iterator[tuple[Wire, str, type[FakeSlack]]]:
    wire = Wire()
    with fake_slack() as (url, server), serve(wire.serve, "127.0.0.1", 0) as sockets:
        threading.Thread(target=sockets.serve_forever, daemon=True).start()
        server.socket = f"ws://127.0.0.1:{sockets.socket.getsockname()[1]}/link"
        yield wire, url, server
        wire.out.put(None)


def payload(
    action: str, subject: str, who: str = "ada", at: str = "1780887600.123456", **more: Any
) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": "U0ADA", "username": who},
        "channel": {"id": "C1"},
        "actions": [{"action_id": action, "value": subject, "action_ts": at}],
        **more,
    }


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.02)


def subject_of(store: Store) -> str:
    (row,) = store.rows(select(incident))
    return f"{row.fingerprint}:{row.generation}"


def test_buttons_are_there_only_where_somebody_listens(store: Store) -> None:
    with fake_slack() as (url, server):
        World(store, url, buttons=True).relay()
    kinds = [block["type"] for block in server.messages[0]["blocks"]]
    assert kinds[-1] == "actions"
    message = render("root", facts(fingerprint="f" * 64, page="https://air.example/i"))
    assert [block["type"] for block in message.blocks][-1] == "context"
    assert "<https://air.example/i/abc|evidence, acknowledge, silence>" in str(message.blocks[-1])
    assert faults_of({"text": message.text, "blocks": message.blocks}) == []


def test_a_press_is_acknowledged_kept_and_told_once(store: Store) -> None:
    with wired() as (wire, url, server):
        world = World(store, url, buttons=True, charts=False)
        world.relay()
        pressed = payload(ACKNOWLEDGE, subject_of(store))

        def done() -> None:
            deliver(store, world.channel, now=lambda: world.now, pause=lambda _s: None)

        client = listen(
            store, app_token="xapp", bot_token="xoxb", channels={"C1"}, clock=lambda: NOW,
            allowed=lambda _: True, done=done, base_url=url,
        )  # fmt: skip
        try:
            for number in range(3):  # delivered again and again
                wire.press(pressed, f"e{number}")
            wire.press(payload(ACKNOWLEDGE, "0" * 64 + ":1"), "e9")
            until(lambda: server.whispers)
        finally:
            client.close()
    assert wire.acknowledged == ["e0", "e1", "e2", "e9"]
    (row,) = store.rows(select(acknowledgement))
    assert (row.actor, row.action_id) == ("ada", "slack:1780887600.123456")
    assert [bool(one.get("thread_ts")) for one in server.messages] == [False, True]
    assert "ada looks after it" in server.messages[1]["text"]
    (whisper,) = server.whispers
    assert whisper["user"] == "U0ADA" and "not known" in whisper["text"]


def test_a_press_silences_this_series_for_four_hours(store: Store) -> None:
    with fake_slack() as (url, _):
        world = World(store, url, "chat", "search", charts=False)
        world.relay()
    rows = store.rows(select(incident).order_by(incident.c.labels))
    press = press_of(payload(SILENCE, f"{rows[0].fingerprint}:1"))
    assert press is not None
    first, again = (act(store, press, now=NOW) for _ in range(2))
    assert first == again and "tidegauge silence end" in first
    (made,) = store.rows(select(silence_table))
    assert made.ends_at - made.starts_at == timedelta(hours=4)
    assert made.matchers == [["feature", "=", "chat"], ["rule", "=", "quality"]]
    assert len(store.rows(select(audit).where(audit.c.action == "silence"))) == 1


def test_a_press_says_that_it_was_a_false_alarm(store: Store) -> None:
    with fake_slack() as (url, _):
        World(store, url, charts=False).relay()
    press = press_of(payload(FALSE_ALARM, subject_of(store)))
    assert press is not None
    assert [act(store, press, now=NOW) for _ in range(2)] == ["", ""]
    (row,) = store.rows(select(acknowledgement))
    assert (row.actor, row.verdict) == ("ada", "false")
    assert len(store.rows(select(audit).where(audit.c.action == "acknowledge"))) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {}, {"type": "view_submission"}, {"actions": []}, {"actions": [{}]}, {"user": {}},
        {"user": {"id": "U1", "username": "\u200b"}, "actions": []}, {"channel": None},
        {"actions": [{"action_id": "other", "value": "x", "action_ts": "1"}]},
        {"actions": [{"action_id": ACKNOWLEDGE, "value": "x", "action_ts": "1e999"}]},
        {"actions": [{"action_id": ACKNOWLEDGE, "value": "x", "action_ts": "soon"}]},
    ],
)  # fmt: skip
def test_what_is_no_press_of_ours_is_passed_over(broken: dict[str, Any]) -> None:
    assert press_of({**payload(ACKNOWLEDGE, "x"), **broken} if broken else {}) is None


@pytest.mark.parametrize("subject", ["", ":", "x", "x:y", "f:99999999999999999999", "'; --:1"])
def test_a_forged_subject_finds_nothing(store: Store, subject: str) -> None:
    press = press_of(payload(ACKNOWLEDGE, subject))
    assert press is not None and "not known" in act(store, press, now=NOW)


def test_who_presses_cannot_write_markup(store: Store) -> None:
    with fake_slack() as (url, server):
        world = World(store, url, charts=False)
        world.relay()
        press = press_of(payload(ACKNOWLEDGE, subject_of(store), who="<!channel>\n*x"))
        assert press is not None
        act(store, press, now=NOW)
        world.relay()
    assert "&lt;!channel&gt;" in server.messages[-1]["text"]


def test_an_incident_that_is_over_is_not_looked_after(store: Store) -> None:
    with fake_slack() as (url, _):
        world = World(store, url, charts=False)
    with store.begin() as connection:
        connection.execute(incident.update().values(state="resolved"))
    press = press_of(payload(ACKNOWLEDGE, subject_of(store)))
    assert press is not None and world
    with pytest.raises(ConfigurationError, match="is resolved"):
        act(store, press, now=NOW)


def test_a_press_in_another_channel_does_nothing(store: Store) -> None:
    with wired() as (wire, url, _):
        World(store, url, charts=False)
        client = listen(
            store, app_token="xapp", bot_token="xoxb", channels={"C9"}, clock=lambda: NOW,
            allowed=lambda _: True, done=lambda: None, base_url=url,
        )  # fmt: skip
        try:
            wire.press(payload(ACKNOWLEDGE, subject_of(store)))
            until(lambda: wire.acknowledged)
            time.sleep(0.2)
        finally:
            client.close()
    assert not store.rows(select(acknowledgement))


def test_who_may_not_press_is_told_so_alone_and_it_is_kept(store: Store) -> None:
    with wired() as (wire, url, server):
        world = World(store, url, buttons=True, charts=False)
        world.relay()
        subject = subject_of(store)
        client = listen(
            store, app_token="xapp", bot_token="xoxb", channels={"C1"}, clock=lambda: NOW,
            allowed=lambda user: user == "U0ADA", done=lambda: None, base_url=url,
        )  # fmt: skip
        stranger = {"user": {"id": "U9EVE", "username": "<!here> eve"}}
        try:
            for action in (ACKNOWLEDGE, SILENCE):
                wire.press(payload(action, subject, **stranger))
            wire.press(payload(SILENCE, subject, **stranger))  # delivered again
            until(lambda: len(server.whispers) == 3)
            wire.press(payload(ACKNOWLEDGE, subject, at="1780887601.5"))
            until(lambda: store.rows(select(acknowledgement)))
        finally:
            client.close()
    assert {one["user"] for one in server.whispers} == {"U9EVE"}
    assert all("may not press" in one["text"] for one in server.whispers)
    assert not store.rows(select(silence_table))
    assert [row.actor for row in store.rows(select(acknowledgement))] == ["ada"]
    kept = store.rows(select(audit).where(audit.c.action == "refuse_press"))
    assert [row.detail["action"] for row in kept] == [ACKNOWLEDGE, SILENCE], "each try once"
    assert {(row.subject, row.detail["user"]) for row in kept} == {(subject, "U9EVE")}
    assert len(server.messages) == 1, "nothing of it in the channel"


@pytest.mark.parametrize(
    ("may_press", "user", "allowed"),
    [
        (["U0ADA"], "U0ADA", True),
        (["U0ADA"], "U0ADAM", False),
        (["U0ADA"], "", False),
        (["everyone"], "U9EVE", True),
        (["S0CALL"], "U0BOB", True),
        (["S0CALL"], "S0CALL", False),
        (["W0ZOE", "S0CALL"], "W0ZOE", True),
        (["W0ZOE", "S0CALL"], "U0ADA", False),
    ],
)
def test_who_may_press(may_press: list[str], user: str, allowed: bool) -> None:
    assert Permission(may_press, lambda _: {"U0BOB"}, lambda: NOW).allows(user) is allowed


def test_a_group_is_asked_for_again_after_a_while_and_kept_when_slack_is_silent() -> None:
    now, groups = [NOW], [{"U0ADA"}]

    def members(_group: str) -> set[str]:
        if not groups:
            raise ConfigurationError("the members cannot be read")
        return groups[0]

    may = Permission(["S0CALL"], members, lambda: now[0])
    groups[0] = {"U0BOB"}
    assert (may.allows("U0ADA"), may.allows("U0BOB")) == (True, False)
    now[0] += timedelta(minutes=11)
    assert (may.allows("U0ADA"), may.allows("U0BOB")) == (False, True)
    groups.clear()
    now[0] += timedelta(minutes=11)
    assert (may.allows("U0ADA"), may.allows("U0BOB")) == (False, True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Permission(["S0CALL"], members, lambda: NOW)


@pytest.mark.parametrize("name", ["ada", "U", "<!channel>", "u0ada", "everybody", "C0CHAN"])
def test_who_is_no_user_and_no_group_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="may_press"):
        parse([], {}, {"channel": "C1", "may_press": [name]})


def test_check_says_who_may_press(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[store]\nurl = "sqlite:///s.db"\n[source]\nurl = "sqlite:///log.db"\n'
    slack = '[slack]\nchannel = "C1"\nbuttons = true\n'
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb")

    def said(may_press: str) -> tuple[bool, str]:
        (tmp_path / "tidegauge.toml").write_text(text + slack + f"may_press = {may_press}\n")
        found = {one.what: one for one in check(tmp_path / "tidegauge.toml")}
        return found["buttons"].good, found["buttons"].text

    with fake_slack() as (url, server):
        server.groups = {"S0CALL": ["U0ADA", "U0BOB"]}
        monkeypatch.setenv("SLACK_API_URL", url)
        assert said('["U0ADA", "S0CALL"]') == (True, "1 named and 2 of S0CALL may press")
        assert said('["everyone"]') == (True, "everyone in the channel may press")
        good, why = said("[]")
        assert not good and "nobody may press" in why and "everyone" in why
        good, why = said('["S0GONE"]')
        assert not good and "no_such_subteam" in why and "usergroups:read" in why


def test_the_command_listens_until_it_is_stopped(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    text = f'[store]\nurl = "{url}"\n[source]\nurl = "sqlite:///log.db"\n[slack]\nchannel = "C1"\n'
    (tmp_path / "tidegauge.toml").write_text(text)
    command = [sys.executable, "-m", "monitors.cli", "slack", "listen"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SLACK_")}
    said = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert said.returncode == 2 and "SLACK_APP_TOKEN" in said.stderr
    tokens = {**clean, "SLACK_APP_TOKEN": "xapp", "SLACK_BOT_TOKEN": "xoxb"}
    (tmp_path / "tidegauge.toml").write_text(text + "buttons = true\n")
    said = subprocess.run(command, cwd=tmp_path, env=tokens, capture_output=True, text=True)
    assert said.returncode == 2 and "nobody may press" in said.stderr
    (tmp_path / "tidegauge.toml").write_text(text + 'buttons = true\nmay_press = ["S0CALL"]\n')
    store = Store.open(url)
    with wired() as (wire, slack, server):
        server.groups = {"S0CALL": ["U0ADA"]}
        world = World(store, slack, charts=False)
        world.relay()
        environment = {**tokens, "SLACK_API_URL": slack}
        listener = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            until(lambda: wire.connections, 60)
            wire.press(payload(ACKNOWLEDGE, subject_of(store)))
            until(lambda: len(server.messages) == 2)
        finally:
            listener.send_signal(signal.SIGTERM)
        assert listener.wait(20) == 0
    states = {row.state for row in store.rows(select(notification.c.state))}
    assert states == {"sent"} and isinstance(world.channel["slack:C1"], SlackChannel)
    store.close()
