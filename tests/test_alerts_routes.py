"""Who is called, where and when; and who is called when nobody comes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.acknowledgements import acknowledge, find_incident
from alerts.channels.file import FileChannel
from alerts.configuration import AlertConfiguration, parse
from alerts.escalation import escalate
from alerts.evaluate import evaluate
from alerts.messages import render
from alerts.relay import deliver
from alerts.routes import route_of
from sql.errors import ConfigurationError
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import notification
from sql.window import Grain, Window
from tests.blockkit import faults_of, mentions_of
from tests.test_alerts_relay import facts

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
NIGHT = {"match": ["severity=critical"], "begins": "22:00:00", "ends": "07:00:00"}


def configured(*routes: dict[str, Any], zone: str = "UTC") -> AlertConfiguration:
    rules = [
        {
            "name": name,
            "metric": name,
            "decision": "fact",
            "severity": name,
            "match": {"feature": "*"},
        }
        for name in ("critical", "warning")
    ]
    return parse(rules, {}, {"channel": "C1", "charts": False}, routes=routes, zone=zone)


@pytest.mark.parametrize(
    ("at", "called"),
    [
        # In Berlin it is two hours later. 2026-06-05 is a Friday.
        ("2026-06-05T19:59", False),
        ("2026-06-05T20:00", True),
        ("2026-06-06T04:59", True),
        ("2026-06-06T05:00", False),
        ("2026-06-06T21:00", False),
        ("2026-06-05T04:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(at: str, called: bool) -> None:
    routes = configured({**NIGHT, "days": ["fri"]}, zone="Europe/Berlin").routes
    instant = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert (route_of(routes, facts(severity="critical"), instant) is not None) is called
    assert route_of(routes, facts(severity="warning"), instant) is None


@pytest.mark.parametrize(
    ("route", "why"),
    [
        ({"channel": "C123"}, "no place"),
        ({"mention": "<!channel>"}, "mention"),
        ({"match": ["feature"]}, "no matcher"),
        ({"days": ["monday"]}, "days"),
        ({"escalate_after_minutes": 1}, "escalate_after"),
        ({"chanel": "file"}, "channel"),
    ],
)
def test_a_route_that_cannot_be_is_refused(route: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        configured(route)


class World:
    """Two features in trouble, told by routes into files."""

    def __init__(self, store: Store, folder: Path, *routes: dict[str, Any]) -> None:
        self.store, self.now, self.window = store, DAY.end, DAY
        self.configuration = configured(*routes)
        self.files = {name: folder / f"{name[6:]}.jsonl" for name in ("slack:C1", "slack:C2")}
        self.places = {name: FileChannel(path) for name, path in self.files.items()}

    def day(self, **bad: float) -> None:
        found = [
            Measurement(
                monitor="m", metric=metric, window=self.window, labels={"feature": "answer"},
                value=value, n=10, unit="fact",
            )
            for metric, value in bad.items()
        ]  # fmt: skip
        with self.store.begin() as connection:
            self.store.publish(connection, "m", self.window, found)
        evaluate(self.store, self.configuration, self.window, ["m"], now=self.now)
        self.window = self.window.next()

    def after(self, minutes: float = 0) -> list[tuple[str, str, str]]:
        """(channel, kind, text) of what went out so far, in its order."""
        self.now += timedelta(minutes=minutes)
        escalate(self.store, self.now)
        deliver(self.store, self.places, now=lambda: self.now, pause=lambda _s: None)
        table = notification.c
        rows = self.store.rows(
            select(notification)
            .where(table.state == "sent", table.kind != "update")
            .order_by(table.sent_at, table.created_at)
        )
        text = {}
        for path in self.files.values():
            if path.exists():
                lines = map(json.loads, path.read_text().splitlines())
                text |= {line["key"]: line["text"] for line in lines}
        return [(row.channel, row.kind, text[row.delivery_key]) for row in rows]


def test_a_route_takes_the_incident_and_its_whole_story(store: Store, tmp_path: Path) -> None:
    """At midnight the critical one goes to the night's channel, and ends there by day."""
    world = World(store, tmp_path, {**NIGHT, "channel": "slack:C2", "mention": "S0NIGHT"})
    world.day(critical=1.0, warning=1.0)
    assert sorted(one[:2] for one in world.after()) == [("slack:C1", "root"), ("slack:C2", "root")]
    (row,) = store.rows(select(notification).where(notification.c.channel == "slack:C2"))
    assert row.payload["mention"] == "S0NIGHT"
    world.now += timedelta(hours=12)
    for _ in range(2):
        world.day(critical=0.0, warning=0.0)
    assert sorted(one[:2] for one in world.after())[-2:] == [
        ("slack:C2", "root"), ("slack:C2", "thread"),
    ]  # fmt: skip


def test_nobody_comes_and_the_next_is_called_once(store: Store, tmp_path: Path) -> None:
    world = World(
        store,
        tmp_path,
        {
            "escalate_after_minutes": 30, "escalate_channel": "slack:C2",
            "escalate_mention": "U0LEAD", "repeat_after_hours": 24,
        },
    )  # fmt: skip
    world.day(critical=1.0)
    assert len(world.after(29)) == 1
    told = [world.after(30) for _ in range(3)][-1]
    assert [one[:2] for one in told] == [("slack:C1", "root"), ("slack:C2", "escalation")]
    assert "Nobody has looked after this for 30 minutes" in told[1][2]
    world.after(24 * 60)
    told = world.after(24 * 60)
    assert [kind for _, kind, _ in told] == ["root", "escalation", "repeat", "repeat"]
    for row in store.rows(select(notification)):
        message = render(row.kind, row.payload)
        asked = {"channel": "C1", "text": message.text, "blocks": message.blocks}
        assert faults_of(asked) == []
        assert mentions_of(asked) == (["<@U0LEAD>"] if row.kind == "escalation" else [])


@pytest.mark.parametrize("way", ["acknowledged", "resolved"])
def test_who_is_looked_after_calls_nobody(store: Store, tmp_path: Path, way: str) -> None:
    route = {"escalate_after_minutes": 30, "repeat_after_hours": 1}
    world = World(store, tmp_path, route)
    world.day(critical=1.0)
    world.after()
    if way == "resolved":
        for _ in range(2):
            world.day(critical=0.0)
    else:
        name = store.rows(select(notification))[0].payload["incident"]
        acknowledge(
            store, find_incident(store, name), actor="ada", comment="", action="c", now=world.now
        )
    assert [kind for _, kind, _ in world.after(600)] == ["root", "thread"]
