"""A window that nobody measured is an incident: told once, over when the job goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from alerts.configuration import parse
from monitors.heart import due_windows
from monitors.watch import wanted_facts, watch
from sql.store import Store
from sql.tables import coverage, incident, notification
from sql.window import Grain, Window

FIRST = Window.of(datetime(2026, 6, 1, tzinfo=UTC).date(), Grain.DAY)
ALERTING = parse([], {}, {})
DAILY = ("daily_quality", "provider_drift")


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone: what is tried here is not the store."""
    return f"sqlite:///{tmp_path}/store.db"


class Clock:
    """A store in which jobs finish their windows, and the relay looks every so often."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def done(self, job: str, *numbers: int) -> None:
        rows = []
        for number in numbers:
            window = FIRST.shift(number)
            rows.append({
                "job": job, "grain": "day", "window_start": window.start,
                "window_end": window.end, "status": "complete", "reason": "", "rows": 0,
                "measurements": 0, "seconds": 0.0, "config_digest": "", "code_version": "",
                "finished_at": window.end,
            })  # fmt: skip
        with self.store.begin() as connection:
            self.store.upsert(connection, coverage, rows)

    def look(self, number: int, hour: float, late: Any = ()) -> int:
        now = FIRST.shift(number).start + timedelta(hours=hour)
        return watch(self.store, ALERTING, "UTC", now, late)

    def told(self) -> list[str]:
        table = notification.c
        rows = self.store.rows(select(notification).order_by(table.created_at, table.sequence))
        return [str(row.payload.get("transition") or row.kind) for row in rows]

    def states(self) -> dict[str, str]:
        rows = self.store.rows(select(incident))
        return {row.body["labels"]["job"]: row.state for row in rows}


def test_what_stops_is_told_once_and_ends_when_it_goes_on(store: Store) -> None:
    clock = Clock(store)
    for job in DAILY:
        clock.done(job, *range(5))
    assert [clock.look(5, hour) for hour in (1, 12, 23)] == [0, 0, 0]
    assert clock.look(6, 7.9) == 0, "a day's log may come late"
    assert clock.look(6, 8.1) == 1
    assert clock.told() == ["root"] and clock.states() == dict.fromkeys(DAILY, "open")
    (row,) = store.rows(select(notification))
    assert row.payload["rule"] == "missed_window" and row.payload["severity"] == "critical"
    assert row.payload["also_total"] == 1, "one message for what stopped together"
    assert [clock.look(6, hour) for hour in (9, 20)] == [0, 0]
    clock.look(7, 9)
    assert clock.told() == ["root"], "another day of the same trouble is no news"
    for job in DAILY:
        clock.done(job, 7)  # Airflow is back, and does the newest day
    assert clock.look(8, 9) == 1
    assert clock.told() == ["root", "resolved"]
    assert clock.states() == dict.fromkeys(DAILY, "resolved")
    for job in DAILY:
        clock.done(job, 5, 6, 8)  # the holes are filled
    clock.look(9, 9)
    clock.look(9, 10)
    assert clock.told() == ["root", "resolved"]


def test_a_hole_that_is_filled_is_withdrawn(store: Store) -> None:
    clock = Clock(store)
    clock.done("daily_quality", *range(5))
    clock.look(6, 9)
    clock.done("daily_quality", 5)
    assert clock.look(6, 10) == 1
    assert clock.told() == ["root", "withdrawn"]
    assert clock.states() == {"daily_quality": "resolved"}


def test_a_log_of_the_past_was_never_to_go_on(store: Store) -> None:
    clock = Clock(store)
    clock.done("daily_quality", *range(5))
    assert clock.look(60, 12) == 0
    assert not store.rows(select(notification))


def test_a_deadline_speaks_before_the_relay_would(store: Store) -> None:
    clock = Clock(store)
    clock.done("daily_quality", *range(5))
    late = [("daily_quality", FIRST.shift(5))]
    assert clock.look(6, 6, late) == 1
    assert clock.told() == ["root"]
    assert [clock.look(6, hour) for hour in (6.1, 7, 12)] == [0, 0, 0]
    assert clock.look(6, 13, late) == 0, "a second call says nothing new"
    clock.done("daily_quality", 5)
    clock.look(6, 14)
    assert clock.told() == ["root", "withdrawn"]
    assert clock.look(7, 5, [("daily_quality", FIRST.shift(5))]) == 0, "it is there after all"


days = st.sets(st.integers(0, 9))


@given(days, days, days)
def test_what_is_published_is_true_and_stays(
    done: set[int], gone: set[int], late: set[int]
) -> None:
    """Whatever was said before: what is missing is said, what is there never is, twice is once."""
    now = FIRST.shift(9).end + timedelta(hours=9)
    covered = {"daily_quality": {FIRST.shift(number).start for number in done}}
    known = {FIRST.shift(number): {"daily_quality": number in gone} for number in gone | late}
    missing = {("daily_quality", FIRST.shift(number)) for number in late - done}
    found = wanted_facts(known, missing, covered, now, "UTC")
    for window, facts in found.items():
        there = window.start in covered["daily_quality"]
        assert not (facts["daily_quality"] and there)
        assert (
            facts["daily_quality"]
            or there
            or not known.get(window, {"daily_quality": False})["daily_quality"]
        )
    assert all(found[window]["daily_quality"] for _, window in missing)
    assert wanted_facts(found, missing, covered, now, "UTC") == found
    due = due_windows("daily_quality", now, "UTC")
    assert len(due) == 7 and due[-1] == FIRST.shift(9)
