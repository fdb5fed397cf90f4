"""The demo's traffic: the same from the same seed, true to its plan, and known to its generator."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.demo.golden import golden_examples
from monitors.demo.grammar import NEW_TOPIC as RECALL
from monitors.demo.grammar import unfold
from monitors.demo.incidents import (
    COST,
    LATENCY,
    LEAK,
    MISSING,
    NEW_TOPIC,
    PROVIDER,
    STALE_JUDGE,
    Signal,
    effects,
    plan,
)
from monitors.demo.product import HEALTHY, TRUTH, WORSE, Kind
from monitors.demo.prompts import answerer, regression_prompts
from monitors.demo.scorecard import FoundIncident, score
from monitors.demo.traffic import day_facts, place_of, rows_on, traffic, truths
from monitors.logs.interaction import ATTRIBUTES, REQUIRED
from monitors.logs.redaction import find
from monitors.provider.checks import judge
from monitors.provider.recorded import Asked
from monitors.settings import DemoSettings
from sql.window import Grain

FIRST = date(2026, 3, 2)
DEMO = DemoSettings(enabled=True, rows_per_day=1_500)


def day(number: int, demo: DemoSettings = DEMO) -> list[dict[str, Any]]:
    return list(traffic(FIRST + timedelta(days=number), demo, FIRST))


def feature(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["feature"] == name and not row["error_type"]]


# ── a log that can be had again ──────────────────────────────────────────────────────────────


@given(number=st.integers(0, 90))
@settings(max_examples=8, deadline=None)
def test_a_day_can_be_made_alone_and_again(number: int) -> None:
    rows = day(number)
    day_facts.cache_clear()
    unfold.cache_clear()
    assert day(number) == rows
    assert len(rows) == rows_on(FIRST + timedelta(days=number), DEMO, FIRST)


@pytest.mark.parametrize("number", [0, 30, 52])
def test_a_larger_volume_holds_the_smaller_one(number: int) -> None:
    small = {row["id"]: row for row in day(number)}
    large = {row["id"]: row for row in day(number, DEMO.model_copy(update={"rows_per_day": 4_000}))}
    assert small.items() <= large.items()
    assert len(large) > 2 * len(small)


def test_another_seed_is_another_log() -> None:
    other = DEMO.model_copy(update={"seed": 7})
    assert [row["input"] for row in day(3)] != [row["input"] for row in day(3, other)]


def test_rows_are_interactions_of_their_day() -> None:
    rows = day(10)
    start = datetime(2026, 3, 12, tzinfo=UTC)
    assert len({row["id"] for row in rows}) == len(rows)
    for number, row in enumerate(rows):
        assert set(row) <= set(ATTRIBUTES)
        assert all(row[name] is not None for name in REQUIRED)
        assert start <= row["at"] < start + timedelta(days=1)
        assert place_of(row["id"]) == (start.date(), number)
        assert "{" not in row["input"] and "###" not in row["input"] + row["output"]
        if row["shadow_of"]:
            assert row["arm"] == "shadow" and row["shadow_of"] == rows[number - 1]["id"]
            assert "accepted" not in row
    assert {row["interaction_type"] for row in rows} == {"sync", "progressive", "async"}
    assert {row["fallback_level"] for row in rows} >= {"none", "model", "omitted"}


def test_summaries_are_json_unless_they_are_broken() -> None:
    rows = feature(day(10), "summarise_ticket")
    kinds = truths([row["id"] for row in rows], DEMO, FIRST)
    for row, (kind, _) in zip(rows, kinds, strict=True):
        if kind in (Kind.GOOD, Kind.FAIR, Kind.WRONG_NUMBER, Kind.INVENTED, Kind.OFF_TOPIC):
            assert set(json.loads(row["output"])) == {"category", "order", "summary", "open"}
        elif kind in (Kind.TRUNCATED, Kind.BROKEN, Kind.REFUSAL):
            with pytest.raises(json.JSONDecodeError):
                json.loads(row["output"])


# ── what is planted is there, and nothing else ───────────────────────────────────────────────


def means(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(row[name] for row in rows if row.get(name) is not None)


def test_the_new_topic_grows() -> None:
    def share(number: int) -> float:
        rows = day(number)
        return sum("recall" in row["input"].lower() for row in rows) / len(rows)

    assert unfold(DEMO.seed).topics[-1] == RECALL
    assert share(NEW_TOPIC.first - 1) == 0
    assert 0.015 < share(NEW_TOPIC.first) < 0.05
    assert share(NEW_TOPIC.first + 13) > 0.055
    assert share(NEW_TOPIC.last + 1) == 0


def test_drafts_are_slower_and_nothing_else_is() -> None:
    before, slow = day(LATENCY.first - 1), day(LATENCY.first)
    for name, low, high in (("draft_reply", 1.25, 1.5), ("answer", 0.9, 1.1)):
        one, two = (
            statistics.median(
                row["latency_ms"] for row in feature(rows, name) if row["fallback_level"] == "none"
            )
            for rows in (before, slow)
        )
        assert low < two / one < high


def test_answers_leak_and_only_then() -> None:
    def leaks(number: int) -> int:
        rows = day(number)
        known = sum(leaked for _, leaked in truths([row["id"] for row in rows], DEMO, FIRST))
        seen = sum(
            any(one.kind in ("email", "phone") for one in find(row["output"])) for row in rows
        )
        assert seen == known
        return seen

    assert leaks(LEAK.first - 1) == 0
    assert leaks(LEAK.first) >= 3


def test_another_build_answers_and_is_worse() -> None:
    before, changed = day(PROVIDER.first - 1), day(PROVIDER.first)

    def builds(rows: list[dict[str, Any]]) -> set[str]:
        asked = [row for row in rows if row.get("request_model") == "nw-large"]
        return {row["response_model"] for row in asked if row.get("response_model")}

    def good(rows: list[dict[str, Any]]) -> float:
        kinds = truths([row["id"] for row in feature(rows, "draft_reply")], DEMO, FIRST)
        return statistics.fmean(TRUTH[kind].good for kind, _ in kinds)

    assert builds(before) == {"nw-large-0302"}
    assert builds(changed) == {"nw-large-0611"}
    assert good(before) - good(changed) > 0.12
    assert means(feature(before, "answer"), "accepted") == pytest.approx(
        means(feature(changed, "answer"), "accepted"), abs=0.1
    )


def test_summaries_become_dearer() -> None:
    before, dear = (
        means(feature(day(number), "summarise_ticket"), "cost_usd")
        for number in (COST.first - 1, COST.last)
    )
    assert 1.4 < dear / before < 2.2


def test_a_day_is_missing() -> None:
    assert day(MISSING.first) == []
    assert day(MISSING.first - 1) and day(MISSING.first + 1)


def test_a_stale_judge_is_a_matter_for_people() -> None:
    """The wrong answers look right: a passage was taken, but not the one that was asked about."""
    number = STALE_JUDGE.first + 3
    rows = feature(day(number), "answer")
    kinds = truths([row["id"] for row in rows], DEMO, FIRST)
    wrong = [row for row, (kind, _) in zip(rows, kinds, strict=True) if kind is Kind.WRONG_PASSAGE]
    assert 0.35 < len(wrong) / len(rows) < 0.55
    assert {row["prompt_version"] for row in wrong} == {"answer-5"}
    assert means(wrong, "task_completed") < 0.5 < means(wrong, "accepted")


def test_healthy_days_have_no_effect() -> None:
    healthy = effects(0)
    planted = (NEW_TOPIC, LATENCY, LEAK, PROVIDER, COST, MISSING, STALE_JUDGE)
    for number in range(91):
        if not any(number in span for span in planted):
            found = effects(number)
            assert (found.new_topic, found.slower, found.leak) == (0, 1, 0)
            assert (found.updated, found.missing, found.tokens) == (False, False, 1)
    assert healthy.rolled_out == 0 and effects(40).rolled_out == 1


# ── golden set, prompts, provider ────────────────────────────────────────────────────────────


def test_the_golden_set_is_judged_as_people_would() -> None:
    golden = golden_examples(DEMO, FIRST, 300)
    assert len(golden) == len({one.key for one in golden}) == 300
    assert golden == golden_examples(DEMO, FIRST, 300)
    assert 0.7 < statistics.fmean(one.label for one in golden) < 0.92
    assert sum(one.is_anchor for one in golden) == 60


def asked(prompt: str, on: date, repeat: str = "0") -> Asked:
    trace = {"prompt": prompt, "repeat": repeat, "day": on.isoformat()}
    return Asked("nw-large", (), {}, trace, 0)


def test_the_provider_is_right_until_its_update() -> None:
    prompts = regression_prompts(DEMO.seed)
    assert 100 <= len(prompts) == len({prompt.id for prompt in prompts})
    answer = answerer(DEMO.seed, FIRST)

    def correct(number: int) -> float:
        on = FIRST + timedelta(days=number)
        scores = [
            judge(prompt.check, answer(asked(prompt.id, on)).text).correct for prompt in prompts
        ]
        return statistics.fmean(score.value for score in scores)

    def promised(mix: Mapping[Kind, float]) -> float:
        """What the mix says, of the kinds that a regression prompt can have."""
        odd = mix[Kind.TRUNCATED] + mix[Kind.OFF_TOPIC] + mix[Kind.WRONG_PASSAGE]
        return (mix[Kind.GOOD] + mix[Kind.FAIR] + mix[Kind.BROKEN]) / (sum(mix.values()) - odd)

    assert correct(0) == pytest.approx(promised(HEALTHY), abs=0.08)
    assert correct(PROVIDER.first) == pytest.approx(promised(WORSE), abs=0.12)
    assert correct(PROVIDER.last + 1) > correct(PROVIDER.last)
    told = answer(asked(prompts[0].id, FIRST + timedelta(days=PROVIDER.first)))
    assert told.model == "nw-large-0611"
    assert answer(asked(prompts[0].id, FIRST)) == answer(asked(prompts[0].id, FIRST))


# ── the scorecard ────────────────────────────────────────────────────────────────────────────


def found(metric: str, first: int, last: int | None = None, **labels: str) -> FoundIncident:
    opened = FIRST + timedelta(days=first)
    told = FIRST + timedelta(days=first if last is None else last)
    grain = Grain.DAY if last is None else Grain.WEEK
    return FoundIncident("a_rule", metric, labels, grain, opened, told)


def test_the_plan_covers_what_can_go_wrong() -> None:
    entries = plan(FIRST, 13)
    assert [one.key for one in entries] == [
        *("new_topic", "latency", "leak", "provider_update", "cost", "missing_day"),
        "stale_judge",
    ]
    assert all(one.first <= one.last and one.first <= one.due for one in entries)
    assert [one.key for one in plan(FIRST, 6)] == ["new_topic", "latency"]


@pytest.mark.parametrize(
    ("incidents", "key", "delay", "late"),
    [
        ([], "leak", None, False),
        ([found("safety.pass_rate", LEAK.first, scorer="pii")], "leak", 0, False),
        ([found("safety.pass_rate", LEAK.first + 1, scorer="pii")], "leak", 1, False),
        ([found("safety.pass_rate", LEAK.first + 3, scorer="pii")], "leak", 3, True),
        ([found("safety.pass_rate", LEAK.first - 1, scorer="pii")], "leak", None, False),
        ([found("safety.pass_rate", LEAK.first, scorer="refusal")], "leak", None, False),
        ([found("drift.embedding.mmd", 28, 34)], "new_topic", 6, False),
        ([found("drift.embedding.mmd", 28)], "new_topic", None, False),
    ],
)
def test_what_counts_as_found(
    incidents: list[FoundIncident], key: str, delay: int | None, late: bool
) -> None:
    card = score(plan(FIRST, 13), incidents)
    line = next(line for line in card.lines if line.planted.key == key)
    assert (line.delay_days, line.late) == (delay, late)
    assert (line.rule is None) == (delay is None)


def test_what_nothing_planted_explains_is_false() -> None:
    quiet = found("safety.pass_rate", 25, scorer="toxicity")
    side = found("operations.completion_rate", PROVIDER.first + 2)
    card = score(plan(FIRST, 13), [quiet, side])
    assert card.false == (quiet,)
    line = next(line for line in card.lines if line.planted.key == "provider_update")
    assert line.rule is None, "a side effect explains an incident, it does not find the cause"
    assert line.incidents == 1


def test_every_expected_metric_is_one_that_a_rule_reads() -> None:
    """A signal that no rule can raise would be a promise that nobody keeps."""
    import tomllib
    from fnmatch import fnmatchcase
    from pathlib import Path

    default = Path(__file__).parent.parent / "tidegauge.toml"
    ruled = {rule["metric"] for rule in tomllib.loads(default.read_text())["rules"]}

    def can(signal: Signal) -> bool:
        return any(fnmatchcase(metric, signal.metric) for metric in ruled)

    assert all(any(can(signal) for signal in one.expects) for one in plan(FIRST, 13))


def test_the_week_has_a_season() -> None:
    counts = Counter[bool]()
    for number in range(14):
        on = FIRST + timedelta(days=number)
        counts[on.weekday() >= 5] += rows_on(on, DEMO, FIRST)
    assert counts[True] / 4 < counts[False] / 10
