"""The ground floor on both databases: windows, measurements, publishing, locks, safe errors."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from sql.errors import ConfigurationError, LockHeld, StoreError
from sql.measurement import Measurement, Status
from sql.migrations import VERSION_TABLE
from sql.store import Store
from sql.tables import measurement, metadata
from sql.window import Grain, Window

DAY = Window.parse("2026-06-01")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])


def one(value: float | None = 0.5, **more: object) -> Measurement:
    body = {"monitor": "m", "metric": "x", "window": DAY, "n": 3, "value": value, **more}
    return Measurement(**body)  # type: ignore[arg-type]


# ── windows ──────────────────────────────────────────────────────────────────────────────────


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.sampled_from(list(Grain)), ZONES)
def test_windows_tile_the_calendar(day: date, grain: Grain, zone: str) -> None:
    window = Window.of(day, grain, zone)
    assert window.next().start == window.end
    assert window.next().previous() == window
    assert Window.parse(window.label, zone) == window
    days = window.days()
    assert (days[0].start, days[-1].end) == (window.start, window.end)
    assert all(a.end == b.start for a, b in pairwise(days))
    assert sum(part.hours for part in days) == pytest.approx(window.hours)


def test_days_of_a_clock_change_have_23_and_25_hours() -> None:
    assert Window.parse("2026-03-08", "America/New_York").hours == 23
    assert Window.parse("2026-11-01", "America/New_York").hours == 25


@pytest.mark.parametrize("bad", ["2026-02-30", "yesterday", "2026-W60", "2026-Q5", ""])
def test_what_is_no_window_is_said_so(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        Window.parse(bad)


# ── measurements ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": float("nan")},
        {"evidence": float("inf")},
        {"value": None},
        {"n": 0},
        {"n": -1},
        {"low": 0.6, "high": 0.5},
        {"status": Status.NO_DATA},
        {"status": Status.ERROR},
    ],
)
def test_a_measurement_cannot_contradict_itself(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="x"):
        one(**{"value": 0.5, **wrong})  # type: ignore[arg-type]


def test_publishing_replaces_the_whole_set(store: Store) -> None:
    first = [one(labels={"b": "2", "a": "1"}), one(metric="y")]
    with store.begin() as connection:
        assert store.publish(connection, "m", DAY, first) == 2
        store.publish(connection, "m", DAY.next(), [one(window=DAY.next())])
    assert set(map(repr, store.measurements(until=DAY.end))) == set(map(repr, first))
    with store.begin() as connection:
        store.publish(connection, "m", DAY, [one(None, n=0, status=Status.NO_DATA)])
    assert [item.status for item in store.measurements(until=DAY.end)] == [Status.NO_DATA]
    assert len(store.measurements()) == 2


def test_a_broken_publish_leaves_what_stood(store: Store) -> None:
    with store.begin() as connection:
        store.publish(connection, "m", DAY, [one()])
    with pytest.raises(ValueError, match="twice"), store.begin() as connection:
        store.publish(connection, "m", DAY, [one(0.1), one(0.2)])
    assert [item.value for item in store.measurements()] == [0.5]


def test_readers_see_old_or_new(store: Store) -> None:
    with store.begin() as connection:
        store.publish(connection, "m", DAY, [one(0.1)])
    with store.begin() as connection:
        store.publish(connection, "m", DAY, [one(0.2), one(0.3, metric="y")])
        assert [item.value for item in store.measurements()] == [0.1]
    assert [item.value for item in store.measurements()] == [0.2, 0.3]


# ── schema ───────────────────────────────────────────────────────────────────────────────────


def test_migrations_make_what_the_tables_say(store: Store) -> None:
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_instants_come_back_as_they_went(store: Store) -> None:
    moment = datetime(2026, 6, 1, 12, 30, 15, 123456, tzinfo=UTC)
    window = Window(moment, moment + timedelta(hours=1), "UTC", Grain.DAY)
    with store.begin() as connection:
        store.publish(connection, "m", window, [one(window=window)])
    assert store.measurements()[0].window == window


# ── locks ────────────────────────────────────────────────────────────────────────────────────


def test_two_cannot_hold_one_lock_and_tokens_rise(store: Store) -> None:
    with store.lock("work") as first:
        with pytest.raises(LockHeld), Store.open(_url(store)).lock("work"):
            pass
        with store.begin() as connection:
            first.check(connection)
        with store.lock("other"):
            pass
    with store.lock("work") as second:
        assert second.token > first.token
        with pytest.raises(LockHeld), store.begin() as connection:
            first.check(connection)


HOLDER = """
import sys, time
from sql.store import Store
with Store.open(sys.argv[1]).lock("work"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_lets_go_at_once(store: Store) -> None:
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, _url(store)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockHeld), store.lock("work"):
            pass
        process.kill()
        process.wait()
    for _ in range(50):
        try:
            with store.lock("work"):
                return
        except LockHeld:
            pass
    pytest.fail("the lock outlived its holder")


def _url(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


# ── errors ───────────────────────────────────────────────────────────────────────────────────


def test_errors_hold_no_content(store: Store) -> None:
    canary = "canary-5f1c my secret prompt"
    nulls = dict.fromkeys(measurement.c.keys())
    row = {**nulls, "monitor": "m", "metric": canary, "window_start": DAY.start}
    with pytest.raises(StoreError) as caught, store.begin() as connection:
        connection.execute(measurement.insert(), [row])
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(StoreError) as caught, store.begin() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:x)"), {"x": canary})
    assert "canary" not in str(caught.value)
    assert "tidegauge init" in str(caught.value)
