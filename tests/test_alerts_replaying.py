"""A rule tried on the past says what production said; rules that cannot speak are told."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest
from sqlalchemy import select

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.replaying import complaints, replay, stated
from alerts.rules import Rule
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import incident
from sql.window import Grain, Window

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
SPOKEN = {
    "name": "fell", "metric": "quality.score", "decision": "interval", "direction": "below",
    "match": {"feature": "*"}, "severity": "warning",
}  # fmt: skip


def year(feature: str, days: int = 120, seed: int = 1) -> list[Measurement]:
    chance = Random(f"{seed}/{feature}")
    found = []
    for place in range(days):
        ill = 40 <= place < 50
        value = (0.5 if ill else 0.8) + chance.uniform(-0.02, 0.02)
        found.append(
            Measurement(
                monitor="quality", metric="quality.score", window=DAY.shift(place),
                labels={"feature": feature}, value=value, low=value - 0.03, high=value + 0.03,
                baseline=0.8, n=100, evidence=4.0 if ill else -0.5,
            )
        )  # fmt: skip
    return found


@pytest.mark.parametrize("decision", ["interval", "sequential"])
def test_it_says_what_production_said(store: Store, decision: str) -> None:
    items = [*year("a"), *year("b", 90), *year("c", 30)]
    alerting = parse([{**SPOKEN, "decision": decision}], {"source": "log"}, {})
    for place in range(120):
        window = DAY.shift(place)
        with store.begin() as connection:
            store.publish(
                connection, "quality", window, [item for item in items if item.window == window]
            )
        evaluate(store, alerting, window, ["quality"], now=window.end + timedelta(hours=1))
    said = {
        (row.labels, row.opened_window, row.resolved_window)
        for row in store.rows(select(incident).where(incident.c.rule == "fell"))
    }
    again = {
        (f'{{"feature":"{one.labels["feature"]}"}}', each.opened, each.resolved)
        for one in replay(alerting.rules[0], items)
        for each in one.incidents
    }
    assert again == said and len(said) == 2


def test_what_a_rule_allows_itself() -> None:
    def allowed(**more: object) -> float | None:
        rule = Rule(name="r", metric="quality.score", match={"feature": "*"}, **more)  # type: ignore[arg-type]
        return stated(rule, replay(rule, [*year("a"), *year("b")]))

    assert allowed(decision="sequential", false_alarms_per_year=0.1) == pytest.approx(0.2)
    assert allowed(decision="test", alpha=0.001) == pytest.approx(2 * 0.36525)
    one_sided = allowed(decision="interval", direction="below", consecutive=2)
    assert one_sided == pytest.approx(2 * 0.025**2 * 365.25)
    assert allowed(decision="fact") is None


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"metric": "quality.skore"}, "nobody publishes"),
        ({"match": {"planet": "*"}}, "has no label planet"),
        ({"metric": "safety.pass_rate", "match": {"scorer": "nope"}}, "matches none of the 1"),
        ({"decision": "threshold"}, "no threshold"),
        ({"inhibits": ("nobody",)}, "which is no rule"),
        ({}, ""),
    ],
)
def test_rules_that_cannot_speak_are_told(more: dict[str, object], what: str) -> None:
    given = {"name": "r", "metric": "quality.score", "decision": "interval", **more}
    known = {"quality.score": {"feature"}, "safety.pass_rate": {"scorer"}}
    measured = {"safety.pass_rate": [{"scorer": "pii"}]}
    found = complaints([Rule(**given)], known, measured)  # type: ignore[arg-type]
    assert [what in each.what for each in found] == ([True] if what else [])


def test_a_rule_said_twice_is_told() -> None:
    same = {"metric": "quality.score", "decision": "interval", "match": {"feature": "*"}}
    rules = [Rule(name=name, **same) for name in ("a", "b")]  # type: ignore[arg-type]
    found = complaints(rules, {"quality.score": {"feature"}}, {})
    assert [(each.rule, each.what) for each in found] == [("b", "watches the same as a")]
