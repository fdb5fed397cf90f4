"""What the self-test says of a Slack that behaves, and of some that do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from alerts.channels import MisconfiguredError
from alerts.channels.slack import SlackChannel
from alerts.relay import deliver
from alerts.selftest import Report, selftest
from sql.store import Store
from tests.slack_kit import FakeSlack, fake_slack
from tests.test_alerts_relay import Clock, intents, put


@pytest.fixture
def slack() -> Iterator[tuple[str, type[FakeSlack]]]:
    with fake_slack() as made:
        yield made


def tried(url: str, patience_s: float = 5.0) -> Report:
    return selftest(
        SlackChannel("xoxb", "C1", url),
        clock=time.monotonic,
        pause=lambda seconds: time.sleep(min(seconds, 0.05)),
        patience_s=patience_s,
    )


def test_a_slack_that_behaves(slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack
    report = tried(url)
    assert report.once and "posted once" in report.guarantee
    assert [one.what for one in report.seen if not one.good] == []
    assert {one.what for one in report.seen} >= {"a picture in the thread", "too fast"}
    assert server.messages == [] and server.uploads


def test_a_history_that_lags_is_timed(slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack
    server.lag = 0.4
    report = tried(url)
    (found,) = [one.text for one in report.seen if one.what == "find a message by its key"]
    assert report.once and 0.4 <= float(found.removeprefix("after ").removesuffix(" s")) < 2


def test_a_history_that_lags_too_far_promises_less(slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack
    server.lag = 30.0
    report = tried(url, patience_s=0.2)
    assert not report.once and "marked as a repeat" in report.guarantee


@pytest.mark.parametrize("method", ["conversations.history", "conversations.replies"])
def test_without_the_scope_it_is_at_least_once(
    slack: tuple[str, type[FakeSlack]], method: str
) -> None:
    url, server = slack
    server.breaks[method] = ["missing_scope"]
    report = tried(url)
    assert not report.once and "history" in report.guarantee
    assert "refused: missing_scope" in [one.text for one in report.seen if not one.good]


def test_metadata_that_does_not_come_back(slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack

    class Forgetful(list):  # type: ignore[type-arg]
        def append(self, message: dict) -> None:  # type: ignore[type-arg]
            super().append({**message, "metadata": None})

    server.messages = Forgetful()
    assert not tried(url, patience_s=0.2).once


@pytest.mark.parametrize("fault", ["429 7", "429 0.5", "429 nonsense"])
def test_what_slack_says_to_haste_is_read(slack: tuple[str, type[FakeSlack]], fault: str) -> None:
    url, server = slack
    server.faults[:] = ["", "", "", "", "", "", fault]
    report = tried(url)
    (told,) = [one.text for one in report.seen if one.what == "too fast"]
    wait = {"429 7": "7 s", "429 0.5": "1 s", "429 nonsense": "30 s"}[fault]
    assert told == f"ratelimited after 2 messages, Retry-After {wait}"


def test_a_token_that_is_not_taken(slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack
    server.breaks["auth.test"] = ["token_revoked"]
    with pytest.raises(MisconfiguredError, match="token_revoked"):
        tried(url)


def test_a_token_that_may_not_look_repeats_and_says_so(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    server.faults[:] = ["accepted_then_dropped"]
    server.breaks["conversations.history"] = ["missing_scope"] * 9
    clock, channel = Clock(), {"slack:C1": SlackChannel("xoxb", "C1", url)}
    put(store, intents(1, "slack:C1"))
    for _ in range(3):
        deliver(store, channel, now=clock, pause=lambda _s: None)
        clock.at += timedelta(seconds=80)
    first, second = server.messages
    assert "repeat" not in first["text"] and "Perhaps a repeat" in second["text"]


def test_the_command(tmp_path: Path, slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack
    command = [sys.executable, "-m", "monitors.cli", "slack", "selftest", "--channel", "C1"]
    environment = {**os.environ, "SLACK_BOT_TOKEN": "xoxb-secret", "SLACK_API_URL": url}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    done = run("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["once"] is True
    server.breaks["conversations.history"] = ["missing_scope"]
    told = run()
    assert told.returncode == 1 and "Guarantee: never lost" in told.stdout
    server.breaks["auth.test"] = ["token_revoked"]
    refused = run()
    assert refused.returncode == 2 and "token_revoked" in refused.stderr
    assert "xoxb-secret" not in done.stdout + told.stdout + refused.stderr
