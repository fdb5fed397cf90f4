"""The draw keeps its promised probabilities, so that what labels say of the traffic is unbiased."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.review.assignment import assign
from monitors.review.design import Candidate, draw, inclusion

scores = st.one_of(st.none(), st.floats(0, 1))
candidates = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0.01, 1), scores), min_size=1, max_size=300
).map(lambda rows: [Candidate(f"i{n:04d}", s, p, j) for n, (s, p, j) in enumerate(rows)])


def month(count: int, seed: int, *, auc_like: float = 3.0) -> tuple[list[Candidate], np.ndarray]:
    """A month's sample with honest judge scores, and what people would say of each item."""
    rng = np.random.default_rng(seed)
    p = rng.beta(auc_like, 0.8, size=count)
    first = rng.choice([0.02, 0.05, 0.2], size=count)
    truth = (rng.random(count) < p).astype(float)
    made = [Candidate(f"i{n:05d}", f"s{n % 4}", float(first[n]), float(p[n])) for n in range(count)]
    return made, truth


@given(candidates, st.integers(1, 300), st.floats(0.05, 1), st.integers(0, 5))
@settings(max_examples=120, deadline=None)
def test_size_probabilities_and_repetition(
    items: list[Candidate], size: int, core: float, seed: int
) -> None:
    wanted = min(size, len(items))
    second = inclusion(items, size, core=core)
    assert second.sum() == pytest.approx(wanted)
    assert ((second > 0) & (second <= 1 + 1e-12)).all()
    design = draw(items, size, core=core, seed=str(seed))
    assert len({c.item_id for c in design.chosen}) == len(design.chosen) == wanted
    expected = {c.item_id: c.first_stage * p for c, p in zip(items, second, strict=True)}
    assert all(c.probability == pytest.approx(expected[c.item_id]) for c in design.chosen)
    assert draw(items, size, core=core, seed=str(seed)) == design


def test_items_come_as_often_as_promised() -> None:
    items, _ = month(120, 1)
    second = inclusion(items, 40, core=0.4)
    draws = 3_000
    seen: Counter[str] = Counter()
    core: Counter[str] = Counter()
    for seed in range(draws):
        for chosen in draw(items, 40, core=0.4, seed=str(seed)).chosen:
            seen[chosen.item_id] += 1
            core[chosen.item_id] += chosen.kind == "core"
    weights = 1 / np.array([c.first_stage for c in items])
    even = 0.4 * 40 * weights / weights.sum()
    for item, p, q in zip(items, second, even, strict=True):
        assert abs(seen[item.item_id] / draws - p) < 4.5 * np.sqrt(p * (1 - p) / draws) + 1e-9
        assert abs(core[item.item_id] / draws - q) < 4.5 * np.sqrt(q * (1 - q) / draws)


def test_estimates_are_unbiased_and_as_wide_as_promised() -> None:
    items, truth = month(3_000, 2)
    by_id = dict(zip((c.item_id for c in items), truth, strict=True))
    weights = 1 / np.array([c.first_stage for c in items])
    judge = np.array([c.judge for c in items])
    actual = float(weights @ truth / weights.sum())
    helped, raw = [], []
    for seed in range(600):
        design = draw(items, 200, core=0.4, seed=str(seed))
        y = np.array([by_id[c.item_id] for c in design.chosen])
        f = np.array([c.judge for c in design.chosen])
        w = 1 / np.array([c.probability for c in design.chosen])
        helped.append(float(weights @ judge + w @ (y - f)) / weights.sum())
        raw.append(float(y.mean()))
    assert abs(np.mean(helped) - actual) < 0.003
    assert abs(np.mean(raw) - actual) > 0.02  # an unweighted mean of doubtful items is far off
    # The promise counts the sampling of the month itself too, which is fixed here.
    assert 2 * 1.96 * np.std(helped) < design.expected_width < design.people_width


def test_every_stratum_has_its_share() -> None:
    items, _ = month(2_000, 3)
    second = inclusion(items, 200, core=0.4)
    wanted: Counter[str] = Counter()
    for item, p in zip(items, second, strict=True):
        wanted[item.stratum] += p
    for seed in range(20):
        got = Counter(c.stratum for c in draw(items, 200, core=0.4, seed=str(seed)).chosen)
        assert all(abs(got[s] - wanted[s]) <= 2 for s in wanted)


def test_doubt_is_looked_at_and_certainty_not_forgotten() -> None:
    items = [Candidate(f"i{n:04d}", "s", 0.05, 0.5 if n % 10 == 0 else 0.99) for n in range(2_000)]
    second = inclusion(items, 200, core=0.2)
    assert second[0] > 2 * second[1] > 0
    assert draw([], 200, core=0.4, seed="x").chosen == ()


@given(st.integers(0, 500), st.integers(2, 7), st.floats(0.01, 1), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_overlap_is_exact_loads_are_even_and_pairs_rotate(
    count: int, people: int, overlap: float, seed: int
) -> None:
    ids = [f"i{n}" for n in range(count)]
    names = [f"p{n}" for n in range(people)]
    places = assign(ids, names, overlap=overlap, seed=str(seed))
    raters: dict[str, list[str]] = {}
    for place in places:
        raters.setdefault(place.item_id, []).append(place.evaluator)
    assert set(raters) == set(ids)
    assert sum(len(who) == 2 for who in raters.values()) == round(overlap * count)
    assert all(len(set(who)) == len(who) for who in raters.values())
    load = Counter(dict.fromkeys(names, 0)) + Counter(place.evaluator for place in places)
    assert max(load.values(), default=0) - min((load[n] for n in names), default=0) <= 2
    pairs = Counter(frozenset(who) for who in raters.values() if len(who) == 2)
    if pairs:
        possible = people * (people - 1) // 2
        fewest = min(pairs.values()) if len(pairs) == possible else 0
        assert max(pairs.values()) - fewest <= 1
    assert places == assign(ids, names, overlap=overlap, seed=str(seed))


def test_a_review_needs_two_people() -> None:
    for names in (["eva"], ["eva", "eva"]):
        with pytest.raises(ValueError, match="two different"):
            assign(["a"], names, overlap=0.3, seed="s")


def test_nobody_rates_what_they_must_not() -> None:
    items = [f"i{n}" for n in range(60)]
    barred = {item: {"eva", "finn"} for item in items[::3]}
    people = ["eva", "finn", "grace", "hugo"]
    places = assign(items, people, overlap=0.5, seed="s", barred=barred)
    assert len(places) == 90
    assert not any(place.evaluator in barred.get(place.item_id, ()) for place in places)
    with pytest.raises(ValueError, match="no two people"):
        assign(items, people[:2], overlap=0.5, seed="s", barred=barred)
