"""The fold: few incidents, the same in any order, closed by health and never by silence."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident, Kept, Seen, State, fold, matched, news
from alerts.rules import Rule, Verdict

START = datetime(2026, 6, 1, tzinfo=UTC)
CRITICAL = Rule(name="r", metric="m", decision="fact", severity="critical")
WARNING = Rule(name="r", metric="m", decision="test", severity="warning")
# After four bad windows a warning is critical.
LASTING = replace(WARNING, critical_after=4)
RULES = st.sampled_from([CRITICAL, WARNING, LASTING])
# B: a breach of such an effect that it is critical by itself.
LETTERS = {
    "b": Verdict.BREACH,
    "B": Verdict.BREACH,
    "c": Verdict.CLEAR,
    "i": Verdict.INCONCLUSIVE,
    "n": Verdict.NO_DATA,
    "e": Verdict.ERROR,
}


def folded(rule: Rule, story: str) -> list[Incident]:
    return fold(rule, windows(rule, story))


def windows(rule: Rule, story: str) -> list[Seen]:
    severity = {"B": "critical"}
    return [
        Seen(
            START + timedelta(days=day),
            day,
            LETTERS[letter],
            severity.get(letter, rule.severity),
            float(day),
        )
        for day, letter in enumerate(story)
    ]


class Book:
    """What is kept and told of one series while its windows come in, in any order."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.seen = rule, dict[datetime, Seen]()
        self.kept = dict[int, Kept]()
        self.told = list[str]()
        self.incidents = list[Incident]()

    def arrives(self, window: Seen) -> None:
        self.seen[window.window_start] = window
        pairs, gone = matched(fold(self.rule, self.seen.values()), list(self.kept.values()), START)
        for one in gone:
            if one.told == "open":
                self._tell("withdrawn", one.generation)
                self.kept[one.generation] = replace(one, told="resolved")
            elif not one.told:
                del self.kept[one.generation]
        self.incidents = [one for one, _ in pairs]
        for one, before in pairs:
            kind = news(one, before)
            told = "" if before is None else before.told
            if kind:
                self._tell(kind, one.generation)
                told = "resolved" if kind == "resolved" else "open"
            self.kept[one.generation] = Kept(
                one.generation, one.opened, one.last, told, one.severity, "t"
            )

    def _tell(self, kind: str, generation: int) -> None:
        self.told.append(f"{kind} {generation}")


def book(rule: Rule, seen: list[Seen]) -> Book:
    made = Book(rule)
    for window in seen:
        made.arrives(window)
    return made


def told(rule: Rule, story: str) -> list[str]:
    return [line.split()[0] for line in book(rule, windows(rule, story)).told]


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


def test_a_hole_in_the_log_is_time_too() -> None:
    """Resolved, then nothing is measured for a month: new trouble is a new incident."""
    seen = windows(CRITICAL, "bcc" + "n" * 30 + "b")
    for hole in (seen, [*seen[:3], seen[-1]]):
        assert [one.generation for one in fold(CRITICAL, hole)] == [1, 2]


def test_silence_never_resolves() -> None:
    for silent in "ine":
        outcome = folded(CRITICAL, "b" + silent * 30)
        assert [incident.state for incident in outcome] == [State.OPEN]
        assert told(CRITICAL, silent * 30) == []


def test_generations_keep_their_own_story() -> None:
    first, second = folded(CRITICAL, "bbcc" + "c" * 5 + "bbb")
    assert (first.generation, first.state, first.windows) == (1, State.RESOLVED, 2)
    assert (second.generation, second.state, second.windows) == (2, State.OPEN, 3)


def by_hand(rule: Rule, story: str) -> list[tuple[int, int, State, int]]:
    """The rules of the fold written another way: words over the verdicts that say something.

    Returns:
        (day opened, breaches counted, state, day resolved or -1) of each incident.
    """
    told = [(day, letter) for day, letter in enumerate(story) if letter in "bc"]
    found: list[tuple[int, int, State, int]] = []
    at = 0
    while at < len(told):
        word = "".join(letter for _, letter in told[at:])
        opening = word.find("b" * rule.breaches_to_open)
        if opening < 0:
            break
        first = at + opening + rule.breaches_to_open - 1
        rest = word[opening:]
        closing = rest.find("c" * rule.clear_after)
        body = rest if closing < 0 else rest[:closing]
        last = -1 if closing < 0 else told[at + opening + closing + rule.clear_after - 1][0]
        breaches, day = body.count("b"), told[first][0]
        if found and found[-1][3] >= 0 and day - found[-1][3] <= 3:
            # A breach that reopens is counted alone: those before it opened nothing.
            before = found.pop()
            day, breaches = before[0], before[1] + breaches - rule.breaches_to_open + 1
        state = State.RESOLVED if closing >= 0 else State.RECOVERING
        if closing < 0 and rest[-1] == "b":
            state = State.OPEN
        found.append((day, breaches, state, last))
        at = len(told) if closing < 0 else at + opening + closing + rule.clear_after
    return found


@pytest.mark.parametrize("rule", [CRITICAL, WARNING])
def test_every_story_of_seven_days_and_four_verdicts(rule: Rule) -> None:
    for letters in itertools.product("bcin", repeat=7):
        story = "".join(letters)
        made = [
            (
                (one.opened - START).days,
                one.windows,
                one.state,
                -1 if one.resolved is None else (one.resolved - START).days,
            )
            for one in folded(rule, story)
        ]
        assert made == by_hand(rule, story), story


stories = st.text("bBcine", max_size=40)


@given(stories, st.randoms(), RULES)
def test_any_order_ends_in_the_same_incidents(story: str, random: Random, rule: Rule) -> None:
    seen = windows(rule, story)
    expected = fold(rule, seen)
    shuffled = list(seen)
    random.shuffle(shuffled)
    assert fold(rule, shuffled) == expected
    late = book(rule, shuffled)
    # Late windows give incidents other numbers, and nothing else.
    assert [replace(one, generation=0) for one in late.incidents] == [
        replace(one, generation=0) for one in expected
    ]
    assert len({one.generation for one in late.incidents}) == len(expected)
    if "b" not in story.lower():
        assert not expected and not late.told


@given(stories, st.randoms(), RULES)
def test_what_people_know_in_the_end_is_true(story: str, random: Random, rule: Rule) -> None:
    """In whatever order the windows come in, and however often one is measured again."""
    seen = windows(rule, story)
    arriving = [*seen, *(random.choice(seen) for _ in seen)]
    random.shuffle(arriving)
    # Some windows said something else at first.
    first = [replace(one, verdict=random.choice(list(LETTERS.values()))) for one in seen]
    made = book(rule, [*first, *arriving])
    known: dict[int, str] = {}
    for line in made.told:
        kind, generation = line.split()
        before = known.get(int(generation), "")
        allowed = {
            "opened": [""], "reopened": ["over"], "severity_up": ["open"],
            "resolved": ["open"], "withdrawn": ["open"],
        }  # fmt: skip
        assert before in allowed[kind]
        known[int(generation)] = "over" if kind in ("resolved", "withdrawn") else "open"
    there = {one.generation: one.state for one in made.incidents}
    for generation, state in there.items():
        if state is State.OPEN:
            assert known[generation] == "open"
        elif state is State.RESOLVED:
            assert known.get(generation) != "open"
    assert all(known[number] == "over" for number in known if number not in there)


@given(stories, RULES)
def test_judging_a_window_again_tells_nothing(story: str, rule: Rule) -> None:
    seen = windows(rule, story)
    made = book(rule, seen)
    before = list(made.told)
    for window in seen:
        made.arrives(window)
    assert made.told == before


@pytest.mark.parametrize(
    ("rule", "story", "told"),
    [
        (WARNING, "bbbbbb", ["opened 1"]),
        (WARNING, "bbBbB", ["opened 1", "severity_up 1"]),
        (WARNING, "Bb", ["opened 1"]),
        (WARNING, "Bcb", []),
        (LASTING, "bbbb", ["opened 1", "severity_up 1"]),
        (LASTING, "bbcbcb", ["opened 1", "severity_up 1"]),
        (LASTING, "bbccbb", ["opened 1", "resolved 1", "reopened 1"]),
        (WARNING, "bbBccbbB", ["opened 1", "severity_up 1", "resolved 1", "reopened 1",
                               "severity_up 1"]),
    ],
)  # fmt: skip
def test_a_warning_grows_and_never_falls_before_its_end(
    rule: Rule, story: str, told: list[str]
) -> None:
    made = book(rule, windows(rule, story))
    assert made.told == told


@given(stories, RULES)
def test_how_grave_an_incident_is(story: str, rule: Rule) -> None:
    """As its windows one by one would have it; while it is open it never grows less."""
    before: Incident | None = None
    for end in range(len(story) + 1):
        found = folded(rule, story[:end])
        now = found[-1] if found else None
        if before is not None and now is not None and before.generation == now.generation:
            same = before.state is not State.RESOLVED
            assert not (same and before.severity == "critical" and now.severity == "warning")
        if now is not None and 0 < rule.critical_after <= now.windows:
            assert now.severity == "critical"
        if now is not None and rule is WARNING and "B" not in story[:end]:
            assert now.severity == "warning"
        before = now


def test_a_late_window_changes_no_name_that_people_know() -> None:
    """Day 20's incident is known as the first; then day 3 is measured, and was trouble too."""
    seen = windows(CRITICAL, "cccccccccccccccccccccbccc")
    made = book(CRITICAL, seen[:22])
    assert made.told == ["opened 1"]
    made.arrives(replace(seen[3], verdict=Verdict.BREACH))
    made.arrives(seen[22])
    made.arrives(seen[23])
    assert made.told == ["opened 1", "resolved 1"]
    assert [(one.generation, one.opened.day) for one in made.incidents] == [(2, 4), (1, 22)]


def test_an_incident_whose_reason_is_gone_is_withdrawn() -> None:
    seen = windows(CRITICAL, "cccb")
    made = book(CRITICAL, seen)
    made.arrives(replace(seen[3], verdict=Verdict.CLEAR))
    assert made.told == ["opened 1", "withdrawn 1"] and made.incidents == []
    made.arrives(seen[3])
    assert made.told[2:] == ["reopened 1"]


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
