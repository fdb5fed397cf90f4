"""What the pages read from the store, and how it is drawn and written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from monitors.web import coverage, incidents, reviews, series
from monitors.web.drawing import interval_bar, sparkline
from monitors.web.words import instant, labels_text
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import acknowledgement, label, review_assignment, review_batch, review_item
from sql.tables import coverage as coverage_table
from sql.tables import incident as incident_table
from sql.window import Grain, Window
from sql.words import NOTHING

FIRST = date(2026, 5, 4)


def day(count: int) -> Window:
    return Window.of(FIRST + timedelta(days=count), Grain.DAY)


def measured(window: Window, value: float | None, **more: Any) -> Measurement:
    status = Status.COMPLETE if value is not None else Status.NO_DATA
    defaults: dict[str, Any] = {
        "monitor": "safety",
        "metric": "safety.pass_rate",
        "labels": {"scorer": "pii"},
        "n": 100 if value is not None else 0,
        "status": status,
    }
    return Measurement(window=window, value=value, **{**defaults, **more})


def publish(store: Store, *items: Measurement) -> None:
    with store.begin() as connection:
        for monitor, window in {(item.monitor, item.window): 0 for item in items}:
            chosen = [i for i in items if (i.monitor, i.window) == (monitor, window)]
            store.publish(connection, monitor, window, chosen)


# ── series ───────────────────────────────────────────────────────────────────────────────────


def test_series_end_with_their_latest_measurement(store: Store) -> None:
    publish(store, *[measured(day(k), 0.9 + k / 1000) for k in range(70)])
    (group,) = series.latest(store)
    (one,) = group.series
    assert (group.monitor, group.window.label) == ("safety", day(69).label)
    assert one.latest.value == pytest.approx(0.969)
    assert [item.window for item in one.history] == [day(k) for k in range(10, 70)]


def test_slices_are_shown_on_demand(store: Store) -> None:
    whole = measured(day(0), 0.9)
    slice_ = measured(day(0), 0.8, labels={"scorer": "pii", "feature": "chat"})
    publish(store, whole, slice_)
    (group,) = series.latest(store)
    assert [one.labels for one in group.series] == [{"scorer": "pii"}]
    assert group.slices == 1
    (group,) = series.latest(store, slices=True)
    assert (len(group.series), group.slices) == (2, 0)


def test_one_monitor_can_be_asked_for_and_grains_stay_apart(store: Store) -> None:
    week = Window.of(FIRST, Grain.WEEK)
    publish(
        store,
        measured(day(0), 0.9),
        measured(week, 0.6, monitor="embeddings", metric="drift.embedding.auc", labels={}),
    )
    assert [group.grain for group in series.latest(store)] == [Grain.DAY, Grain.WEEK]
    assert [group.monitor for group in series.latest(store, monitor="embeddings")] == ["embeddings"]


def test_an_empty_store_has_no_series(store: Store) -> None:
    assert series.latest(store) == []


# ── coverage ─────────────────────────────────────────────────────────────────────────────────


def cover(store: Store, job: str, window: Window, status: str) -> None:
    row = {
        "job": job,
        "grain": window.grain.value,
        "window_start": window.start,
        "window_end": window.end,
        "status": status,
        "reason": "",
        "rows": 2000,
        "measurements": 12,
        "seconds": 1.0,
        "config_digest": "c",
        "code_version": "1",
        "finished_at": window.end,
    }
    with store.begin() as connection:
        store.upsert(connection, coverage_table, [row])


def test_a_calendar_shows_gaps_where_they_are(store: Store) -> None:
    for count in range(14):
        if count != 9:  # a Wednesday
            cover(store, "daily_quality", day(count), "no_data" if count == 3 else "complete")
    (calendar,) = coverage.calendars(store, "UTC")
    assert dict(calendar.counts) == {"complete": 12, "no_data": 1, "missing": 1}
    (gap,) = [cell for cell in calendar.cells if cell.status == coverage.MISSING]
    assert gap.title.startswith("2026-05-13: missing")
    monday_of_second_week = next(c for c in calendar.cells if c.title.startswith("2026-05-11"))
    assert gap.x == monday_of_second_week.x
    assert gap.y > monday_of_second_week.y


def test_shorter_grains_come_first(store: Store) -> None:
    cover(store, "monthly_review", Window.of(FIRST, Grain.MONTH), "complete")
    cover(store, "weekly_drift", Window.of(FIRST, Grain.WEEK), "complete")
    cover(store, "daily_quality", day(0), "complete")
    jobs = [calendar.job for calendar in coverage.calendars(store, "UTC")]
    assert jobs == ["daily_quality", "weekly_drift", "monthly_review"]


# ── incidents, reviews ───────────────────────────────────────────────────────────────────────


def test_incidents_are_split_by_state_the_worst_first(store: Store) -> None:
    publish(store, measured(day(5), 0.91))
    rows = [
        _incident("a", rule="latency rose", severity="warning", state="open"),
        _incident("b", rule="safety fell", severity="critical", state="open"),
        _incident("c", rule="cost rose", severity="warning", state="resolved"),
    ]
    with store.begin() as connection:
        store.upsert(connection, incident_table, rows)
        said = {"actor": "ada", "action_id": "verdict", "verdict": "false", "comment": ""}
        said |= {"fingerprint": "c", "generation": 1, "at": day(6).start}
        store.upsert(connection, acknowledgement, [said])
    found = incidents.by_state(store, "UTC")
    assert [line.rule for line in found["Going on"]] == ["safety fell", "latency rose"]
    (over,) = found["Over"]
    assert over.said == "a false alarm, says ada"
    assert not any(line.said for line in found["Going on"])
    assert (over.opened, over.last, over.unit) == ("2026-05-05", "2026-05-09", "ratio")


def _incident(fingerprint: str, *, rule: str, severity: str, state: str) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "generation": 1,
        "rule": rule,
        "metric": "safety.pass_rate",
        "labels": '{"feature":"chat"}',
        "grain": "day",
        "state": state,
        "severity": severity,
        "group_key": "g",
        "opened_window": day(1).start,
        "last_window": day(6).start,
        "resolved_window": day(5).start if state == "resolved" else None,
        "windows": 5,
        "worst_value": 0.9,
        "last_value": 0.92,
        "inhibited_by": "",
        "body": {},
        "updated_at": day(6).end,
    }


def test_review_batches_count_people_not_dimensions(store: Store) -> None:
    fill_review(store)
    (batch,) = reviews.batches(store, "UTC")
    assert (batch.window, batch.items, batch.assigned, batch.rated) == ("2026-05", 3, 3, 1)
    assert batch.share == pytest.approx(1 / 3)


def fill_review(store: Store) -> None:
    """A batch of three items of which one is rated, on two dimensions."""
    at = datetime(2026, 6, 2, tzinfo=UTC)
    head = {"batch_id": "may", "source": "log"}
    with store.begin() as connection:
        window = Window.of(FIRST, Grain.MONTH)
        store.upsert(
            connection,
            review_batch,
            [
                {
                    **head,
                    "window_start": window.start,
                    "window_end": window.end,
                    "design": {},
                    "state": "open",
                    "due_at": at,
                    "created_at": at,
                }
            ],
        )
        for place in range(3):
            item = {"batch_id": "may", "item_id": f"i{place}"}
            kept = {
                "position": place,
                "stratum": "",
                "inclusion_probability": 0.1,
                "raters": 1,
                "kind": "core",
                "judge_score": 0.5,
            }
            store.upsert(connection, review_item, [{**head, **item, **kept}])
            deal = {"slot": 0, "evaluator": "eva", "state": "open", "reserved_until": None}
            store.upsert(connection, review_assignment, [{**item, **deal}])
        ratings = [
            {
                "batch_id": "may",
                "item_id": item,
                "evaluator": "eva",
                "dimension": dimension,
                "revision": 1,
                "value": 4.0,
                "comment": "",
                "flags": [],
                "submitted_at": submitted,
                "seconds": 20.0,
            }
            for item, dimension, submitted in [
                ("i0", "correct", at),
                ("i0", "useful", at),
                ("i1", "correct", None),  # a draft
            ]
        ]
        store.upsert(connection, label, ratings)


# ── drawing and words ────────────────────────────────────────────────────────────────────────


def test_a_sparkline_breaks_at_gaps_and_stays_in_its_box() -> None:
    history = [
        measured(day(0), 0.90, low=0.88, high=0.92),
        measured(day(1), 0.94, low=0.92, high=0.96),
        measured(day(2), None),
        measured(day(3), 0.80, low=0.78, high=0.82, baseline=0.91),
    ]
    drawn = sparkline(history, width=100, height=20)
    assert len(drawn.lines) == len(drawn.bands) == 2
    points = [
        tuple(map(float, pair.split(",")))
        for text in drawn.lines + drawn.bands
        for pair in text.split()
    ]
    assert all(0 <= x <= 100 and 0 <= y <= 20 for x, y in points)
    first, second = (tuple(map(float, pair.split(","))) for pair in drawn.lines[0].split())
    assert second[1] < first[1], "a higher value stands higher"
    assert drawn.baseline is not None
    assert drawn.last == points[2]


def test_a_series_without_numbers_draws_nothing() -> None:
    drawn = sparkline([measured(day(0), None)])
    assert (drawn.lines, drawn.bands, drawn.last) == ((), (), None)
    assert interval_bar(measured(day(0), None)) is None


def test_a_bar_keeps_order() -> None:
    shape = interval_bar(measured(day(0), 0.9, low=0.88, high=0.92, baseline=0.95))
    assert shape is not None
    assert shape.baseline is not None
    assert shape.low < shape.value < shape.high < shape.baseline <= shape.width


def test_instants_and_labels_in_words() -> None:
    assert instant(datetime(2026, 7, 1, tzinfo=UTC), "Europe/Berlin") == "2026-07-01 02:00"
    assert instant(None) == NOTHING
    assert labels_text({"feature": "chat", "segment": "pro"}) == "feature chat · segment pro"
