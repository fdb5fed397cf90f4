"""The root says how it stands: edited in place as things change, and never in the way of words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.acknowledgements import acknowledge, find_incident
from alerts.messages import render
from sql.store import Store
from sql.tables import incident, notification
from tests.slack_kit import FakeSlack, facts, fake_slack
from tests.test_alerts_charts import FIRST, World


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def slack() -> Iterator[tuple[str, type[FakeSlack]]]:
    with fake_slack() as made:
        yield made


def header(message: dict[str, Any]) -> str:
    return str(message["blocks"][0]["text"]["text"])


def body(message: dict[str, Any]) -> str:
    return str(message["blocks"][2]["text"]["text"])


def resolve(world: World) -> None:
    for number in (7, 8):
        world.measure(FIRST.shift(number), 0.8)


def look_after(world: World, who: str = "ada") -> None:
    row = world.store.rows(select(incident).order_by(incident.c.labels))[0]
    found = find_incident(world.store, row.fingerprint)
    acknowledge(world.store, found, actor=who, comment="", action="c", now=world.now)


def test_a_root_says_who_looks_after_it_and_that_it_is_over(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    world = World(store, url, charts=False, buttons=True)
    world.relay()
    root = server.messages[0]
    assert "edits" not in root and "Now:" not in body(root)
    look_after(world)
    world.relay()
    assert body(root).startswith("*Now:* it goes on\n👀 Looked after by ada\n")
    assert root["blocks"][-1]["type"] == "actions"
    resolve(world)
    world.relay(timedelta(days=2))
    assert header(root).startswith("✅") and root["text"].startswith("OVER: ")
    assert body(root).startswith("*Now:* it is over\n")
    assert root["blocks"][-1]["type"] == "context"
    # The thread tells each change; the root's own key is still there to be found by.
    assert [one.get("thread_ts") for one in server.messages] == [None, root["ts"], root["ts"]]
    key = root["metadata"]["event_payload"]["k"]
    assert key in {row.delivery_key for row in store.rows(select(notification))}
    assert {row.state for row in store.rows(select(notification))} == {"sent"}


def test_who_looks_after_it_cannot_write_markup(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    world = World(store, url, "chat", charts=False)
    world.relay()
    look_after(world, "<!channel> *x*")
    world.relay()
    assert "Looked after by &lt;!channel&gt; ∗x∗" in body(server.messages[0])


def test_of_several_it_is_said_how_many_go_on() -> None:
    standing = {"open": 1, "total": 3, "by": ""}
    message = render("update", facts(standing=standing, ts="1.0", key="k"))
    assert "*Now:* 1 of 3 go on" in str(message.blocks)
    assert message.text.startswith("CRITICAL: ")


@pytest.mark.parametrize(
    "fault", ["refused_500", "accepted_500", "accepted_then_dropped", "html", "429 1"]
)
def test_whatever_breaks_it_is_edited_in_the_end(
    store: Store, slack: tuple[str, type[FakeSlack]], fault: str
) -> None:
    url, server = slack
    world = World(store, url, charts=False)
    world.relay()
    server.breaks["chat.update"] = [fault]
    resolve(world)
    world.relay(timedelta(days=2))
    assert len(server.messages) == 2  # words went before it
    for _ in range(3):
        world.relay(timedelta(seconds=80))
    assert header(server.messages[0]).startswith("✅") and len(server.messages) == 2
    assert {row.state for row in store.rows(select(notification))} == {"sent"}


def test_after_an_outage_one_edit_says_it_all(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    world = World(store, url, charts=False)
    world.relay()
    for who in ("ada", "bob", "eva"):
        look_after(world, who)
    world.relay()
    assert server.messages[0]["edits"] == 1
    assert "Looked after by ada, bob, eva" in body(server.messages[0])
    assert len(server.messages) == 4


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "cant_update_message"])
def test_what_can_no_longer_be_edited_is_left(
    store: Store, slack: tuple[str, type[FakeSlack]], code: str
) -> None:
    url, server = slack
    world = World(store, url, charts=False)
    world.relay()
    server.breaks["chat.update"] = [f"error {code}"]
    resolve(world)
    report = world.relay(timedelta(days=2))
    assert (report.sent, report.waiting, report.refused) == (1, 0, ())
    (edit,) = store.rows(select(notification).where(notification.c.kind == "update"))
    assert (edit.state, edit.last_error) == ("unsaid", code)


def test_an_incident_of_a_digest_edits_nothing(
    store: Store, slack: tuple[str, type[FakeSlack]]
) -> None:
    url, server = slack
    world = World(store, url, *(f"f{number}" for number in range(12)), charts=False)
    world.relay()
    (digest,) = server.messages
    resolve(world)
    report = world.relay(timedelta(days=2))
    assert (report.waiting, report.refused) == (0, ()) and "edits" not in digest
