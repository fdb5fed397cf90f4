"""From measurements to messages, through the store."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.messages import render
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import notification
from sql.window import Grain, Window

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
RULES = [
    {"name": "drift", "metric": "provider.drift", "decision": "fact", "match": {"pin": "*"}},
    {"name": "quality", "metric": "quality.score", "decision": "interval", "consecutive": 1},
]


def measure(store: Store, window: Window, monitor: str, metric: str, value: float, **labels: str):  # type: ignore[no-untyped-def]
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
    return evaluate(store, alerting, window, [monitor], now=window.end + timedelta(hours=1))


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
