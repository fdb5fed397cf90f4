"""A rule that is renamed keeps its incidents: no second message, no lost end, no forgotten past."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.messages import render
from sql.errors import ConfigurationError
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import evaluation, incident, notification
from sql.window import Grain, Window

FIRST = Window.of(date(2026, 6, 1), Grain.DAY, "Europe/Berlin")


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


def rule(name: str, *was: str) -> dict[str, Any]:
    known = {"metric": "m", "decision": "fact", "consecutive": 1, "clear_after": 1}
    return {"name": name, "was": list(was), **known}


def judge(store: Store, day: int, bad: bool, *rules: dict[str, Any]) -> None:
    window = FIRST.shift(day)
    item = Measurement(
        monitor="m", metric="m", window=window, value=float(bad), n=1, unit="fact", labels={}
    )
    with store.begin() as connection:
        store.publish(connection, "m", window, [item])
    evaluate(store, parse(list(rules), {}, {}), window, ["m"], now=window.end)


def told(store: Store) -> list[str]:
    rows = store.rows(select(notification).order_by(notification.c.created_at))
    return [row.payload.get("transition", row.kind) for row in rows]


@pytest.mark.parametrize("twice", [False, True])
def test_a_renamed_rule_goes_on_with_its_incident(store: Store, twice: bool) -> None:
    judge(store, 0, True, rule("first"))
    judge(store, 1, True, rule("second", "first"))
    last = rule("third", "first", "second") if twice else rule("second", "first")
    judge(store, 2, False, last)
    assert told(store) == ["root", "resolved"]
    (row,) = store.rows(select(incident))
    assert (row.rule, row.state, row.windows) == (last["name"], "resolved", 2)
    names = store.rows(select(evaluation.c.rule).where(evaluation.c.metric == "m").distinct())
    assert [one.rule for one in names] == [last["name"]]


def test_without_the_old_name_it_is_another_rule(store: Store) -> None:
    judge(store, 0, True, rule("first"))
    judge(store, 1, True, rule("second"))
    assert told(store) == ["root", "root"]
    assert len({row.fingerprint for row in store.rows(select(incident))}) == 2


def test_a_name_that_is_added_late_loses_and_doubles_nothing(store: Store) -> None:
    """Renamed, judged under the new name, and only then is the old one named."""
    judge(store, 0, True, rule("first"))
    judge(store, 0, True, rule("second"))
    judge(store, 1, True, rule("second", "first"))
    judge(store, 1, True, rule("second", "first"))
    rows = store.rows(select(incident).where(incident.c.rule == "second"))
    assert len(rows) == 2 and told(store) == ["root", "root"]


@pytest.mark.parametrize(
    "rules",
    [
        [rule("a", "b"), rule("b")],
        [rule("a", "c"), rule("b", "c")],
        [rule("a", "a")],
    ],
)
def test_two_rules_cannot_have_been_one(rules: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigurationError, match="was: "):
        parse(rules, {}, {})


def test_a_message_says_how_often_it_was_so_and_when_by_the_local_clock(store: Store) -> None:
    mine = rule("again")
    for day, bad in ((0, True), (1, False), (10, True), (11, True), (12, False), (30, True)):
        judge(store, day, bad, mine)
    roots = [
        str(render("root", row.payload).blocks)
        for row in store.rows(select(notification).order_by(notification.c.created_at))
        if row.kind == "root"
    ]
    assert ["*Before*" in one for one in roots] == [False, True, True]
    assert f"once, last until {FIRST.shift(1).label}" in roots[1]
    assert f"2 times, last until {FIRST.shift(12).label}" in roots[2]
    assert "2026-05-31 22:00 UTC, 2026-06-01 00:00 Europe/Berlin" in roots[0]
