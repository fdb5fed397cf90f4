"""The chart in an incident's thread: there once, whatever breaks, and never in the way of words."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from alerts import charts
from alerts.channels import Channel
from alerts.channels.slack import SlackChannel
from alerts.configuration import AlertConfiguration, parse
from alerts.evaluate import evaluate
from alerts.relay import DeliveryReport, deliver
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import incident, notification
from sql.window import Grain, Window
from tests.slack_kit import FakeSlack, fake_slack
from tests.test_alerts_messages import CORPUS

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
RULES = [{"name": "quality", "metric": "quality.score", "decision": "interval", "consecutive": 1,
          "match": {"feature": "*"}}]  # fmt: skip
CALLS = ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


class World:
    """A store with a week of one series, its last day in breach, and a Slack to tell it to."""

    def __init__(
        self, store: Store, url: str, *features: str, routes: Any = (), **slack: Any
    ) -> None:
        self.store = store
        self.channel: dict[str, Channel] = {"slack:C1": SlackChannel("xoxb", "C1", url)}
        self.now = datetime(2026, 6, 8, 2, tzinfo=UTC)
        self.alerting: AlertConfiguration = parse(
            RULES, {}, {"channel": "C1", **slack}, routes=routes
        )
        self.features = features or ("chat",)
        for number in range(7):
            self.measure(FIRST.shift(number), 0.5 if number == 6 else 0.8)

    def measure(self, window: Window, value: float) -> None:
        items = [
            Measurement(
                monitor="quality", metric="quality.score", window=window, n=100, value=value,
                labels={"feature": feature}, low=value - 0.02, high=value + 0.02, baseline=0.8,
            )
            for feature in self.features
        ]  # fmt: skip
        with self.store.begin() as connection:
            self.store.publish(connection, "quality", window, items)
        evaluate(self.store, self.alerting, window, ["quality"], now=window.end)

    def relay(self, after: timedelta = timedelta(0)) -> DeliveryReport:
        self.now += after
        return deliver(self.store, self.channel, now=lambda: self.now, pause=lambda _s: None)

    def states(self) -> dict[str, tuple[str, str]]:
        rows = self.store.rows(select(notification))
        return {row.kind: (row.state, row.last_error) for row in rows}


@pytest.fixture
def slack() -> Iterator[tuple[str, type[FakeSlack]]]:
    with fake_slack() as made:
        yield made


def pictures(server: type[FakeSlack]) -> list[dict[str, Any]]:
    return [message for message in server.messages if message.get("files")]


def test_an_incident_has_one_picture_below_it(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    world = World(store, url)
    assert world.relay().sent == 2
    root, shown = server.messages
    assert shown["thread_ts"] == root["ts"]
    (file,) = shown["files"]
    picture = Image.open(io.BytesIO(file["bytes"]))
    assert (picture.format, picture.size) == ("PNG", (900, 340))
    assert "quality.score feature=chat" in file["title"] and file["title"].endswith("50.0 %")
    world.measure(FIRST.shift(7), 0.4)
    assert world.relay(timedelta(days=1)).sent == 0
    assert len(pictures(server)) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "fault",
    ["refused_500", "accepted_500", "accepted_then_dropped", "html", "429 1", "429 nonsense"],
)
def test_whatever_breaks_the_picture_comes_once(
    store: Store, slack: tuple[str, type[FakeSlack]], call: str, fault: str
) -> None:
    url, server = slack
    world = World(store, url)
    server.breaks[call] = [fault]
    world.relay()
    assert not server.messages[0].get("files")
    for _ in range(4):
        world.relay(timedelta(seconds=80))
    assert len(server.messages) == 2 and len(pictures(server)) == 1
    assert world.states() == {"root": ("sent", ""), "trend": ("sent", "")}


@pytest.mark.parametrize("call", CALLS[::2])
def test_without_the_scope_there_are_words_alone_and_no_complaint(
    store: Store, slack: tuple[str, type[FakeSlack]], call: str
) -> None:
    url, server = slack
    world = World(store, url)
    server.breaks[call] = ["missing_scope"]
    report = world.relay()
    assert (report.sent, report.waiting, report.refused) == (1, 0, ())
    assert world.states()["trend"] == ("unsaid", "missing_scope")


def test_a_picture_that_cannot_be_drawn_holds_nothing_up(
    store: Store, slack: tuple[str, type[FakeSlack]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(store, slack[0])

    def broken(_trend: charts.Trend) -> bytes:
        raise MemoryError("a text of a user")

    monkeypatch.setattr(charts, "png", broken)
    report = world.relay()
    assert (report.sent, report.waiting, report.refused) == (1, 0, ())
    assert world.states()["trend"] == ("unsaid", "not_drawn:MemoryError")


def test_words_go_first_and_a_broken_upload_does_not_delay_them(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    world = World(store, url, "chat", "search")
    server.breaks["upload"] = ["refused_404"] * 2
    assert world.relay().sent == 2
    assert not pictures(server)
    assert world.relay(timedelta(minutes=1)).sent == 2
    roots = [one["ts"] for one in server.messages[:2]]
    assert sorted(one["thread_ts"] for one in pictures(server)) == sorted(roots)


def test_no_charts_where_none_are_wanted(store: Store, slack: tuple[str, type[FakeSlack]]) -> None:
    url, server = slack
    assert World(store, url, charts=False).relay().sent == 1
    assert not pictures(server)


def test_it_shows_what_is_stored(store: Store, slack: tuple[str, type[FakeSlack]]) -> None:
    World(store, slack[0])
    (row,) = store.rows(select(incident))
    trend = charts.read(store, {"fingerprint": row.fingerprint, "generation": 1})
    assert [item.value for item in trend.history] == [0.8] * 6 + [0.5]
    assert trend.breaches == {FIRST.shift(6).start}
    assert set(trend.thresholds) == {FIRST.shift(n).start for n in range(7)}
    assert charts.png(trend) == charts.png(trend)


@pytest.mark.parametrize("text", CORPUS[::3], ids=lambda text: ascii(text[:16]))
def test_any_label_can_be_drawn(text: str) -> None:
    history = [
        Measurement(monitor="m", metric="m.m", window=FIRST, n=1, value=0.5, labels={"a": text})
    ]
    shown = charts.plain(text)[:100]
    picture = charts.png(charts.Trend(f"$\\frac{{{shown}", "usd", history, {}, frozenset()))
    assert picture.startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_storm_of_kills_neither_loses_nor_doubles_a_picture() -> None:
    from tests.faults import storm

    found = storm(3, 12, pictures=True)
    assert (found.kills, found.lost, found.doubled) == (12, 0, 0)
