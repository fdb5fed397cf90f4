"""Never lost, never doubled: against a Slack that breaks in every way, and under kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.channels.file import FileChannel
from alerts.channels.slack import SlackChannel, retry_after
from alerts.outbox import SILENCED, Intent, enqueue
from alerts.relay import deliver
from sql.store import Store
from sql.tables import notification
from tests.slack_kit import FakeSlack, facts, fake_slack

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def intents(count: int, channel: str = "file") -> list[Intent]:
    return [
        Intent(channel, "root", f"s{number}:1", 0, facts(members=[f"s{number}:1"]))
        for number in range(count)
    ]


def put(store: Store, some: list[Intent], now: datetime = NOON) -> int:
    with store.begin() as connection:
        return enqueue(store, connection, some, now)


@pytest.fixture
def slack() -> Iterator[tuple[str, type[FakeSlack]]]:
    with fake_slack() as made:
        yield made


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


FAULTS = [
    "accepted_then_dropped", "accepted_500", "html", "refused_500", "429 0.5", "429 3",
    "429 Wed, 21 Oct 2099 07:28:00 GMT", "429 nonsense", "invalid_blocks",
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_ends_in_one_message(
    store: Store, slack: tuple[str, type[FakeSlack]], fault: str
) -> None:
    url, server = slack
    server.faults[:] = [fault]
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    put(store, intents(3, "slack:C1"))
    for _ in range(12):
        deliver(store, channel, now=clock, pause=lambda _s: None)
        clock.at += timedelta(seconds=80)
    keys = [message["metadata"]["event_payload"]["k"] for message in server.messages]
    assert sorted(keys) == sorted(i.delivery_key for i in intents(3, "slack:C1"))


@pytest.mark.parametrize("in_thread", [False, True])
def test_it_is_found_in_a_busy_channel_and_in_a_long_thread(
    store: Store, slack: tuple[str, type[FakeSlack]], in_thread: bool
) -> None:
    """The connection breaks after the post landed; then 450 others are written, or were before."""
    url, server = slack
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}

    def others(**more: str) -> None:
        for _ in range(450):
            ts = f"{len(server.messages) + 1}.0"
            server.messages.append({"text": "hello", "ts": ts, "metadata": None, **more})

    put(store, intents(1, "slack:C1"))
    if in_thread:
        deliver(store, channel, now=clock, pause=lambda _s: None)
        others(thread_ts=server.messages[0]["ts"])
        reply = Intent("slack:C1", "thread", "s0:1", 1, facts(transition="resolved"))
        put(store, [reply])
    server.faults[:] = ["accepted_then_dropped"]
    deliver(store, channel, now=clock, pause=lambda _s: None)
    if not in_thread:
        others()
    for _ in range(4):
        clock.at += timedelta(seconds=80)
        deliver(store, channel, now=clock, pause=lambda _s: None)
    ours = [m for m in server.messages if m["metadata"]]
    assert len(ours) == (2 if in_thread else 1)
    assert {row.state for row in store.rows(select(notification))} == {"sent"}


def test_a_rate_limit_holds_the_whole_channel_and_keeps_its_order(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    """Another relay, a moment later, must not overtake what was refused."""
    url, server = slack
    server.faults[:] = ["429 30"]
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    put(store, intents(3, "slack:C1"))
    for seconds, sent in ((0, 0), (5, 0), (24, 0), (2, 3)):
        clock.at += timedelta(seconds=seconds)
        assert deliver(store, channel, now=clock, pause=lambda _s: None).sent == sent


def test_a_silence_of_weeks_and_then_an_outage_bury_nothing(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    """Seven days count from the first attempt, not from when a silence began to hold it."""
    url, server = slack
    put(store, [Intent("slack:C1", "root", "s:1", 0, facts())], NOON - timedelta(days=20))
    with store.begin() as connection:
        connection.execute(notification.update().values(last_error=SILENCED))
    server.faults[:] = ["429 30"]
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    assert deliver(store, channel, now=clock, pause=lambda _s: None).dead == 0
    clock.at += timedelta(minutes=1)
    report = deliver(store, channel, now=clock, pause=lambda _s: None)
    assert (report.sent, report.dead) == (1, 0)


def test_what_a_place_refuses_is_told_elsewhere_once_and_in_its_place_later(
    store: Store, slack: tuple[str, type[FakeSlack]], tmp_path: Path
) -> None:
    """A token is revoked: what opens is told in the fallback; mended, Slack has it all."""
    url, server = slack
    clock = Clock()
    channel = {
        "slack:C1": SlackChannel("xoxb", "C1", url),
        "file": FileChannel(tmp_path / "alerts.jsonl"),
    }
    called = {"escalate": {"after_s": 60, "channel": "", "mention": ""}, "buttons": True}
    put(store, [replace(one, facts={**one.facts, **called}) for one in intents(2, "slack:C1")])
    put(store, [Intent("slack:C1", "thread", "s0:1", 1, facts(transition="resolved"))])
    for _ in range(3):
        server.faults[:] = ["token_revoked"]
        report = deliver(store, channel, now=clock, pause=lambda _s: None, fallback="file")
        assert report.refused == ("slack:C1",)
        clock.at += timedelta(minutes=6)
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert len(lines) == 2 and all("Safety fell" in line for line in lines)
    copies = store.rows(select(notification).where(notification.c.channel == "file"))
    assert not any({"escalate", "buttons"} & set(row.payload) for row in copies)
    server.faults[:] = []
    deliver(store, channel, now=clock, pause=lambda _s: None, fallback="file")
    assert len(server.messages) == 3
    assert {row.state for row in store.rows(select(notification))} == {"sent"}


def test_a_refusal_by_configuration_keeps_the_rows_and_names_the_place(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    server.faults[:] = ["token_revoked"]
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    put(store, intents(2, "slack:C1"))
    report = deliver(store, channel, now=clock, pause=lambda _s: None)
    assert (report.sent, report.waiting, report.refused) == (0, 2, ("slack:C1",))
    clock.at += timedelta(minutes=6)
    assert deliver(store, channel, now=clock, pause=lambda _s: None).sent == 2


@pytest.mark.parametrize("fault", ["", "accepted_then_dropped", "html", "refused_500"])
def test_a_deleted_message_has_a_successor_and_the_story_goes_on_below_it(
    store: Store, slack: tuple[str, type[FakeSlack]], fault: str
) -> None:
    """Somebody deletes the message; the next answer stands alone, once, and holds up nobody."""
    url, server = slack
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    put(store, intents(2, "slack:C1"))
    deliver(store, channel, now=clock, pause=lambda _s: None)
    first, other = (one["ts"] for one in server.messages)
    server.messages[:] = [one for one in server.messages if one["ts"] != first]
    server.deleted = {first}
    server.faults[:] = ["", fault]  # the post below it, which is refused; then the one alone

    def tell(place: int, *subjects: str) -> None:
        news = facts(transition="severity_up", incident="gone?")
        put(store, [Intent("slack:C1", "thread", each, place, news) for each in subjects], clock())
        for _ in range(4):
            report = deliver(store, channel, now=clock, pause=lambda _s: None)
            assert not report.refused
            clock.at += timedelta(seconds=80)

    tell(1, "s0:1", "s1:1")
    tell(2, "s0:1")
    said = server.messages[1:]
    assert [one.get("thread_ts") for one in said].count(other) == 1
    (alone,) = [one for one in said if not one.get("thread_ts")]
    assert "Now critical" in alone["text"] and "Safety fell" in alone["text"]
    assert [one.get("thread_ts") for one in said].count(alone["ts"]) == 1
    assert len(said) == 3 and {row.state for row in store.rows(select(notification))} == {"sent"}


def test_enqueueing_again_says_nothing_new_and_a_thread_follows_its_root(
    store: Store, tmp_path: Path
) -> None:
    assert put(store, intents(2)) == 2
    assert put(store, intents(2)) == 0
    put(store, [Intent("file", "thread", "s1:1", 1, facts(transition="resolved"))])
    clock, path = Clock(), tmp_path / "alerts.jsonl"
    assert deliver(store, {"file": FileChannel(path)}, now=clock).sent == 3
    assert deliver(store, {"file": FileChannel(path)}, now=clock).sent == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    threads = [line["thread"] for line in lines]
    assert threads == [None, None, lines[1]["key"]] or threads[-1] in {x["key"] for x in lines[:2]}
    assert "Resolved" in lines[-1]["text"]


RELAY = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from alerts.channels.file import FileChannel
from alerts.relay import deliver
from sql.store import Store
store = Store.open(sys.argv[1])
report = deliver(store, {"file": FileChannel(Path(sys.argv[2]))},
                 now=lambda: datetime.now(UTC), quiet=timedelta(seconds=3))
sys.exit(0 if report.waiting == 0 else 5)
"""


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kill_minus_nine_loses_and_doubles_nothing(
    store_url: str, tmp_path: Path, seed: int
) -> None:
    store, path, chance = Store.open(store_url), tmp_path / "alerts.jsonl", random.Random(seed)
    wanted = intents(150)
    put(store, wanted, datetime.now(UTC))
    command = [sys.executable, "-c", RELAY, store_url, str(path)]
    kills, deadline = 0, time.monotonic() + 90
    while time.monotonic() < deadline:
        relays = [subprocess.Popen(command, cwd=Path(__file__).parent.parent) for _ in range(2)]
        if kills < 6:
            time.sleep(chance.uniform(0.7, 1.6))
            for relay in relays:
                if relay.poll() is None:
                    os.kill(relay.pid, signal.SIGKILL)
                    kills += 1
        codes = [relay.wait() for relay in relays]
        if 0 in codes:
            break
        time.sleep(0.3)
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines() if line.endswith("}")]
    assert sorted(keys) == sorted(intent.delivery_key for intent in wanted)
    states = {row.state for row in store.rows(select(notification.c.state))}
    assert states == {"sent"}
    store.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), ("0.5", 1), ("-9", 1), ("99999", 600), ("nan", 30), ("", 30), (None, 30),
     ("Thu, 01 Jan 1970 00:01:40 GMT", 100)],
)  # fmt: skip
def test_every_form_of_retry_after(header: Any, seconds: float) -> None:
    assert retry_after(header, now=0.0) == seconds


@pytest.mark.slow
def test_a_storm_of_kills_over_http_loses_and_doubles_nothing(store_url: str) -> None:
    """A short one; ``make faults`` runs a thousand kills, and the SDK's own retries beside them."""
    from tests.faults import storm

    found = storm(3, 20, url=store_url)
    assert found.kills == 20
    assert (found.lost, found.doubled) == (0, 0)
