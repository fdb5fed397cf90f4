"""From measurements to messages, through the store."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.messages import render
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import evaluation, incident, notification
from sql.window import Grain, Window

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
RULES = [
    {"name": "drift", "metric": "provider.drift", "decision": "fact", "match": {"pin": "*"}},
    {"name": "quality", "metric": "quality.score", "decision": "interval", "consecutive": 1},
]


def measure(  # type: ignore[no-untyped-def]
    store: Store,
    window: Window,
    monitor: str,
    metric: str,
    value: float,
    now: datetime | None = None,
    **labels: str,
):
    item = Measurement(
        monitor=monitor,
        metric=metric,
        window=window,
        labels=labels,
        value=value,
        low=value,
        high=value,
        baseline=0.8 if monitor == "quality" else 0.0,
        n=100,
        unit="ratio" if monitor == "quality" else "fact",
    )
    with store.begin() as connection:
        store.publish(connection, monitor, window, [item])
    alerting = parse(RULES, {"source": "log"}, {})
    return evaluate(store, alerting, window, [monitor], now=now or window.end + timedelta(hours=1))


def said(store: Store) -> list[Any]:
    table = notification.c
    return list(store.rows(select(notification).order_by(table.created_at, table.delivery_key)))


def test_a_message_names_what_else_is_open_and_mutes_nothing(store: Store) -> None:
    measure(store, DAY, "provider", "provider.drift", 1.0, pin="main")
    measure(store, DAY.next(), "quality", "quality.score", 0.5)
    first, second = (row.payload for row in said(store))
    assert first["rule"] == "drift" and first["beside"] == []
    assert second["rule"] == "quality"
    assert [(one["rule"], one["since"]) for one in second["beside"]] == [("drift", "2026-06-01")]
    shown = str(render("root", second).blocks)
    assert "Also open" in shown and "drift main, since 2026-06-01" in shown


def test_what_is_over_is_not_named(store: Store) -> None:
    measure(store, DAY, "provider", "provider.drift", 1.0, pin="main")
    for count in (1, 2):
        measure(store, DAY.shift(count), "provider", "provider.drift", 0.0, pin="main")
    measure(store, DAY.shift(3), "quality", "quality.score", 0.5)
    assert said(store)[-1].payload["beside"] == []


def test_judging_a_window_again_says_nothing_new(store: Store) -> None:
    measure(store, DAY, "provider", "provider.drift", 1.0, pin="main")
    before = [tuple(row) for row in said(store)]
    report = measure(store, DAY, "provider", "provider.drift", 1.0, pin="main")
    assert report.notifications == 0
    assert [tuple(row) for row in said(store)] == before


# ── few messages ─────────────────────────────────────────────────────────────────────────────


def many(
    store: Store, window: Window, monitor: str, metric: str, count: int, value: float = 0.5
) -> Any:
    """``count`` features in trouble at once, or well."""
    found = [
        Measurement(
            monitor=monitor, metric=metric, window=window, labels={"feature": f"f{number}"},
            value=value, low=value - 0.01, high=value + 0.01, baseline=0.9, n=100,
        )
        for number in range(count)
    ]  # fmt: skip
    with store.begin() as connection:
        store.publish(connection, monitor, window, found)
    rules = [
        {"name": f"{name}_fell", "metric": f"{name}.score", "decision": "interval",
         "consecutive": 1, "match": {"feature": "*"}}
        for name in ("one", "two")
    ]  # fmt: skip
    alerting = parse(rules, {"source": "log"}, {})
    return evaluate(store, alerting, window, [monitor], now=window.end + timedelta(hours=1))


def test_five_hundred_breaches_are_one_message_that_says_so(store: Store) -> None:
    report = many(store, DAY, "one", "one.score", 500)
    assert (report.breaches, report.opened, report.notifications) == (500, 500, 1)
    (row,) = said(store)
    assert row.kind == "digest" and row.payload["total"] == 500
    shown = render("digest", row.payload)
    assert "500 new incidents" in shown.text and "and 490 more" in str(shown.blocks)
    assert many(store, DAY, "one", "one.score", 500).notifications == 0


def test_five_hundred_recoveries_are_one_answer(store: Store) -> None:
    many(store, DAY, "one", "one.score", 500)
    for day in (1, 2):
        many(store, DAY.shift(day), "one", "one.score", 500, value=0.9)
    digest, answer = said(store)
    assert (answer.kind, answer.subject) == ("thread", digest.subject)
    assert answer.payload["also_total"] == 499
    assert "and 490 more" in str(render("thread", answer.payload).blocks)


def test_each_channel_has_its_own_message(store: Store) -> None:
    """Two rules on one feature that speak in different places are not one group."""
    rules = [
        {"name": name, "metric": "q", "decision": "fact", "match": {"feature": "*"}, **more}
        for name, more in (("one", {}), ("two", {"channel": "slack:C2"}))
    ]
    for features in (1, 12):
        window = DAY.shift(features)
        found = [
            Measurement(
                monitor="m", metric="q", window=window, labels={"feature": f"{features}-{number}"},
                value=1.0, n=100,
            )
            for number in range(features)
        ]  # fmt: skip
        with store.begin() as connection:
            store.publish(connection, "m", window, found)
        evaluate(
            store,
            parse(rules, {}, {"channel": "C1", "charts": False}),
            window,
            ["m"],
            now=window.end,
        )
    told = sorted((row.channel, row.kind, len(row.payload["members"])) for row in said(store))
    assert told == [
        (channel, kind, count)
        for channel in ("slack:C1", "slack:C2")
        for kind, count in (("digest", 12), ("root", 1))
    ]


# ── late, again, and out of order ────────────────────────────────────────────────────────────


def test_trouble_found_late_is_told_when_it_still_goes_on(store: Store) -> None:
    """The scheduler stood still for a week; its windows come in one after the other."""
    now = DAY.shift(8).end
    for day in range(9):
        measure(store, DAY.shift(day), "quality", "quality.score", 0.5, now=now)
        # Three windows old is news; older alone is not.
        assert len(said(store)) == (1 if day >= 5 else 0)
    (row,) = said(store)
    assert (row.payload["since"], row.payload["windows"]) == ("2026-06-01", 6)


def test_a_backfill_of_old_trouble_that_is_over_says_nothing(store: Store) -> None:
    now = DAY.shift(60).end
    for day, value in enumerate((0.5, 0.5, 0.8, 0.8)):
        measure(store, DAY.shift(day), "quality", "quality.score", value, now=now)
    assert said(store) == []


def test_a_backfill_before_an_incident_renames_nothing(store: Store) -> None:
    for day in (20, 21):
        measure(store, DAY.shift(day), "quality", "quality.score", 0.5)
    now = DAY.shift(21).end + timedelta(hours=2)
    for day, value in enumerate((0.5, 0.8, 0.8)):
        measure(store, DAY.shift(day), "quality", "quality.score", value, now=now)
    for day in (22, 23):
        measure(store, DAY.shift(day), "quality", "quality.score", 0.8)
    assert [(row.kind, row.payload["since"]) for row in said(store)] == [
        ("root", "2026-06-21"), ("thread", "2026-06-21"),
    ]  # fmt: skip
    assert said(store)[1].payload["transition"] == "resolved"


def test_what_a_second_measurement_refutes_is_withdrawn(store: Store) -> None:
    measure(store, DAY, "quality", "quality.score", 0.5)
    measure(store, DAY, "quality", "quality.score", 0.8)
    measure(store, DAY, "quality", "quality.score", 0.8)
    root, answer = said(store)
    assert (root.kind, answer.payload["transition"]) == ("root", "withdrawn")
    assert "Withdrawn" in render("thread", answer.payload).text
    (row,) = store.rows(select(incident))
    assert (row.state, row.announced) == ("resolved", "resolved")


def test_a_verdict_that_changes_is_a_new_version(store: Store) -> None:
    for value in (0.5, 0.5, 0.8, 0.8):
        measure(store, DAY, "quality", "quality.score", value)
    table = evaluation.c
    query = select(table.version, table.verdict, table.value).where(table.rule == "quality")
    rows = [tuple(row) for row in store.rows(query.order_by(table.version))]
    assert rows == [(1, "breach", 0.5), (2, "clear", 0.8)]


def test_old_incidents_keep_their_own_evidence(store: Store) -> None:
    """A later window's value does not stand in the record of what was over before it."""
    for day in range(12):
        value = {0: 0.5, 10: 0.4}.get(day, 0.8)
        measure(store, DAY.shift(day), "quality", "quality.score", value)
    bodies = [row.body["window"] for row in store.rows(select(incident))]
    assert sorted(bodies) == ["2026-06-03", "2026-06-12"]


def test_two_jobs_of_one_window_have_a_digest_each(store: Store) -> None:
    many(store, DAY, "one", "one.score", 40)
    many(store, DAY, "two", "two.score", 30)
    assert sorted(row.payload["total"] for row in said(store)) == [30, 40]


def test_a_fortnight_of_trouble_is_one_root_and_its_end(store: Store) -> None:
    for day in range(14):
        measure(store, DAY.shift(day), "quality", "quality.score", 0.5)
    for day in range(14, 20):
        measure(store, DAY.shift(day), "quality", "quality.score", 0.8)
    assert [(row.kind, row.sequence) for row in said(store)] == [("root", 0), ("thread", 1)]
    assert said(store)[1].payload["transition"] == "resolved"


def test_a_metric_on_its_threshold_says_little_in_a_year(store: Store) -> None:
    """It crosses the line on every other day or so, all year."""
    from random import Random

    chance = Random(4)
    for day in range(365):
        below = chance.random() < 0.5
        measure(store, DAY.shift(day), "quality", "quality.score", 0.79 if below else 0.81)
    assert 1 <= len(said(store)) <= 20
