"""Never lost, never doubled: against a Slack that breaks in every way, and under kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import select

from alerts.channels.file import FileChannel
from alerts.channels.slack import SlackChannel, retry_after
from alerts.messages import escape, render
from alerts.outbox import Intent, enqueue
from alerts.relay import deliver
from sql.store import Store
from sql.tables import notification

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOSTILE = ["<!channel>", "<@U1>", "<http://evil|x>", "```", "a\u202eb", "z\u200bz", "x" * 40_000]


def facts(**more: Any) -> dict[str, Any]:
    return {
        "incident": "abc", "fingerprint": "abc", "generation": 1, "severity": "critical",
        "state": "open", "title": "Safety fell", "rule": "safety", "metric": "safety.pass_rate",
        "labels": {"feature": "answer"}, "unit": "ratio", "value": 0.9, "low": 0.88, "high": 0.92,
        "baseline": 0.99, "threshold": 0.98, "n": 1000, "window": "2026-06-01",
        "window_start": "2026-06-01T00:00:00", "window_end": "2026-06-02T00:00:00",
        "since": "2026-06-01", "windows": 1, "worst": 0.9, "runbook": "", "owner": "",
        "first_step": "", "reason": "below", "source": "log", "also": [], "also_total": 0, **more,
    }  # fmt: skip


def intents(count: int, channel: str = "file") -> list[Intent]:
    return [
        Intent(channel, "root", f"s{number}:1", 0, facts(members=[f"s{number}:1"]))
        for number in range(count)
    ]


def put(store: Store, some: list[Intent], now: datetime = NOON) -> int:
    with store.begin() as connection:
        return enqueue(store, connection, some, now)


class FakeSlack(BaseHTTPRequestHandler):
    """Enough of the Web API; ``faults`` are played one a post, then it is well."""

    faults: list[str]
    messages: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if "json" in (self.headers.get("Content-Type") or ""):
            form = json.loads(body)
        else:
            form = {key: values[0] for key, values in parse_qs(body).items()}
        if not self.path.endswith("chat.postMessage"):
            return self._answer(200, self._page(form))
        fault = self.faults.pop(0) if self.faults else ""
        if fault.startswith("429"):
            return self._answer(429, {"ok": False, "error": "ratelimited"}, fault[4:])
        if fault == "revoked":
            return self._answer(200, {"ok": False, "error": "token_revoked"})
        if fault == "invalid_blocks" and form.get("blocks"):
            self.faults.insert(0, "")
            return self._answer(200, {"ok": False, "error": "invalid_blocks"})
        if fault == "refused_500":
            return self._answer(500, {})
        metadata = form["metadata"]
        metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
        ts = f"{len(self.messages) + 1}.0"
        self.messages.append({**form, "ts": ts, "metadata": metadata})
        if fault == "accepted_then_dropped":
            self.connection.close()
            return None
        if fault == "accepted_500":
            return self._answer(500, {})
        if fault == "html":
            return self._answer(200, None)
        return self._answer(200, {"ok": True, "channel": "C1", "ts": ts})

    def _page(self, form: dict[str, Any]) -> dict[str, Any]:
        """As Slack pages: a channel's newest first, a thread's oldest first, replies in it only."""
        thread = form.get("ts")
        shown = [m for m in self.messages if m.get("thread_ts") == thread or m["ts"] == thread]
        if thread is None:
            shown = [m for m in reversed(self.messages) if not m.get("thread_ts")]
        start, limit = int(form.get("cursor") or 0), int(form.get("limit") or 100)
        following = str(start + limit) if start + limit < len(shown) else ""
        page = {"ok": True, "messages": shown[start : start + limit]}
        return {**page, "response_metadata": {"next_cursor": following}}

    def _answer(self, status: int, data: Any, wait: str = "") -> None:
        body = b"<html>" if data is None else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if data is None else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if wait:
            self.send_header("Retry-After", wait)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def slack() -> Iterator[tuple[str, type[FakeSlack]]]:
    handler = type("Handler", (FakeSlack,), {"faults": [], "messages": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/", handler
    server.shutdown()


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


def test_a_refusal_by_configuration_keeps_the_rows_and_names_the_place(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    server.faults[:] = ["revoked"]
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    put(store, intents(2, "slack:C1"))
    report = deliver(store, channel, now=clock, pause=lambda _s: None)
    assert (report.sent, report.waiting, report.refused) == (0, 2, ("slack:C1",))
    clock.at += timedelta(minutes=6)
    assert deliver(store, channel, now=clock, pause=lambda _s: None).sent == 2


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


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_label_escapes(text: str) -> None:
    hostile = facts(labels={"feature": text}, title=text, first_step=text, owner=text)
    for kind, more in (("root", {}), ("thread", {"transition": "resolved"})):
        message = render(kind, {**hostile, **more})
        shown = json.dumps([message.text, message.blocks], ensure_ascii=False)
        assert not {"<", ">", "\u202e", "\u200b"} & set(shown)
        assert len(message.text) <= 3000
        for block in message.blocks:
            if block["type"] == "header":
                assert len(block["text"]["text"]) <= 150
            for field in block.get("fields", []):
                assert len(field["text"]) <= 2000
            if block["type"] == "section" and "text" in block:
                assert len(block["text"]["text"]) <= 3000
    assert escape("a & b") == "a &amp; b"


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
