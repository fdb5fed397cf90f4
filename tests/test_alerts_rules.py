"""Every decision as a table: what a window says under each kind of rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alerts.configuration import parse
from alerts.rules import Rule, Verdict, decide
from sql.errors import ConfigurationError
from sql.measurement import Measurement, Status
from sql.window import Window

DAY = Window.parse("2026-06-01")
BELOW = Rule(name="r", metric="m", decision="interval", direction="below", tolerance=0.01)


def measured(value: float | None = 0.9, **more: Any) -> Measurement:
    return Measurement(
        monitor="q", metric="m", window=DAY, n=more.pop("n", 100), value=value, **more
    )


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.80, 0.85, 0.88, Verdict.BREACH),
        (0.80, 0.85, 0.90, Verdict.INCONCLUSIVE),
        (0.86, 0.895, 0.92, Verdict.CLEAR),
        (0.93, 0.95, 0.97, Verdict.CLEAR),
    ],
)
def test_an_interval_breaches_wholly_or_not_at_all(
    low: float, value: float, high: float, verdict: Verdict
) -> None:
    assert decide(BELOW, measured(value, low=low, high=high, baseline=0.9)).verdict is verdict


def test_above_mirrors_below_and_both_looks_at_either_side() -> None:
    high = measured(1.0, low=0.95, high=1.05, baseline=0.9)
    assert decide(replace(BELOW, direction="above"), high).verdict is Verdict.BREACH
    assert decide(replace(BELOW, direction="both"), high).verdict is Verdict.BREACH
    assert decide(BELOW, high).verdict is Verdict.CLEAR


def test_a_ratio_widens_the_margin() -> None:
    slow = measured(130.0, low=112.0, high=140.0, baseline=100.0)
    rule = Rule(name="r", metric="m", decision="interval", direction="above", ratio=0.2)
    assert decide(rule, slow).verdict is Verdict.INCONCLUSIVE
    assert decide(replace(rule, ratio=0.1), slow).verdict is Verdict.BREACH


@pytest.mark.parametrize(
    ("evidence", "value", "verdict"),
    [
        (0.0001, 0.3, Verdict.BREACH),
        (0.0001, 0.11, Verdict.CLEAR),
        (0.005, 0.3, Verdict.INCONCLUSIVE),
        (0.5, 0.3, Verdict.CLEAR),
        (None, 0.3, Verdict.INCONCLUSIVE),
    ],
)
def test_a_test_needs_evidence_and_effect(
    evidence: float | None, value: float, verdict: Verdict
) -> None:
    rule = Rule(name="r", metric="m", decision="test", direction="above", tolerance=0.1)
    assert decide(rule, measured(value, evidence=evidence, baseline=0.05)).verdict is verdict


def test_small_evidence_adds_up_over_days() -> None:
    rule = Rule(name="r", metric="m", decision="sequential", direction="below", tolerance=0.01)
    day = measured(0.85, baseline=0.9, evidence=1.5)
    assert decide(rule, day).verdict is Verdict.INCONCLUSIVE
    assert decide(rule, day, [1.5] * 5).verdict is Verdict.BREACH
    assert decide(rule, day, [None] * 5).verdict is Verdict.INCONCLUSIVE
    assert decide(rule, measured(0.91, baseline=0.9, evidence=-0.5)).verdict is Verdict.CLEAR


@pytest.mark.parametrize("decision", ["interval", "sequential", "test", "fact"])
def test_what_was_not_measured_neither_breaches_nor_clears(decision: str) -> None:
    rule = Rule(name="r", metric="m", decision=decision, direction="below", minimum_n=50)
    none = measured(None, n=0, status=Status.NO_DATA)
    few = measured(0.1, n=49, low=0.0, high=0.2, baseline=0.9, evidence=9.0)
    broken = measured(None, n=0, status=Status.ERROR, reason="ValueError")
    assert decide(rule, none).verdict is Verdict.NO_DATA
    assert decide(rule, few).verdict is Verdict.INCONCLUSIVE
    assert decide(rule, broken).verdict is Verdict.ERROR


def test_a_missing_day_can_be_the_finding() -> None:
    rule = Rule(name="r", metric="m", decision="no_data")
    assert decide(rule, measured(None, n=0, status=Status.NO_DATA)).verdict is Verdict.BREACH
    assert decide(rule, measured()).verdict is Verdict.CLEAR


@pytest.mark.parametrize(
    ("match", "labels", "takes"),
    [
        ({}, {}, True),
        ({}, {"feature": "a"}, False),
        ({"feature": "*"}, {}, False),
        ({"feature": "*"}, {"feature": "a"}, True),
        ({"feature": "a"}, {"feature": "b"}, False),
        ({"feature": "!a"}, {"feature": "b"}, True),
        ({"feature": "!a"}, {"feature": "a"}, False),
    ],
)
def test_matchers(match: dict[str, str], labels: dict[str, str], takes: bool) -> None:
    assert Rule(name="r", metric="m", decision="fact", match=match).takes("m", labels) is takes


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "r", "metric": "m", "decision": "fact", "tolerence": 1}, "did you mean 'tolera"),
        ({"name": "r", "metric": "m", "decision": "threshold"}, "needs `threshold`"),
        ({"name": "r", "metric": "m", "decision": "sequential"}, "needs direction"),
        ({"name": "r", "metric": "m", "decision": "fact", "inhibits": ["x"]}, "no rule 'x'"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_in_plain_words(
    rule: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse([rule], {}, {})
