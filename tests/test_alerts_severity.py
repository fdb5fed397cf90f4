"""How grave a breach is: by its rule, by how large its effect surely is, by how long it lasts."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.rules import Rule, Verdict, decide, severity_of, times_of
from alerts.telling import rank
from sql.errors import ConfigurationError
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import evaluation, notification
from sql.window import Grain, Window

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
LATENCY = {"name": "latency", "metric": "m", "decision": "test", "direction": "above",
           "ratio": 0.2, "critical_ratio": 1.0, "alpha": 0.001, "consecutive": 1}  # fmt: skip


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def measured(value: float, spread: float = 0.0, day: int = 0, **more: Any) -> Measurement:
    known = {"baseline": 100.0, "evidence": 1e-9, "labels": {}, **more}
    return Measurement(
        monitor="m", metric="m", window=DAY.shift(day), value=value, low=value - spread,
        high=value + spread, n=500, **known,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "item", "severity"),
    [
        # Twice as slow as 100, and surely so.
        (LATENCY, measured(190), "warning"),
        (LATENCY, measured(210), "critical"),
        (LATENCY, measured(210, 20), "warning"),
        (LATENCY, measured(5), "warning"),
        ({**LATENCY, "critical_ratio": 0.0}, measured(900), "warning"),
        ({**LATENCY, "direction": "below"}, measured(900), "warning"),
        # A share of nothing is nothing: without a baseline only a tolerance counts.
        (LATENCY, measured(900, baseline=None), "warning"),
        ({**LATENCY, "critical_tolerance": 0.3}, measured(0.4, baseline=None), "critical"),
        # Of a threshold it is how far beyond it.
        ({**LATENCY, "decision": "threshold", "threshold": 50.0}, measured(99), "warning"),
        ({**LATENCY, "decision": "threshold", "threshold": 50.0}, measured(101), "critical"),
        ({**LATENCY, "severity": "critical", "critical_ratio": 0.0}, measured(121), "critical"),
    ],
)
def test_how_large_an_effect_is_critical(
    rule: dict[str, Any], item: Measurement, severity: str
) -> None:
    assert severity_of(Rule(**rule), item) == severity


@pytest.mark.parametrize(
    ("rule", "item", "times"),
    [
        (LATENCY, measured(140), 2.0),
        (LATENCY, measured(60), 2.0),
        ({**LATENCY, "ratio": 0.0}, measured(140), 1.0),
        ({**LATENCY, "decision": "threshold", "threshold": 50.0}, measured(100), 2.0),
        ({**LATENCY, "decision": "threshold", "threshold": 0.0}, measured(100), 1.0),
        ({"name": "f", "metric": "m", "decision": "fact"}, measured(1), 1.0),
        ({**LATENCY, "ratio": 1e-12}, measured(1e9), 1e6),
    ],
)
def test_how_many_times_too_much(rule: dict[str, Any], item: Measurement, times: float) -> None:
    made = Rule(**rule)
    assert times_of(made, item, decide(made, item)) == pytest.approx(times)


def test_the_gravest_then_the_largest_stands_first() -> None:
    def one(severity: str, name: str, **more: float) -> dict[str, Any]:
        return {"severity": severity, "metric": "m", "fingerprint": name, **more}

    some = [one("warning", "a", times=9.0), one("critical", "b", times=1.5),
            one("critical", "c", times=4.0), one("warning", "d")]  # fmt: skip
    assert [each["fingerprint"] for each in sorted(some, key=rank)] == ["c", "b", "a", "d"]


def test_it_grows_is_told_once_and_paged(store: Store) -> None:
    """A fifth slower is a warning in Slack; three times as slow is a page."""
    alerting = parse([LATENCY], {}, {"channel": "C1", "charts": False}, {})
    told = []
    for day, value in enumerate([130.0, 130.0, 300.0, 310.0, 130.0, 100.0, 100.0]):
        window = DAY.shift(day)
        item = measured(value, 5, day, evidence=1e-9 if value > 100 else 0.9)
        for _ in range(2):
            with store.begin() as connection:
                store.publish(connection, "m", window, [item])
            evaluate(store, alerting, window, ["m"], now=window.end + timedelta(hours=1))
    rows = store.rows(select(notification).order_by(notification.c.created_at))
    for row in rows:
        if row.kind in ("root", "thread"):
            what = row.payload.get("transition", "opened")
            told.append((row.channel, what, row.payload["severity"]))
    assert sorted(told) == [
        ("pagerduty", "resolved", "critical"),
        ("pagerduty", "severity_up", "critical"),
        ("slack:C1", "opened", "warning"),
        ("slack:C1", "resolved", "critical"),
        ("slack:C1", "severity_up", "critical"),
    ]
    kept = store.rows(select(evaluation).order_by(evaluation.c.window_start))
    mine = [row.severity for row in kept if row.rule == "latency"]
    assert mine == ["warning", "warning", "critical", "critical", "warning", "warning", "warning"]
    assert [row.verdict for row in kept if row.rule == "latency"][-1] == Verdict.CLEAR


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({**LATENCY, "severity": "critical"}, "critical already"),
        ({"name": "f", "metric": "m", "decision": "fact", "critical_ratio": 1.0}, "no size"),
        ({**LATENCY, "critical_ratio": -1.0}, "critical_ratio"),
        ({**LATENCY, "critical_after": 400}, "critical_after"),
    ],
)
def test_what_cannot_grow_is_refused(rule: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse([rule], {}, {})
