"""A storm of kills and faults on the relay, and what was lost or doubled: ``make faults``.

Two relays at once deliver to a Slack that breaks at random, over real HTTP, and are killed with
SIGKILL at random instants, again and again, until as many kills as asked for have struck. Beside
them the same storm on a client that leaves retries to the SDK and does not look before it repeats.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
import traceback
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from http.server import ThreadingHTTPServer
from typing import Any

from alerts import charts
from alerts.channels import Channel, Posted
from alerts.channels.slack import SlackChannel
from alerts.messages import Message
from alerts.outbox import Intent, enqueue
from alerts.relay import deliver
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import incident
from sql.window import Grain, Window

CHANNEL = "slack:C1"
_FAULTS = ("accepted_then_dropped", "accepted_500", "html", "refused_500", "429 0.05")
_UPLOAD = ("files.getUploadURLExternal", "upload", "files.completeUploadExternal")
_FAULT_SHARE = 0.12
# How long an unanswered message is left alone; a post takes milliseconds here, not a minute.
_QUIET = timedelta(milliseconds=600)
_MESSAGES_A_ROUND = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a storm's messages."""

    messages: int
    kills: int
    lost: int
    doubled: int
    seconds: float


def storm(
    seed: int, kills: int, *, url: str = "", naive: bool = False, pictures: bool = False
) -> Outcome:
    """One storm; deterministic in its plan, not in where the kills strike.

    Args:
        url: of the store; empty is a SQLite file.
        naive: the SDK's own retries, and no look before a second try.
        pictures: a chart below every second message, three calls each that break as posts do.
    """
    if pictures:
        charts.sample()  # what drawing needs is loaded once, before the forks
    began, chance = time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"sqlite:///{folder}/store.db"
        wanted: list[Intent] = []
        slack, address = _slack(seed)
        try:
            struck = 0
            while struck < kills:
                wanted += _more(url, len(wanted), pictures)
                struck += _killed(_relays(url, address, naive), chance, kills - struck)
            _finish(url, address, naive)
            with urllib.request.urlopen(f"{address}messages") as answer:
                keys = Counter(json.load(answer))
        finally:
            os.kill(slack, signal.SIGKILL)
            os.waitpid(slack, 0)
    lost = sum(_shown_as(intent) not in keys for intent in wanted)
    doubled = sum(count - 1 for count in keys.values())
    return Outcome(len(wanted), struck, lost, doubled, time.monotonic() - began)


def _shown_as(intent: Intent) -> str:
    """What Slack shows of it: a message's key in its metadata, a picture's in its file's name."""
    key = intent.delivery_key
    return f"tidegauge-{key[:32]}.png" if intent.kind == charts.KIND else key


def _more(url: str, sofar: int, pictures: bool) -> list[Intent]:
    """Another handful of messages in the outbox, so that the relays always have work."""
    from tests.slack_kit import facts

    found = [
        Intent(CHANNEL, "root", f"s{n}:1", 0, facts(members=[f"s{n}:1"]))
        for n in range(sofar, sofar + _MESSAGES_A_ROUND)
    ]
    store = Store.open(url)
    if pictures:
        found = [one for one in found for one in (one, _picture(one))][:_MESSAGES_A_ROUND]
        _one_incident(store)
    with store.begin() as connection:
        enqueue(store, connection, found, datetime.now(UTC))
    store.close()
    return found


def _picture(below: Intent) -> Intent:
    return replace(below, kind=charts.KIND, facts={"fingerprint": "abc", "generation": 1})


def _one_incident(store: Store) -> None:
    """What every chart of a storm shows."""
    day = Window.of(date(2026, 6, 1), Grain.DAY)
    item = Measurement(monitor="m", metric="m.m", window=day, n=1, value=0.5)
    row = {
        "fingerprint": "abc", "generation": 1, "rule": "r", "metric": "m.m", "labels": "{}",
        "grain": "day", "state": "open", "severity": "warning", "group_key": "",
        "last_window": day.start, "windows": 1, "body": {}, "updated_at": day.end,
    }  # fmt: skip
    with store.begin() as connection:
        store.publish(connection, "m", day, [item])
        store.upsert(connection, incident, [row])


# ── processes ────────────────────────────────────────────────────────────────────────────────


def _child(work: Callable[[], Any]) -> int:
    """Run ``work`` in a fork that never returns; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = int(work() or 0)
    finally:
        os._exit(code)


def _relays(url: str, address: str, naive: bool) -> list[int]:
    return [_child(lambda: _relay(url, address, naive)) for _ in range(2)]


def _relay(url: str, address: str, naive: bool) -> int:
    """Deliver until nothing waits; 0 when all is sent."""
    store = Store.open(url)
    channel = _channel(address, naive)
    while True:
        report = deliver(
            store,
            {CHANNEL: channel},
            now=lambda: datetime.now(UTC),
            pause=lambda _seconds: None,
            quiet=_QUIET,
        )
        if not report.waiting:
            return 0
        time.sleep(0.02)


def _killed(pids: list[int], chance: random.Random, most: int) -> int:
    """Kill each at an instant of its own; how many were still at work."""
    struck = 0
    for pid in pids:
        time.sleep(chance.uniform(0.02, 0.25))
        if struck < most and os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            struck += 1
            os.waitpid(pid, 0)
    for pid in pids:
        with suppress(ChildProcessError, ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return struck


def _finish(url: str, address: str, naive: bool) -> None:
    """Let one relay after the other work until nothing waits, as a scheduler would."""
    for _ in range(50):
        _, status = os.waitpid(_child(lambda: _relay(url, address, naive)), 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return


# ── Slack, and a client that trusts the SDK ──────────────────────────────────────────────────


def _slack(seed: int) -> tuple[int, str]:
    """A Slack in a process of its own, which breaks at random; (pid, address)."""
    from tests.slack_kit import FakeSlack

    chance = random.Random(1_000 + seed)

    class Faults(list[str]):
        """Endless: a fault now and then."""

        def __bool__(self) -> bool:
            return True

        def pop(self, _place: Any = 0) -> str:
            return chance.choice(_FAULTS) if chance.random() < _FAULT_SHARE else ""

    class Handler(FakeSlack):
        faults = Faults()
        messages: list[dict[str, Any]] = []  # noqa: RUF012 - shared on purpose: it is the channel
        disorder: list[str] = []  # noqa: RUF012 - the same
        breaks = dict.fromkeys(_UPLOAD, faults)
        uploads: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - the same

        def do_GET(self) -> None:  # noqa: N802 - the name of the base
            assert not self.disorder, self.disorder
            keys = [
                m["files"][0]["name"] if m.get("files") else m["metadata"]["event_payload"]["k"]
                for m in self.messages
            ]
            self._answer(200, keys)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that was killed has nothing to say; what the server cannot do is told."""
            if not isinstance(sys.exception(), OSError):
                traceback.print_exc()

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    server = Server(("127.0.0.1", port), Handler)
    pid = _child(server.serve_forever)
    server.socket.close()
    return pid, f"http://127.0.0.1:{port}/api/"


def _channel(address: str, naive: bool) -> Channel:
    if not naive:
        return SlackChannel("xoxb-test", "C1", address)
    return _Trusting("xoxb-test", "C1", address)


class _Trusting(SlackChannel):
    """What most code does: the SDK retries, and an interrupted message is sent again."""

    def __init__(self, token: str, channel: str, base_url: str) -> None:
        from slack_sdk import WebClient
        from slack_sdk.http_retry.builtin_handlers import (
            ConnectionErrorRetryHandler,
            RateLimitErrorRetryHandler,
            ServerErrorRetryHandler,
        )

        super().__init__(token, channel, base_url)
        handlers = [
            ConnectionErrorRetryHandler(max_retry_count=2),
            RateLimitErrorRetryHandler(max_retry_count=2),
            ServerErrorRetryHandler(max_retry_count=2),
        ]
        self._client = WebClient(token, base_url=base_url, retry_handlers=handlers)

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        return None

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        return super().post(key, message, thread)


def main(seeds: int = 20, kills: int = 50) -> int:
    """Print the table; exit status 1 when ours lost or doubled anything."""
    print(f"{'relay':<22}{'seeds':>6}{'kills':>7}{'messages':>10}{'lost':>6}{'doubled':>9}{'s':>7}")
    bad = 0
    rows = (
        ("tidegauge", False, False, seeds),
        ("with charts", False, True, seeds // 4),
        ("the SDK's retries", True, False, seeds // 5),
    )
    for name, naive, pictures, count in rows:
        found = [storm(seed, kills, naive=naive, pictures=pictures) for seed in range(count)]
        lost, doubled = sum(one.lost for one in found), sum(one.doubled for one in found)
        bad += 0 if naive else lost + doubled
        print(
            f"{name:<22}{count:>6}{sum(one.kills for one in found):>7,}"
            f"{sum(one.messages for one in found):>10,}{lost:>6}{doubled:>9}"
            f"{sum(one.seconds for one in found):>7.0f}",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
