"""A planted change is found; a quiet week is silent; odd weeks have a name, not a crash."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from monitors.drift.categories import changes
from monitors.drift.cells import Histograms, category_counts, histograms
from monitors.drift.embeddings import compare
from monitors.drift.sketches import Categories, Numbers, Sketch
from monitors.statistics.days import histogram_test_by_day
from monitors.statistics.multiplicity import holm


def numbers(values: ArrayLike) -> Numbers:
    made = Numbers()
    made.add(np.asarray(values, dtype=float))
    return made


def labels(values: Sequence[str], missing: int = 0) -> Categories:
    made = Categories()
    made.add(Counter(values), missing)
    return made


def days(rng: np.random.Generator, count: int, rows: int, shift: float = 0.0) -> list[Numbers]:
    return [
        numbers(np.exp(rng.normal(4 + rng.normal(0, 0.05) + shift, 0.5, rows)).astype(int))
        for _ in range(count)
    ]


def p_value(found: Histograms | str) -> float:
    assert isinstance(found, Histograms)
    return histogram_test_by_day(found.reference, found.current)


def test_longer_inputs_are_found_and_quiet_weeks_are_not() -> None:
    rng = np.random.default_rng(5)
    past = days(rng, 21, 80)
    quiet = [p_value(histograms(past, days(rng, 7, 80))) for _ in range(40)]
    assert sum(p <= 0.001 for p in quiet) == 0
    assert p_value(histograms(past, days(rng, 7, 80, shift=0.4))) <= 0.001


def test_a_new_category_has_a_cell_of_its_own() -> None:
    past, week = [labels("ab" * 30), labels("a" * 40)], [labels("a" * 30 + "n"), labels("a" * 30)]
    found = histograms(past, week)
    assert isinstance(found, Histograms)
    ref, cur = found.reference, found.current
    assert (ref.sum(), cur.sum()) == (100, 61)
    assert np.any((ref.sum(axis=0) == 0) & (cur.sum(axis=0) == 1))
    assert category_counts(past, ["b"]).tolist() == [[30, 30], [0, 40]]


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (numbers([]), "no_values"),
        (numbers([np.nan] * 90), "no_values"),
        (numbers([7.0] * 90), "one_value"),
        (labels(["a"] * 90), "one_value"),
        (labels([], missing=90), "no_values"),
        (numbers([1.0, 2.0]), "too_few_rows"),
    ],
)
def test_columns_without_a_distribution_say_why(day: Sketch, reason: str) -> None:
    assert histograms([day] * 3, [day] * 3) == reason
    assert histograms([numbers(range(99))] * 3, [numbers(range(99))]) == "too_few_days"


@pytest.mark.slow
def test_a_new_intent_in_real_queries(real_data: Path, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from monitors.drift.embedder import SentenceEmbedder
    from sql.store import Store

    rows = json.loads((real_data / "clinc150" / "data_full.json").read_text())["train"]
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    embedder = SentenceEmbedder(store, lambda: datetime(2026, 6, 1, tzinfo=UTC))
    rng = np.random.default_rng(3)
    intents = sorted({intent for _, intent in rows})
    found = 0
    for seed, new in enumerate(["travel_alert", "pto_balance", "recipe", "oil_change_how"]):
        assert new in intents
        known = [text for text, intent in rows if intent != new]
        planted = [text for text, intent in rows if intent == new]
        order = rng.permutation(len(known))
        past = [known[i] for i in order[:1500]]
        current = [known[i] for i in order[1500:2250]]
        null = compare(embedder.embed(past), embedder.embed(current), seed=seed)
        assert min(holm([one.p_value for one in null])) > 0.001
        mixed = current[: 750 - 45] + planted[:45]
        changed = compare(embedder.embed(past), embedder.embed(mixed), seed=seed)
        found += min(holm([one.p_value for one in changed])) <= 0.001
    # Six in a hundred of 750 rows, at one in a thousand: nearly always, not always.
    assert found >= 3


# ── categories that came, went or exploded ───────────────────────────────────────────────────


def mixed(
    rng: np.random.Generator, count: int, shares: dict[str, float], rows: int = 200
) -> list[Categories]:
    """Days whose shares wobble by themselves."""
    made = []
    for _ in range(count):
        weights = np.array(list(shares.values())) * np.exp(rng.normal(0, 0.1, len(shares)))
        counts = rng.multinomial(rows, weights / weights.sum())
        made.append(labels(np.repeat(list(shares), counts).tolist()))
    return made


def test_what_is_new_vanished_and_exploded_is_named() -> None:
    rng = np.random.default_rng(2)
    before = mixed(rng, 21, {"a": 0.6, "b": 0.3, "c": 0.02, "gone": 0.08})
    after = mixed(rng, 7, {"a": 0.6, "b": 0.25, "c": 0.1, "fresh": 0.05})
    new, vanished, exploded = changes(before, after)
    assert (new.kind, new.names) == ("new", ("fresh",))
    assert (vanished.kind, vanished.names) == ("vanished", ("gone",))
    assert (exploded.kind, exploded.names) == ("exploded", ("c",))
    assert new.share[1] < 0.05 < new.share[2] and new.expected < 0.001
    assert vanished.share[1] < 0.08 < vanished.share[2]
    assert exploded.share[0] > 3 * exploded.expected > 0
    assert max(each.evidence for each in (new, vanished, exploded)) <= 0.0001


def test_the_chance_that_all_days_of_a_category_lie_in_the_week() -> None:
    before, after = [labels("a" * 60)] * 3, [labels("a" * 50 + "n"), labels("a" * 60)]
    new, vanished, _ = changes(before, after)
    assert new.evidence == pytest.approx(2 * 2 / 5), "two names, one day of five, two of them ours"
    assert vanished.names == () and vanished.evidence == 1.0 and vanished.share == (0.0, 0.0, 0.0)


def test_a_long_tail_comes_and_goes_without_a_word() -> None:
    """Of 300 categories dozens are in one window only; not one year in a hundred says so."""
    rng = np.random.default_rng(3)
    tail = {f"c{place}": 1 / (place + 1) for place in range(300)}
    least, shares, expected = [], [], []
    for _ in range(60):
        found = changes(mixed(rng, 21, tail), mixed(rng, 7, tail))
        assert len(found[0].names) > 0 and len(found[1].names) > 5
        least.append(min(each.evidence for each in found))
        shares.append([each.share[0] for each in found[:2]])
        expected.append([each.expected for each in found[:2]])
    assert min(least) > 0.0001
    assert np.mean(shares, axis=0) == pytest.approx(np.mean(expected, axis=0), rel=0.25)


def test_numbers_and_short_windows_have_no_categories() -> None:
    assert changes([numbers(range(90))] * 3, [numbers(range(90))] * 3) == []
    assert changes([labels("a" * 90)] * 3, [labels("a" * 90)]) == []
