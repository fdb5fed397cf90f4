"""Each incident is paged by itself, under its own key, however many share a message in Slack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts import silences
from alerts.acknowledgements import acknowledge, find_incident
from alerts.channels import Channel
from alerts.channels.pagerduty import PagerDutyChannel
from alerts.channels.slack import SlackChannel
from alerts.configuration import parse
from alerts.escalation import escalate
from alerts.evaluate import evaluate
from alerts.relay import deliver
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import incident, notification
from sql.window import Grain, Window
from tests.slack_kit import FakeSlack, fake_slack
from tests.test_alerts_places import Place, serving

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
RULES = [
    {"name": name, "metric": name, "decision": "fact", "severity": name, "consecutive": 1,
     "clear_after": 1, "match": {"feature": "*", "segment": "*"}}
    for name in ("critical", "warning")
]  # fmt: skip
CRITICAL, WARNING = 34, 5


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


class Watch:
    """A product that breaks in many segments at once; a Slack and a PagerDuty that are told."""

    def __init__(self, store: Store, slack: str, pager: str, features: int, **more: Any) -> None:
        self.store, self.features = store, features
        self.channels: dict[str, Channel] = {
            "slack:C1": SlackChannel("xoxb", "C1", slack),
            "pagerduty": PagerDutyChannel("R" * 32, more.pop("least", "critical"), url=pager),
        }
        where = {"channel": "C1", "charts": False}
        self.alerting = parse(RULES, {}, where, **{"pagerduty": {}, **more})

    def day(self, number: int, broken: bool = True) -> datetime:
        """Measure and judge a day; the instant at which that is done."""
        window = DAY.shift(number)
        items = [
            Measurement(
                monitor="m", metric=name, window=window, value=float(broken), n=10, unit="fact",
                labels={"feature": f"f{place % self.features}", "segment": f"s{place}"},
            )
            for name, count in (("critical", CRITICAL), ("warning", WARNING))
            for place in range(count)
        ]  # fmt: skip
        with self.store.begin() as connection:
            self.store.publish(connection, "m", window, items)
        evaluate(self.store, self.alerting, window, ["m"], now=window.end)
        return window.end

    def relay(self, now: datetime) -> None:
        """Every few minutes, until nothing is due."""
        for minute in range(0, 60, 5):
            clock = partial(datetime.__add__, now, timedelta(minutes=minute))
            deliver(self.store, self.channels, now=clock, pause=lambda _s: None)

    def subjects(self, rule: str) -> set[str]:
        rows = self.store.rows(select(incident).where(incident.c.rule == rule))
        return {f"tidegauge:{row.fingerprint}:{row.generation}" for row in rows}


@contextmanager
def watched(
    store: Store, features: int = 1, **more: Any
) -> Iterator[tuple[Watch, type[FakeSlack], type[Place]]]:
    with serving(202, "{}") as (pager, place), fake_slack() as (slack, server):
        yield Watch(store, slack, pager, features, **more), server, place


def told(place: type[Place], action: str) -> Counter[str]:
    return Counter(one["dedup_key"] for one in place.taken if one["event_action"] == action)


@pytest.mark.parametrize("features", [1, 20], ids=["one shared root", "a digest"])
def test_all_that_is_critical_is_paged_and_resolved_each_by_itself(
    store: Store, features: int
) -> None:
    with watched(store, features) as (watch, slack, place):
        place.faults[:] = ["", "", "503", "", "429 1", "accepted_500"]
        watch.relay(watch.day(0))
        assert len(slack.messages) == 1, "people have one message"
        paged = told(place, "trigger")
        assert set(paged) == watch.subjects("critical") and len(paged) == CRITICAL
        assert sum(paged.values()) == CRITICAL + 1, "what broke is repeated alone, not with others"
        watch.relay(watch.day(1, broken=False))
    assert told(place, "resolve") == dict.fromkeys(watch.subjects("critical"), 1)
    assert set(told(place, "trigger")) == watch.subjects("critical")


def test_from_warning_on_every_incident_is_paged(store: Store) -> None:
    with watched(store, 20, pagerduty={"severity": "warning"}, least="warning") as (
        watch,
        _,
        place,
    ):
        watch.relay(watch.day(0))
    everything = watch.subjects("critical") | watch.subjects("warning")
    assert told(place, "trigger") == dict.fromkeys(everything, 1)


@pytest.mark.parametrize("features", [1, 20], ids=["one shared root", "a digest"])
def test_who_looks_after_one_of_many_is_known_to_pagerduty(store: Store, features: int) -> None:
    with watched(store, features) as (watch, slack, place):
        now = watch.day(0)
        watch.relay(now)
        for rule in ("critical", "warning"):
            name = sorted(watch.subjects(rule))[-1].split(":")[1]
            found = find_incident(store, name)
            acknowledge(store, found, actor="ada", comment="", action=rule, now=now)
        watch.relay(now + timedelta(hours=1))
    last = sorted(watch.subjects("critical"))[-1]
    assert told(place, "acknowledge") == {last: 1}, "of a warning PagerDuty never heard"
    assert [bool(one.get("thread_ts")) for one in slack.messages] == [False, True, True]


def test_a_place_that_is_pagerduty_alone_shares_no_message(store: Store) -> None:
    route = {"match": ["severity=critical"], "channel": "pagerduty"}
    with watched(store, 20, routes=[route], pagerduty=None) as (watch, slack, place):
        watch.relay(watch.day(0))
        watch.relay(watch.day(1, broken=False))
    wanted = dict.fromkeys(watch.subjects("critical"), 1)
    assert told(place, "trigger") == wanted == told(place, "resolve")
    said = [one["text"] for one in slack.messages if not one.get("thread_ts")]
    assert len(said) == WARNING, "a message a feature, for people"


def test_nobody_came_and_each_is_paged_and_resolved(store: Store) -> None:
    """Told in Slack alone, escalated to PagerDuty; what is over again there is over here."""
    route = {"escalate_after_minutes": 60, "escalate_channel": "pagerduty"}
    with watched(store, 20, routes=[route], pagerduty=None, least="warning") as (watch, _, place):
        now = watch.day(0)
        watch.relay(now)
        assert not place.taken
        later = now + timedelta(hours=3)
        assert escalate(store, later) == CRITICAL + WARNING
        assert escalate(store, later + timedelta(hours=1)) == 0, "nobody is called twice"
        watch.relay(later)
        everything = dict.fromkeys(watch.subjects("critical") | watch.subjects("warning"), 1)
        assert told(place, "trigger") == everything
        watch.relay(watch.day(1, broken=False))
    assert told(place, "resolve") == everything


def test_a_silence_of_one_holds_back_its_page_alone(store: Store) -> None:
    with watched(store) as (watch, _, place):
        now = watch.day(0)
        hidden = silences.matcher("segment=s3")
        span = {"starts": now, "ends": now + timedelta(hours=4), "now": now}
        silences.add(store, [hidden], author="bob", comment="known", **span)
        watch.relay(now)
        assert len(told(place, "trigger")) == CRITICAL - 1
        watch.relay(now + timedelta(hours=5))
    assert told(place, "trigger") == dict.fromkeys(watch.subjects("critical"), 1)
    mine = select(notification.c.state).where(notification.c.channel == "pagerduty")
    assert {row.state for row in store.rows(mine)} == {"sent"}
