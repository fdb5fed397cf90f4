"""A week of replays together: exact, quiet without a change, and sharper than one day."""

from __future__ import annotations

from itertools import combinations, product
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.provider.baselines import Answer
from monitors.provider.effects import exact_p, permutation_p
from monitors.provider.recorded import RecordedProvider
from monitors.provider.replay import replay
from monitors.provider.slide import ALPHA, provider_slide, slides
from monitors.provider.verdict import compare_answers
from sql.measurement import Status
from sql.store import Store
from tests.provider_kit import DAY, questions, right, settings_for
from tests.test_provider_replay import pinned, said, served_by


def test_one_prompt_is_fishers_exact_test() -> None:
    """r = 2, m = 2, both of the pin right and neither of today's: 2 of the 6 dealings."""
    p = exact_p(np.array([[1.0, 1.0]]), np.array([[0.0, 0.0]]))
    assert p == pytest.approx(2 / comb(4, 2))


@given(
    seed=st.integers(0, 10_000),
    prompts=st.integers(1, 4),
    r=st.integers(1, 3),
    m=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_it_is_every_dealing_counted(seed: int, prompts: int, r: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    before = (rng.random((prompts, r)) < 0.7).astype(int)
    after = (rng.random((prompts, m)) < 0.4).astype(int)
    hands = [list(combinations([*x, *y], r)) for x, y in zip(before, after, strict=True)]
    sums = np.array([sum(sum(hand) for hand in dealt) for dealt in product(*hands)])
    far = np.abs(sums - sums.mean()) >= abs(before.sum() - sums.mean()) - 1e-9
    assert exact_p(before.astype(float), after.astype(float)) == pytest.approx(far.mean())


@given(
    seed=st.integers(0, 10_000),
    prompts=st.integers(20, 200),
    r=st.integers(1, 4),
    m=st.integers(1, 8),
    fall=st.floats(0, 0.3),
)
@settings(max_examples=25, deadline=None)
def test_drawing_comes_near_to_it(seed: int, prompts: int, r: int, m: int, fall: float) -> None:
    """A hundred draws as extreme stop the drawing: that is within ± 4 parts in ten."""
    rng = np.random.default_rng(seed)
    before = (rng.random((prompts, r)) < 0.8).astype(float)
    after = (rng.random((prompts, m)) < 0.8 - fall).astype(float)
    drawn = permutation_p(before, after, draws=20_000, seed=seed)
    assert exact_p(before, after) == pytest.approx(drawn, rel=0.4, abs=0.0015)


def test_the_level_holds() -> None:
    rng = np.random.default_rng(3)
    chance = rng.beta(4, 1, size=(400, 100, 1))
    p = np.array(
        [
            exact_p(
                (rng.random((100, 3)) < one).astype(float),
                (rng.random((100, 7)) < one).astype(float),
            )
            for one in chance
        ]
    )
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(p))
    assert (p <= 0.5).mean() > 0.35, "and it is not merely careful"


def spoken(chance: np.ndarray, rng: np.random.Generator, count: int) -> dict[str, list[Answer]]:
    """``count`` answers to each question, each right with its prompt's chance."""
    prompts = questions(len(chance))
    wrong = {"[Yes]": "[No]", "[No]": "[Yes]"}
    return {
        p.id: [
            Answer(right(p.id) if rng.random() < c else wrong[right(p.id)]) for _ in range(count)
        ]
        for p, c in zip(prompts, chance, strict=True)
    }


def test_ten_points_are_seen_in_a_week_and_seldom_in_a_day(tmp_path: Path) -> None:
    prompts = questions(200)
    section = settings_for(tmp_path, prompts).providers["p"]
    week, day = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        chance = rng.beta(4, 1, size=200)
        before = spoken(chance, rng, 3)
        after = spoken(np.clip(chance - 0.12, 0, 1), rng, 7)
        week += any(one.moved for one in slides(prompts, before, after, section))
        today = {key: answers[:1] for key, answers in after.items()}
        found = compare_answers(prompts, before, today, section, draws=4_999)
        day += any(one.moved and one.feature.name == "correctness" for one in found)
    assert week >= 17
    assert day < week


def test_no_change_is_no_slide(tmp_path: Path) -> None:
    prompts = questions(60)
    section = settings_for(tmp_path, prompts).providers["p"]
    alarms = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        chance = rng.beta(4, 1, size=60)
        before, after = spoken(chance, rng, 3), spoken(chance, rng, 7)
        alarms += any(one.moved for one in slides(prompts, before, after, section))
    assert alarms <= 1
    assert ALPHA * 365 < 0.1


def test_the_week_speaks_after_five_days(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    context = pinned(store, tmp_path)
    with RecordedProvider(said) as server:
        there = served_by(context, server)
        for count in range(6):
            replay("p", DAY.shift(count), there)
    found = {
        count: next(iter(provider_slide.measure(DAY.shift(count), context))) for count in (3, 4, 5)
    }
    assert (found[3].status, found[3].reason) == (Status.INSUFFICIENT, "few_days")
    assert found[4].value == found[5].value == 0
    assert found[5].n == 40
