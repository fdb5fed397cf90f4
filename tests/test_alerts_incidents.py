"""The fold: few incidents, the same in any order, closed by health and never by silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Folded, Seen, State, fold
from alerts.rules import Rule, Verdict

START = datetime(2026, 6, 1, tzinfo=UTC)
CRITICAL = Rule(name="r", metric="m", decision="fact", severity="critical")
WARNING = Rule(name="r", metric="m", decision="test", severity="warning")
LETTERS = {
    "b": Verdict.BREACH,
    "c": Verdict.CLEAR,
    "i": Verdict.INCONCLUSIVE,
    "n": Verdict.NO_DATA,
    "e": Verdict.ERROR,
}


def folded(rule: Rule, story: str) -> Folded:
    return fold(rule, windows(rule, story))


def windows(rule: Rule, story: str) -> list[Seen]:
    return [
        Seen(START + timedelta(days=day), LETTERS[letter], rule.severity, float(day))
        for day, letter in enumerate(story)
    ]


def told(rule: Rule, story: str) -> list[str]:
    return [transition.kind for transition in folded(rule, story).transitions]


def test_the_story_of_an_incident() -> None:
    assert told(CRITICAL, "ccb") == ["opened"]
    assert told(WARNING, "ccb") == []
    assert told(WARNING, "ccbb") == ["opened"]
    assert told(WARNING, "bcbcbc") == []
    assert told(CRITICAL, "b" * 14) == ["opened"]
    assert told(CRITICAL, "bbcc") == ["opened", "resolved"]
    assert told(CRITICAL, "bcbcbcb") == ["opened"]
    assert told(CRITICAL, "bccb") == ["opened", "resolved", "reopened"]
    assert told(CRITICAL, "bcc" + "c" * 4 + "b") == ["opened", "resolved", "opened"]


def test_silence_never_resolves() -> None:
    for silent in "ine":
        outcome = folded(CRITICAL, "b" + silent * 30)
        assert [incident.state for incident in outcome.incidents] == [State.OPEN]
        assert told(CRITICAL, silent * 30) == []


def test_generations_keep_their_own_story() -> None:
    first, second = folded(CRITICAL, "bbcc" + "c" * 5 + "bbb").incidents
    assert (first.generation, first.state, first.windows) == (1, State.RESOLVED, 2)
    assert (second.generation, second.state, second.windows) == (2, State.OPEN, 3)


@given(st.text("bcine", max_size=40), st.randoms(), st.booleans())
def test_order_and_prefixes(story: str, random: object, critical: bool) -> None:
    rule = CRITICAL if critical else WARNING
    seen = windows(rule, story)
    expected = fold(rule, seen)
    shuffled = list(seen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(rule, shuffled) == expected
    # What was told after each day is told again, in the same words, on every later day.
    for day in range(len(seen)):
        earlier = fold(rule, seen[:day]).transitions
        assert expected.transitions[: len(earlier)] == earlier
    opens = sum(t.kind in ("opened", "reopened") for t in expected.transitions)
    closes = sum(t.kind == "resolved" for t in expected.transitions)
    assert closes <= opens <= story.count("b")
    if "b" not in story:
        assert not expected.incidents


@pytest.mark.parametrize(
    ("decision", "severity", "windows"),
    [
        ("test", "warning", 2),
        ("interval", "warning", 2),
        ("test", "critical", 1),
        ("sequential", "warning", 1),
        ("fact", "warning", 1),
        ("no_data", "warning", 1),
    ],
)
def test_only_what_speaks_of_one_window_waits_for_a_second(
    decision: str, severity: str, windows: int
) -> None:
    rule = Rule(name="r", metric="m", decision=decision, severity=severity)
    assert rule.breaches_to_open == windows
    assert Rule(name="r", metric="m", decision=decision, consecutive=3).breaches_to_open == 3
