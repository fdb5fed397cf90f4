"""The other places that are told: PagerDuty, signed webhooks, Slack's incoming webhook, stdout.

Each against a real HTTP server that breaks on order. What they promise differs: PagerDuty knows a
repeat by its key, a webhook's receiver may, Slack's incoming webhook cannot and is told so.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.channels import AmbiguousError, Channel, MisconfiguredError, NotSentError, slack, web
from alerts.channels.file import FileChannel, StandardOutput
from alerts.channels.opening import open_channels, secret_of, wanted_channels
from alerts.channels.pagerduty import PagerDutyChannel, events_of
from alerts.channels.slack_webhook import SlackWebhookChannel
from alerts.channels.webhook import KEY, SIGNATURE, TIMESTAMP, WebhookChannel
from alerts.configuration import parse
from alerts.escalation import escalate
from alerts.messages import render
from alerts.outbox import Intent
from alerts.relay import deliver
from alerts.routing import routed
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import notification
from tests.blockkit import faults_of
from tests.slack_kit import facts, fake_slack
from tests.test_alerts_charts import FIRST, World
from tests.test_alerts_messages import CORPUS, everywhere
from tests.test_alerts_relay import Clock, put

FAULTS = ["500", "503", "accepted_500", "accepted_then_dropped", "dropped", "429 1", "429 nonsense"]
ENVIRONMENT = {"PAGERDUTY_ROUTING_KEY": "R" * 32, "TIDEGAUGE_WEBHOOK_SECRET": "shared",
               "SLACK_WEBHOOK_URL": "https://hooks.slack.com/x"}  # fmt: skip


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


class Place(BaseHTTPRequestHandler):
    """Takes JSON, keeps it, answers ``good``; ``faults`` are played first, one a request."""

    faults: list[str]
    taken: list[dict[str, Any]]
    good: tuple[int, str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.faults.pop(0) if self.faults else ""
        if fault.startswith("429"):
            return self._answer(429, "", fault[4:])
        if fault.isdigit():
            return self._answer(int(fault), "")
        if fault == "dropped":
            return self.connection.close()
        told = json.loads(body) if body[:1] == b"{" else {}
        self.taken.append({"headers": dict(self.headers), "raw": body, **told})
        if fault == "accepted_then_dropped":
            return self.connection.close()
        return self._answer(500, "") if fault == "accepted_500" else self._answer(*self.good)

    def do_HEAD(self) -> None:
        self._answer(405, "")

    def _answer(self, status: int, text: str, wait: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if wait:
            self.send_header("Retry-After", wait)
        if status == 302:
            self.send_header("Location", "http://169.254.169.254/")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(status: int, text: str) -> Iterator[tuple[str, type[Place]]]:
    handler = type("Handler", (Place,), {"faults": [], "taken": [], "good": (status, text)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/in", handler
    server.shutdown()
    server.server_close()


def story(channel: str) -> list[Intent]:
    """An incident that opens, is looked after and ends."""
    one = facts(fingerprint="f" * 64, members=["f" * 64 + ":1"], first_step="look")
    subject = "f" * 64 + ":1"
    told = [
        {},
        {"transition": "acknowledged", "by": "ada", "comment": ""},
        {"transition": "resolved"},
    ]
    kinds = ["root", "thread", "thread"]
    return [
        Intent(channel, kind, subject, place, {**one, **told[place]})
        for place, kind in enumerate(kinds)
    ]


def relayed(store: Store, name: str, channel: Channel, rounds: int = 8) -> set[str]:
    """Deliver until nothing waits, minutes apart; the states in the end."""
    clock = Clock()
    for _ in range(rounds):
        report = deliver(store, {name: channel}, now=clock, pause=lambda _s: None)
        if not report.waiting:
            break
        clock.at += timedelta(seconds=80)
    return {row.state for row in store.rows(select(notification.c.state))}


# ── PagerDuty ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_pagerduty_hears_a_story_under_one_key(store: Store, fault: str) -> None:
    with serving(202, '{"status":"success"}') as (url, place):
        place.faults[:] = [fault] if fault else []
        put(store, story("pagerduty"))
        assert relayed(store, "pagerduty", PagerDutyChannel("R" * 32, url=url)) == {"sent"}
    assert {event["dedup_key"] for event in place.taken} == {"tidegauge:" + "f" * 64 + ":1"}
    assert {event["routing_key"] for event in place.taken} == {"R" * 32}
    actions = [event["event_action"] for event in place.taken]
    # A repeat is the same event under the same key: PagerDuty makes nothing of it.
    assert list(dict.fromkeys(actions)) == ["trigger", "acknowledge", "resolve"]
    assert len(actions) == 3 + fault.startswith("accepted")
    payload = place.taken[0]["payload"]
    assert (payload["severity"], payload["component"]) == ("critical", "answer")
    assert payload["custom_details"]["first_step"] == "look"


def test_each_of_a_group_has_its_own_key_and_lesser_ones_have_none() -> None:
    def one(number: int, severity: str) -> dict[str, Any]:
        return facts(fingerprint=f"{number}" * 64, severity=severity)

    group = {**one(1, "critical"), "also": [one(2, "critical"), one(3, "warning")], "also_total": 2}
    events = list(events_of(render("root", group), "critical"))
    assert [event["dedup_key"][10:12] for event in events] == ["11", "22"]
    assert len(list(events_of(render("root", group), "warning"))) == 3
    over = {**group, "transition": "resolved", "members": ["a:1", "b:2"]}
    assert [event["dedup_key"] for event in events_of(render("thread", over), "critical")] == [
        "tidegauge:a:1",
        "tidegauge:b:2",
    ]
    digest = {"total": 500, "window": "w", "incidents": [one(n, "critical") for n in range(9)]}
    assert len(list(events_of(render("digest", digest), "critical"))) == 9


@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:16]))
def test_a_page_stays_within_pagerdutys_limits(text: str) -> None:
    message = render("root", {**everywhere(text), "fingerprint": "f" * 64})
    (event,) = events_of(message, "critical")
    assert 1 <= len(event["payload"]["summary"]) <= 1024
    assert event["payload"]["source"] and len(json.dumps(event)) < 512_000 // 2


def test_pagerduty_refuses_a_wrong_key() -> None:
    with serving(202, "{}") as (url, place):
        channel = PagerDutyChannel("R" * 32, url=url)
        assert channel.verify() and place.taken[0]["event_action"] == "resolve"
        place.faults[:] = ["400"]
        with pytest.raises(MisconfiguredError, match="http_400"):
            channel.verify()


# ── signed webhooks ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_a_webhook_is_signed_and_a_repeat_has_the_same_key(store: Store, fault: str) -> None:
    with serving(200, "") as (url, place):
        place.faults[:] = [fault] if fault else []
        wanted = story("webhook:ops")
        put(store, wanted)
        assert relayed(
            store, "webhook:ops", WebhookChannel("webhook:ops", url, "shared", True)
        ) == {"sent"}
    keys = [one["headers"][KEY] for one in place.taken]
    assert list(dict.fromkeys(keys)) == [intent.delivery_key for intent in wanted]
    assert len(keys) == 3 + fault.startswith("accepted")
    for one in place.taken:
        stamp = one["headers"][TIMESTAMP]
        assert abs(time.time() - int(stamp)) < 60
        signed = f"v1:{stamp}:".encode() + one["raw"]
        mac = hmac.new(b"shared", signed, "sha256").hexdigest()
        assert one["headers"][SIGNATURE] == f"v1={mac}"
    assert place.taken[-1]["facts"]["transition"] == "resolved"
    assert "Resolved" in place.taken[-1]["text"]


@pytest.mark.parametrize("status", ["302", "401", "404"])
def test_a_refusal_keeps_the_message_and_follows_nothing(store: Store, status: str) -> None:
    with serving(200, "") as (url, place):
        place.faults[:] = [status] * 9
        put(store, story("webhook:ops")[:1])
        channel = WebhookChannel("webhook:ops", url, "shared", True)
        report = deliver(store, {"webhook:ops": channel}, now=Clock(), pause=lambda _s: None)
        assert (report.refused, report.waiting) == (("webhook:ops",), 1)
        assert len(place.faults) == 8 and not place.taken
        assert channel.verify() == "answers 405"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://hooks.example/x", "not_https"),
        ("ftp://hooks.example/x", "not_https"),
        ("https://127.0.0.1/x", "private_address"),
        ("https://169.254.169.254/latest", "private_address"),
        ("https://[::1]/x", "private_address"),
        ("https://[::ffff:10.0.0.1]/x", "private_address"),
        ("https://10.1.2.3:99999/x", "bad_address"),
        ("https://nowhere.invalid/x", "unreachable"),
    ],
)
def test_an_address_within_is_not_spoken_to(url: str, error: str) -> None:
    with pytest.raises((MisconfiguredError, NotSentError), match=error):
        web.post(url, b"{}", {})


def test_a_server_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr(web, "TIMEOUT_S", 0.2)

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(1)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    put(store, story("webhook:ops")[:1])
    url = f"http://127.0.0.1:{server.server_port}/"
    channel = WebhookChannel("webhook:ops", url, "shared", True)
    report = deliver(store, {"webhook:ops": channel}, now=Clock(), pause=lambda _s: None)
    server.shutdown()
    server.server_close()
    (row,) = store.rows(select(notification))
    assert (report.waiting, row.state, row.last_error) == (1, "inflight", "connection_broke")


# ── Slack's incoming webhook ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_an_incoming_webhook_marks_what_may_be_a_repeat(store: Store, fault: str) -> None:
    with serving(200, "ok") as (url, place):
        place.faults[:] = [fault] if fault else []
        put(store, story("slack:webhook"))
        assert relayed(store, "slack:webhook", SlackWebhookChannel(url)) == {"sent"}
    for one in place.taken:
        sent = {"text": one["text"], "blocks": one.get("blocks")}
        assert faults_of(sent) == []
    repeats = [one for one in place.taken if "Perhaps a repeat" in one["text"]]
    assert len(place.taken) == 3 + fault.startswith("accepted")
    assert len(repeats) == (fault in ("500", "503", "dropped") or fault.startswith("accepted"))
    # Without threads each says what it is about.
    assert all("Safety fell" in one["text"] for one in place.taken)


def test_an_incoming_webhook_that_is_gone_is_named() -> None:
    with serving(400, "no_text") as (url, place):
        assert "no threads" in SlackWebhookChannel(url).verify()
        place.faults[:] = ["404"]
        with pytest.raises(MisconfiguredError, match="http_404"):
            SlackWebhookChannel(url).verify()


def test_an_address_that_is_a_secret_stands_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """The client names each address that it asks, at a level that Airflow shows."""
    import logging

    with serving(200, "ok") as (url, place), caplog.at_level(logging.DEBUG):
        secret = f"{url}/T0/B0/quetzal-7f3a"
        SlackWebhookChannel(secret).post("k", render("root", facts()), None)
        place.faults[:] = ["500", "404"]
        for _ in range(2):
            with pytest.raises((AmbiguousError, MisconfiguredError)) as caught:
                SlackWebhookChannel(secret).post("k", render("root", facts()), None)
            assert "quetzal" not in str(caught.value)
        slack._put(f"{secret}/upload", b"x")
    assert "quetzal" not in caplog.text


# ── who is told what ─────────────────────────────────────────────────────────────────────────


def test_copies_go_where_they_are_grave_enough() -> None:
    alerting = parse(
        [],
        {},
        {"channel": "C1"},
        {},
        {"ops": {"url": "https://hooks.example/", "severity": "warning"}},
    )
    grave, light = story("slack:C1")[0], story("slack:C1")[0]
    light.facts["severity"] = "warning"
    told = [(one.channel, one.kind) for one in routed([grave], alerting)]
    assert told == [
        ("slack:C1", "root"),
        ("slack:C1", "trend"),
        ("webhook:ops", "root"),
    ]
    assert [one.channel for one in routed([light], alerting)][2:] == ["webhook:ops"]
    assert wanted_channels(alerting) == ["file", "pagerduty", "slack:C1", "webhook:ops"]
    keys = {one.delivery_key for one in routed([grave], alerting)}
    assert len(keys) == 3


def test_an_outage_is_summed_up_for_people_and_not_for_machines(store: Store) -> None:
    """Each waited an hour: a person reads what there is now, PagerDuty hears the whole story."""
    with serving(202, "{}") as (url, place):
        put(store, [*story("pagerduty"), *story("file")])
        clock = Clock()
        clock.at += timedelta(hours=1)
        channels: dict[str, Channel] = {
            "pagerduty": PagerDutyChannel("R" * 32, url=url),
            "file": StandardOutput(),
        }
        deliver(store, channels, now=clock, pause=lambda _s: None)
    assert [one["event_action"] for one in place.taken] == ["trigger", "acknowledge", "resolve"]


def test_who_was_called_because_nobody_came_hears_that_it_is_over(store: Store) -> None:
    """A warning that is told in Slack is paged after an hour, and resolved there at its end."""
    route = {"escalate_after_minutes": 60, "escalate_channel": "pagerduty"}
    with serving(202, "{}") as (url, place), fake_slack() as (slack, _):
        world = World(store, slack, routes=[route])
        world.channel["pagerduty"] = PagerDutyChannel("R" * 32, url=url)
        world.relay()
        escalate(store, world.now + timedelta(hours=2))
        world.relay(timedelta(hours=3))
        assert [one["event_action"] for one in place.taken] == ["trigger"]
        for number in (7, 8):
            world.measure(FIRST.shift(number), 0.8)
        world.relay(timedelta(days=2))
    assert [one["event_action"] for one in place.taken] == ["trigger", "resolve"]
    assert len({one["dedup_key"] for one in place.taken}) == 1


def test_what_has_no_secret_stays_shut(tmp_path: Path) -> None:
    alerting = parse(
        [], {"file": "-"}, {"channel": "webhook"}, {}, {"ops": {"url": "https://hooks.example/"}}
    )
    shut = open_channels(alerting, tmp_path / "a", {})
    assert list(shut) == ["file"] and isinstance(shut["file"], StandardOutput)
    opened = open_channels(alerting, tmp_path / "a", ENVIRONMENT)
    assert sorted(opened) == ["file", "pagerduty", "slack:webhook", "webhook:ops"]
    assert {secret_of(name) for name in opened} == {"", *ENVIRONMENT}


@pytest.mark.parametrize("channel", ["teams", "slack:", "webhook:none", "#alerts"])
def test_a_rules_channel_must_exist(channel: str) -> None:
    rule = {"name": "r", "metric": "m.m", "decision": "fact", "channel": channel}
    with pytest.raises(ConfigurationError, match="no place"):
        parse([rule], {}, {})


def test_standard_output(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    put(store, story("file"))
    assert relayed(store, "file", StandardOutput()) == {"sent"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["thread"] is None for line in lines] == [True, False, False]
    assert FileChannel(tmp_path / "a").verify() == ""
