"""Slack is down for hours: on its return, few messages, and what they say is true."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import select

from alerts.channels import NotSentError, Posted
from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.messages import Message
from alerts.relay import deliver
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import incident, notification
from sql.window import Grain, Window

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
RULES = [
    {
        "name": "fell", "metric": "q", "decision": "fact", "match": {"feature": "*"},
        "clear_after": 1, "consecutive": 1,
    }
]  # fmt: skip


class Place:
    """A destination that can be down, and remembers the keys of what it took, in order."""

    def __init__(self) -> None:
        self.down, self.keys = False, list[str]()
        self.threads = dict[str, Posted | None]()

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        if self.down:
            raise NotSentError("refused")
        assert message.text
        if message.kind == "update":  # an edit of what stands there is no message
            return Posted("C1", "1.0")
        self.keys.append(key)
        self.threads[key] = thread
        return Posted("C1", f"{len(self.keys)}.0")

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        return Posted("C1", "1.0") if key in self.keys else None


class World:
    """Features that fall and recover by chance, a window every few minutes."""

    def __init__(self, store: Store, features: int, seed: int) -> None:
        self.store, self.place, self.chance = store, Place(), Random(seed)
        self.now, self.window = FIRST.end, FIRST
        self.bad = dict.fromkeys((f"f{number:03}" for number in range(features)), False)
        self.transitions = 0

    def step(self, changes: int) -> None:
        for feature in self.chance.sample(sorted(self.bad), changes):
            self.bad[feature] = not self.bad[feature]
        found = [
            Measurement(
                monitor="m", metric="q", window=self.window, labels={"feature": feature},
                value=float(bad), n=100, unit="fact",
            )
            for feature, bad in self.bad.items()
        ]  # fmt: skip
        with self.store.begin() as connection:
            self.store.publish(connection, "m", self.window, found)
        rules = parse(RULES, {"reopen_windows": 2}, {"channel": "C1", "charts": False})
        report = evaluate(self.store, rules, self.window, ["m"], now=self.now)
        self.transitions += report.opened + report.resolved
        self.window, self.now = self.window.next(), self.now + timedelta(minutes=12)

    def relay(self) -> int:
        """How many messages went out."""
        before = len(self.place.keys)
        for _ in range(3):
            deliver(
                self.store, {"slack:C1": self.place}, now=lambda: self.now, pause=lambda _s: None
            )
            self.now += timedelta(minutes=6)
        return len(self.place.keys) - before

    def known(self) -> dict[str, str]:
        """Subject of an incident → what the messages that went out say of it in the end."""
        rows = {row.delivery_key: row for row in self.store.rows(select(notification))}
        told: dict[str, str] = {}
        for key in self.place.keys:
            payload = rows[key].payload
            over = payload.get("transition") == "resolved"
            for subject in payload["members"]:
                told[subject] = "resolved" if over else "open"
            # The digest of an outage speaks of what is over, too; it names ten of them.
            states = {subject: state for subject, state in self.truth().items() if subject in told}
            if payload.get("waited") and rows[key].kind == "digest":
                told |= {subject: states[subject] for subject in payload["members"]}
        return told

    def truth(self) -> dict[str, str]:
        return {
            f"{row.fingerprint}:{row.generation}": row.state
            for row in self.store.rows(select(incident))
        }


@pytest.mark.parametrize(
    ("features", "changes", "least"),
    [(60, 30, 300), (8, 4, 40), pytest.param(400, 60, 300, marks=pytest.mark.slow)],
)
def test_six_hours_and_three_hundred_transitions(
    store: Store, features: int, changes: int, least: int
) -> None:
    world = World(store, features, seed=features)
    for _ in range(3):
        world.step(changes)
        world.relay()
    assert world.known() == world.truth()
    before = world.known()

    world.place.down = True
    world.transitions = 0
    began: datetime = world.now
    while world.now < began + timedelta(hours=6):
        world.step(changes)
        assert world.relay() == 0
    assert world.transitions >= least
    world.place.down = False
    sent = len(world.place.keys)
    world.relay()
    keys = world.place.keys[sent:]
    rows = {row.delivery_key: row for row in store.rows(select(notification))}
    kinds = [rows[key].kind for key in keys]
    assert kinds.count("digest") <= 1
    subjects = [subject for key in keys for subject in rows[key].payload["members"]]
    assert len(subjects) == len(set(subjects)), "one message an incident"
    assert len(keys) <= len(before) + 11
    assert world.known() == world.truth()
    assert world.relay() == 0
    # What happens next stands below the messages that spoke of it.
    world.step(changes)
    sent = len(world.place.keys)
    world.relay()
    assert world.known() == world.truth()
    rows = {row.delivery_key: row for row in store.rows(select(notification))}
    assert all(
        world.place.threads[key] is not None
        for key in world.place.keys[sent:]
        if rows[key].kind == "thread"
    )


def test_a_wait_of_minutes_changes_nothing(store: Store) -> None:
    world = World(store, 5, seed=1)
    world.place.down = True
    world.step(2)
    deliver(store, {"slack:C1": world.place}, now=lambda: world.now, pause=lambda _s: None)
    ordered = select(notification).order_by(notification.c.delivery_key)
    payloads = [row.payload for row in store.rows(ordered)]
    world.place.down = False
    world.now += timedelta(minutes=5)
    assert world.relay() == 2
    assert [row.payload for row in store.rows(ordered)] == payloads
