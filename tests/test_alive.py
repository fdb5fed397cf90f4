"""A sign of life each week, and the messages that nobody could send."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.messages import render
from alerts.outbox import Intent, enqueue
from monitors.settings import load_settings
from monitors.suite import Suite
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import coverage, notification
from sql.window import Grain, Window
from tests.blockkit import faults_of
from tests.cli_kit import run
from tests.test_alerts_relay import facts

WEEK = Window.of(date(2026, 6, 1), Grain.WEEK)


def suite_in(folder: Path, more: str = "") -> Suite:
    (folder / "tidegauge.toml").write_text(f'[store]\nurl = "sqlite:///store.db"\n{more}')
    return Suite(load_settings(folder / "tidegauge.toml"))


def worked(store: Store, window: Window, status: str = "complete") -> None:
    row = {
        "job": "daily_quality", "grain": "day", "window_start": window.start,
        "window_end": window.end, "status": status, "config_digest": "", "code_version": "",
        "finished_at": window.end + timedelta(hours=3),
    }  # fmt: skip
    with store.begin() as connection:
        store.upsert(connection, coverage, [row])


def test_a_week_is_told_once_when_it_is_over_and_something_ran(tmp_path: Path) -> None:
    suite = suite_in(tmp_path).at(WEEK.end + timedelta(hours=9))
    assert suite.tell_alive() == 0
    days = list(Window.between(date(2026, 6, 1), date(2026, 6, 5), Grain.DAY))
    for day in days:
        worked(suite.store, day, "error" if day is days[0] else "complete")
    assert [suite.tell_alive(), suite.tell_alive()] == [1, 0]
    (row,) = suite.store.rows(select(notification))
    message = render(row.kind, row.payload)
    assert "Tidegauge in 2026-W23: 5 windows measured, 1 failed" in message.text
    asked = {"channel": "C1", "text": message.text, "blocks": message.blocks}
    assert faults_of(asked) == []
    assert suite.at(WEEK.end + timedelta(days=8)).tell_alive() == 0


def test_what_a_backfill_found_too_late_to_tell_is_counted(tmp_path: Path) -> None:
    """Days of May that are measured in June, two of them bad: kept, not told, and not forgotten."""
    suite = suite_in(tmp_path)
    alerting = parse(
        [{"name": "r", "metric": "m", "decision": "fact", "consecutive": 1, "clear_after": 1}],
        {}, {},
    )  # fmt: skip
    may = [*Window.between(date(2026, 5, 1), date(2026, 5, 12), Grain.DAY)]

    def judged(day: Window, now: datetime) -> None:
        bad = day in (may[2], may[7])
        item = Measurement(
            monitor="m", metric="m", window=day, value=float(bad), n=1, unit="fact", labels={}
        )
        with suite.store.begin() as connection:
            suite.store.publish(connection, "m", day, [item])
        evaluate(suite.store, alerting, day, ["m"], now=now)

    for day in may:
        judged(day, WEEK.start + timedelta(hours=30))
    worked(suite.store, Window.of(date(2026, 6, 1), Grain.DAY))
    worked(suite.store, Window.of(date(2026, 6, 9), Grain.DAY))
    assert suite.at(WEEK.end + timedelta(hours=9)).tell_alive() == 1
    (row,) = suite.store.rows(select(notification))
    said = str(render(row.kind, row.payload).blocks)
    assert row.payload["late"] == 2 and "2 late findings" in said
    following = WEEK.next()
    for day in may:
        judged(day, following.start + timedelta(hours=30))  # again: nothing is found anew
    assert suite.at(following.end + timedelta(hours=9)).tell_alive() == 1
    last = max(suite.store.rows(select(notification)), key=lambda one: one.created_at)
    assert last.payload["late"] == 0 and "late findings" not in str(last.payload)


def test_it_can_be_left_out(tmp_path: Path) -> None:
    suite = suite_in(tmp_path, "[alerts]\nalive = false\n").at(WEEK.end + timedelta(hours=9))
    worked(suite.store, Window.of(date(2026, 6, 1), Grain.DAY))
    assert suite.tell_alive() == 0


def test_what_was_given_up_is_listed_and_sent_after_all(tmp_path: Path) -> None:
    suite = suite_in(tmp_path)
    intents = [Intent("file", "root", f"s{n}:1", 0, facts(members=[f"s{n}:1"])) for n in range(2)]
    with suite.store.begin() as connection:
        enqueue(suite.store, connection, intents, datetime(2026, 6, 1, tzinfo=UTC))
        connection.execute(update(notification).values(state="dead", last_error="timeout"))

    def type_in(*words: str) -> tuple[int, str]:
        done = run(tmp_path, *words)
        return done.returncode, done.stdout + done.stderr

    listed = [json.loads(line) for line in type_in("outbox", "list", "--json")[1].splitlines()]
    assert [(one["state"], one["reason"]) for one in listed] == [("dead", "timeout")] * 2
    assert type_in("outbox", "retry", "zzzz")[0] == 2
    assert "1 messages" in type_in("outbox", "retry", listed[0]["message"])[1]
    assert "1 messages" in type_in("outbox", "retry")[1]
    assert type_in("outbox", "retry")[0] == 2
    assert suite.deliver() == {"sent": 2, "waiting": 0, "dead": 0}
    assert suite.deliver()["sent"] == 0


@pytest.mark.parametrize("wrong", ["-1", "x"])
def test_a_fill_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    suite_in(tmp_path)
    assert run(tmp_path, "check-heartbeat", "--fill", wrong).returncode == 2
