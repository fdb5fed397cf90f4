"""A question that is asked again: the same answer, another one, and what does not count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.context import Context
from monitors.drift.embedder import SentenceEmbedder
from monitors.logs.draw import draw_sample
from monitors.quality.consistency import clustered_share, consistency
from monitors.quality.same_answer import agree, question
from sql.measurement import Measurement, Status
from sql.store import Store
from tests.logs_kit import DAY, NOW, context_over, days, fill, row
from tests.test_quality_days import HashEmbedder

LONG = "You can send it back within thirty days, and the money is with you five days later."
OTHER = "Ask the seller, who may or may not take it; we have nothing to do with such parcels."
LAST = DAY.shift(6)


# ── two answers ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("Yes", "yes.", True),
        ("Yes", "No", False),
        ("42", "It is 42.", True),
        ("$1,200", "1200", True),
        ("42 days", "42 hours", False),
        ("42 days", "43 days", False),
        ("42", "forty-two", False),
        (LONG, f"  {LONG.upper()}\n", True),
        (LONG, OTHER, None),
        ("Yes", LONG, None),
        ("…", "!", False),
    ],
)
def test_short_answers_agree_by_words_and_numbers(
    one: str, other: str, verdict: bool | None
) -> None:
    assert agree(one, other) is verdict
    assert agree(other, one) is verdict


@given(st.text(max_size=80), st.text(max_size=80))
def test_agreement_knows_no_order_and_everything_agrees_with_itself(one: str, other: str) -> None:
    assert agree(one, one) is True
    assert agree(one, other) is agree(other, one)


def test_a_question_is_more_than_a_word_and_holds_no_placeholder() -> None:
    assert question("  Where is\nMY parcel? ") == question("where is my parcel?")
    assert question("Where is my parcel?") != question("Where is my parcel")
    for none in (None, "", "yes", "go on", "Where is the order of [EMAIL]?"):
        assert question(none) is None


# ── the interval ─────────────────────────────────────────────────────────────────────────────


def test_the_interval_takes_questions_not_pairs_for_observations() -> None:
    """Questions that differ in how far their answers agree, three answers each: 0.7 in truth."""
    rng, covered, widths = np.random.default_rng(6), [], []
    for _ in range(800):
        own = rng.beta(0.7, 0.3, 60)
        mean, low, high = clustered_share([rng.binomial(1, p, 3).astype(float) for p in own])
        assert 0 <= low <= mean <= high <= 1
        covered.append(low <= 0.7 <= high)
        widths.append(high - low)
    assert 0.93 <= np.mean(covered) <= 0.975
    pairs = 2 * 1.96 * np.sqrt(0.7 * 0.3 / 180)
    assert np.mean(widths) > 1.25 * pairs


def test_agreement_everywhere_is_no_certainty() -> None:
    mean, low, high = clustered_share([np.ones(3)] * 20)
    assert (mean, high) == (1.0, 1.0) and low == pytest.approx(0.839, abs=0.001)


# ── the monitor ──────────────────────────────────────────────────────────────────────────────


def asked_again(number: int, outputs: list[str], **other: Any) -> Iterator[dict[str, Any]]:
    """One question, an answer on each day from the first on."""
    for day, output in enumerate(outputs):
        yield row(
            number * 100 + day,
            DAY.shift(day),
            of=10**6,
            input=f"How long may I keep item {number}?",
            output=output,
            **other,
        )


@contextmanager
def over(
    store: Store, folder: Path, rows: list[dict[str, Any]], model: Any = None
) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    fill(url, rows)
    with context_over(store, url, sampling={"rate": 1.0, "force": True}) as base:
        context = replace(base, embedder=lambda: model) if model else base
        for window in days(8):
            draw_sample(window, context)
        yield context


def told(context: Context, window: Any = LAST) -> dict[str, Measurement]:
    found = consistency.measure(window, context)
    return {m.labels.get("feature", ""): m for m in found}


def test_questions_that_are_answered_otherwise_are_counted_by_feature(
    store: Store, tmp_path: Path
) -> None:
    rows = []
    for number in range(30):
        rows += asked_again(number, [LONG, LONG.lower(), LONG], feature="chat")
        second = OTHER if number % 3 == 0 else LONG
        rows += asked_again(100 + number, [LONG, second], feature="mail")
    with over(store, tmp_path, rows, HashEmbedder()) as context:
        found = told(context)
        assert told(context) == found
    assert (found["chat"].value, found["chat"].n) == (1.0, 30)
    assert found["mail"].value == pytest.approx(2 / 3)
    assert found["mail"].low < 2 / 3 < found["mail"].high < 0.85
    assert found[""].value == pytest.approx((90 + 20) / 120) and found[""].n == 60
    assert found[""].status is Status.COMPLETE


def test_exact_and_short_answers_need_no_model(store: Store, tmp_path: Path) -> None:
    rows = []
    for number in range(30):
        rows += asked_again(number, ["30 days", "30 days." if number % 2 else "31 days"])
    with over(store, tmp_path, rows) as context:
        assert told(context)[""].value == 0.5


def test_a_popular_question_is_one_of_many(store: Store, tmp_path: Path) -> None:
    rows = [
        row(n, input="What is your telephone number?", output=f"{n} {LONG}", feature="chat")
        for n in range(300)
    ]
    for number in range(1, 21):
        rows += asked_again(number * 10, [LONG, LONG], feature="chat")
    with over(store, tmp_path, rows, HashEmbedder()) as context:
        found = told(context)[""]
    # Ten of the three hundred make 45 pairs.
    assert found.value == pytest.approx(20 / (20 + 45)) and found.n == 21


def test_what_is_no_second_answer_does_not_count(store: Store, tmp_path: Path) -> None:
    rows = []
    for number in range(25):
        rows += asked_again(number, [LONG] * 2, feature="chat")
        rows += [
            row(
                5_000 + 10 * number + place,
                DAY.shift(1),
                of=10**6,
                input=f"How long may I keep item {number}?",
                **{"output": OTHER, "feature": "chat", **other},
            )
            for place, other in enumerate(
                (
                    {"output": ""},
                    {"error_type": "timeout"},
                    {"shadow_of": "r1"},
                    {"feature": "mail"},
                )
            )
        ]
        # A week and more ago is another week; tomorrow has not come.
        rows += [
            row(
                9_000 + number,
                DAY.shift(7),
                of=10**6,
                input=f"How long may I keep item {number}?",
                output=OTHER,
                feature="chat",
            )
        ]
    with over(store, tmp_path, rows, HashEmbedder()) as context:
        found = told(context)
        assert set(found) == {"", "chat"} and found[""].value == 1.0
        # From the second to the eighth day: one answer of the first two, and the last.
        assert told(context, DAY.shift(7))[""].value == 0.0


def test_few_repeats_are_insufficient_and_none_no_data(store: Store, tmp_path: Path) -> None:
    rows = [*asked_again(1, ["1", "1"]), *asked_again(2, ["1", "2"]), row(900)]
    with over(store, tmp_path, rows) as context:
        few = told(context)[""]
        none = told(context, DAY)[""]
    assert (few.status, few.reason, few.n, few.value) == (Status.INSUFFICIENT, "too_few", 2, 0.5)
    assert (none.status, none.reason) == (Status.NO_DATA, "no_repeats")


def test_the_bundled_model_tells_a_paraphrase_from_another_answer(
    store: Store, tmp_path: Path
) -> None:
    again = "You may return it within thirty days; five days later you have your money back."
    rows = []
    for number in range(20):
        rows += asked_again(number, [LONG, again], feature="same")
        rows += asked_again(50 + number, [LONG, OTHER], feature="other")
    with over(store, tmp_path, rows, SentenceEmbedder(store, lambda: NOW)) as context:
        found = told(context)
    assert found["same"].value == 1.0
    assert found["other"].value == 0.0
