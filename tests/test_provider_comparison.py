"""GPT's real change of 2023 is found and named; the same model answering twice is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from monitors.provider.baselines import Answer, approve, pin
from monitors.provider.comparison import provider
from monitors.provider.effects import compare, permutation_p
from monitors.provider.extras import meaning
from monitors.provider.prompts import Prompt
from monitors.provider.recorded import Answered, Asked, RecordedProvider
from monitors.provider.replay import replay
from monitors.provider.verdict import ALPHA, Moved, compare_answers
from monitors.settings import ProviderSettings
from sql.store import Store
from tests.provider_kit import DAY, context_for, llmdrift, settings_for

PRICED = ProviderSettings(
    base_url="http://127.0.0.1:9/v1",
    model="m",
    pin="main",
    prompts="p.jsonl",
    usd_per_million_input_tokens=30,
    usd_per_million_output_tokens=60,
)
CHANGES = [
    ("primes", "gpt-4-0314", "gpt-4-0613"),
    ("primes", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613"),
    ("code", "gpt-4-0314", "gpt-4-0613"),
    ("code", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613"),
]


def moved(found: Sequence[Moved]) -> set[str]:
    return {each.feature.name for each in found if each.moved}


def singly(answers: Mapping[str, Answer]) -> dict[str, tuple[Answer]]:
    return {prompt_id: (answer,) for prompt_id, answer in answers.items()}


def subset(prompts: Sequence[Prompt], count: int, rng: np.random.Generator) -> list[Prompt]:
    return [prompts[i] for i in rng.choice(len(prompts), count, replace=False)]


# ── real answers ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("task", "count", "expected"),
    [("primes", 100, {"correctness", "length"}), ("code", 50, {"format"})],
)
def test_gpt_4_of_june_against_march_over_http(
    store: Store, tmp_path: Path, real_data: Path, task: str, count: int, expected: set[str]
) -> None:
    pytest.importorskip("openai")
    prompts, march = llmdrift(real_data, task, "gpt-4-0314")
    _, june = llmdrift(real_data, task, "gpt-4-0613")
    # The file has all of one answer first; every so manyth prompt keeps its mix of both.
    prompts = prompts[:: len(prompts) // count]
    assert len(prompts) == count
    playing = {"answers": march}

    def answer(asked: Asked) -> Answered:
        said = playing["answers"][asked.trace["prompt"]]
        return Answered(
            said.text,
            model=said.model,
            input_tokens=said.input_tokens,
            output_tokens=said.output_tokens,
        )

    with RecordedProvider(answer) as server:
        context = context_for(settings_for(tmp_path, prompts, server), store)
        section = context.settings.providers["p"]
        made = pin("main", section, prompts, 1, "March", "ada", context)
        approve("main", made.digest, "grace", "good", context)
        playing["answers"] = june
        replay("p", DAY, context)
    found = {item.metric: item for item in provider.measure(DAY, context)}
    assert found["provider.drift"].value == 1
    assert expected <= set(found["provider.drift"].reason.split())
    assert found["provider.model_changed"].reason == "model"
    if task == "primes":
        assert found["provider.length"].value < 10 < found["provider.length"].baseline
        correctness = found["provider.correctness"]
        assert correctness.baseline == pytest.approx(0.84, abs=0.08)
        assert correctness.value == pytest.approx(0.50, abs=0.12)
    else:
        assert found["provider.format"].baseline - found["provider.format"].value > 0.5


@pytest.mark.parametrize(("task", "old", "new"), CHANGES)
def test_fifty_prompts_find_every_real_change(
    real_data: Path, task: str, old: str, new: str
) -> None:
    prompts, before = llmdrift(real_data, task, old)
    _, after = llmdrift(real_data, task, new)
    rng = np.random.default_rng(5)
    draws = 1 if task == "code" else 100  # there are only fifty code tasks
    hits = 0
    for _ in range(draws):
        chosen = subset(prompts, 50, rng)
        ids = {p.id for p in chosen}
        pinned = {i: (a,) for i, a in before.items() if i in ids}
        replayed = {i: (a,) for i, a in after.items() if i in ids}
        hits += bool(moved(compare_answers(chosen, pinned, replayed, PRICED, draws=9_999)))
    assert hits >= 0.98 * draws


@pytest.mark.parametrize(("task", "old", "new"), CHANGES)
def test_versions_dealt_at_random_are_no_drift(
    real_data: Path, task: str, old: str, new: str
) -> None:
    """Which of a prompt's two real answers is "today's" is tossed: nothing has changed."""
    prompts, before = llmdrift(real_data, task, old)
    _, after = llmdrift(real_data, task, new)
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(100):
        chosen = subset(prompts, 50, rng)
        pinned, replayed = {}, {}
        for prompt in chosen:
            pair = [before[prompt.id], after[prompt.id]]
            first = int(rng.integers(2))
            pinned[prompt.id], replayed[prompt.id] = (pair[first],), (pair[1 - first],)
        alarms += bool(moved(compare_answers(chosen, pinned, replayed, PRICED, draws=9_999)))
    assert alarms <= 1


# ── repeated answers of a random model ───────────────────────────────────────────────────────


def noisy(
    prompts: Sequence[Prompt], rate: Mapping[str, float], repeats: int, rng: np.random.Generator
) -> dict[str, tuple[Answer, ...]]:
    """Answers of a model that gets each prompt right with its own probability."""
    out = {}
    for prompt in prompts:
        good, bad = (
            prompt.check.reference,
            next(o for o in prompt.check.options if o != prompt.check.reference),
        )
        texts = []
        for _ in range(repeats):
            words = "word " * int(rng.lognormal(3, 0.6))
            texts.append(words + (good if rng.random() < rate[prompt.id] else bad))
        out[prompt.id] = tuple(
            Answer(text, output_tokens=len(text.split()), input_tokens=20, latency_ms=300.0)
            for text in texts
        )
    return out


def declared(draws: int, fall: float, seed: int, *, permutations: int = 9_999) -> float:
    from tests.provider_kit import questions

    rng = np.random.default_rng(seed)
    prompts = questions(60)
    hits = 0
    for _ in range(draws):
        rate = {p.id: float(rng.beta(4, 1)) for p in prompts}
        worse = {p: max(0.0, value - fall) for p, value in rate.items()}
        found = compare_answers(
            prompts,
            noisy(prompts, rate, 3, rng),
            noisy(prompts, worse, 1, rng),
            PRICED,
            draws=permutations,
            seed=int(rng.integers(2**31)),
        )
        hits += bool(moved(found))
    return hits / draws


def test_the_same_model_with_temperature_is_silent() -> None:
    assert declared(100, 0.0, 7) <= 0.01


@pytest.mark.slow
def test_the_same_model_is_silent_in_a_thousand_replays() -> None:
    assert declared(1_000, 0.0, 8) <= 0.01


def test_a_fall_of_forty_points_is_found_in_spite_of_the_noise() -> None:
    assert declared(30, 0.40, 9) >= 0.9


# ── the test itself ──────────────────────────────────────────────────────────────────────────


def test_p_values_are_uniform_under_no_change() -> None:
    rng = np.random.default_rng(10)
    p = [
        permutation_p(x[:, :3], x[:, 3:], draws=999, seed=i)
        for i in range(400)
        for x in [rng.normal(size=(40, 4)) + rng.normal(size=(40, 1))]
    ]
    for level in (0.05, 0.25, 0.5):
        share = np.mean(np.array(p) <= level)
        assert abs(share - level) <= 4 * np.sqrt(level * (1 - level) / 400)


def test_sign_flips_agree_with_the_exact_mcnemar_test() -> None:
    """12 prompts got worse, 2 better: the exact two-sided p-value is 2·P(Bin(14, ½) ≤ 2)."""
    pinned = np.array([[1.0]] * 12 + [[0.0]] * 2 + [[1.0]] * 30)
    replayed = np.array([[0.0]] * 12 + [[1.0]] * 2 + [[1.0]] * 30)
    exact = 2 * (1 + 14 + 91) / 2**14
    assert permutation_p(pinned, replayed, draws=199_999) == pytest.approx(exact, rel=0.08)


def test_dealing_several_replayed_answers_keeps_the_level() -> None:
    rng = np.random.default_rng(11)
    p = []
    for i in range(200):
        x = (rng.random((30, 5)) < rng.random((30, 1))).astype(float)
        p.append(permutation_p(x[:, :3], x[:, 3:], draws=499, seed=i))
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


@given(npst.arrays(float, (8, 3), elements=st.floats(0, 1)), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_an_effect_contains_its_estimate_and_turns_with_its_sides(
    values: np.ndarray, seed: int
) -> None:
    there = compare(values[:, :2], values[:, 2:], share=True, draws=199, seed=seed)
    back = compare(1 - values[:, :2], 1 - values[:, 2:], share=True, draws=199, seed=seed)
    assert there.low <= there.difference + 1e-12
    assert there.difference <= there.high + 1e-12
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.low == pytest.approx(-back.high, abs=1e-9)
    assert 0 < there.p <= 1


def test_no_change_at_all_still_has_a_width() -> None:
    same = np.ones((60, 1))
    effect = compare(same, same, share=True, draws=99)
    assert effect.p == 1
    assert effect.low < 0 < effect.high
    assert not effect.beyond(0.0)


def test_paired_intervals_cover() -> None:
    rng = np.random.default_rng(12)
    covered = 0
    for i in range(400):
        rate = rng.beta(6, 2, size=60)
        true = np.clip(rate - 0.1, 0, 1)
        x = (rng.random((60, 3)) < rate[:, None]).astype(float)
        y = (rng.random((60, 1)) < true[:, None]).astype(float)
        effect = compare(x, y, share=True, draws=19, seed=i)
        covered += effect.low <= float((true - rate).mean()) <= effect.high
    assert covered / 400 >= 0.93


def test_one_day_of_slow_network_is_no_drift() -> None:
    from tests.provider_kit import questions

    rng = np.random.default_rng(13)
    prompts = questions(60)
    rate = {p.id: 0.95 for p in prompts}
    slow = {
        prompt_id: tuple(replace(answer, latency_ms=900.0) for answer in answers)
        for prompt_id, answers in noisy(prompts, rate, 1, rng).items()
    }
    found = compare_answers(prompts, noisy(prompts, rate, 3, rng), slow, PRICED)
    latency = next(each for each in found if each.feature.name == "latency")
    assert latency.p <= ALPHA
    assert moved(found) == set()


# ── meaning ──────────────────────────────────────────────────────────────────────────────────


class Directions:
    """An embedding model for tests: the first letter of a text is its direction."""

    digest = "directions"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), 26), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row, ord(text[0]) - ord("a")] = 1.0
        return out


BY_MEANING = {"meaning": meaning(Directions())}


def meant(letters: str, count: int, seed: int, prompts: int = 40) -> dict[str, list[Answer]]:
    """Answers of one length whose meaning is drawn from ``letters``."""
    rng = np.random.default_rng(seed)
    return {
        f"q{k}": [Answer(str(rng.choice(list(letters))) + "nswer") for _ in range(count)]
        for k in range(prompts)
    }


def test_another_meaning_is_seen_where_nothing_else_differs() -> None:
    prompts = [Prompt(id=f"q{k}", input="?") for k in range(40)]
    before = meant("aaab", 3, 1)
    same = compare_answers(prompts, before, meant("aaab", 1, 2), PRICED, extras=BY_MEANING)
    assert moved(same) == set()
    other = compare_answers(prompts, before, meant("xyz", 1, 2), PRICED, extras=BY_MEANING)
    assert moved(other) == {"meaning"}
    assert moved(compare_answers(prompts, before, meant("xyz", 1, 2), PRICED)) == set()


def test_meaning_keeps_the_level() -> None:
    prompts = [Prompt(id=f"q{k}", input="?") for k in range(30)]
    small = 0
    for seed in range(200):
        found = compare_answers(
            prompts,
            meant("aabc", 3, 2 * seed, 30),
            meant("aabc", 1, 2 * seed + 1, 30),
            PRICED,
            extras=BY_MEANING,
            draws=999,
            seed=seed,
        )
        small += next(one.effect.p for one in found if one.feature.name == "meaning") <= 0.05
    assert small <= 20
