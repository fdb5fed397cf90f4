"""A planted change is found; a quiet week is silent; odd weeks have a name, not a crash."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monitors.drift.embeddings import compare
from monitors.drift.inputs import Histograms, _categorical, _histograms
from monitors.logs.interaction import Batch
from monitors.statistics.days import histogram_test_by_day
from monitors.statistics.multiplicity import holm


def days(rng: np.random.Generator, count: int, rows: int, shift: float = 0.0) -> list[Batch]:
    made = []
    for _ in range(count):
        wobble = rng.normal(0, 0.05)
        sizes = np.exp(rng.normal(4 + wobble + shift, 0.5, rows)).astype(int)
        made.append(Batch({"input": ["x" * int(size) for size in sizes], "output": [""] * rows}))
    return made


def p_value(histograms: Histograms | None) -> float:
    assert histograms is not None
    return histogram_test_by_day(histograms.reference, histograms.current)


def test_longer_inputs_are_found_and_quiet_weeks_are_not() -> None:
    rng = np.random.default_rng(5)
    past = days(rng, 21, 80)
    quiet = [p_value(_histograms("input_characters", past, days(rng, 7, 80))) for _ in range(40)]
    assert sum(p <= 0.001 for p in quiet) == 0
    moved = _histograms("input_characters", past, days(rng, 7, 80, shift=0.4))
    assert p_value(moved) <= 0.001


def test_a_new_category_has_a_cell_of_its_own() -> None:
    ref, cur = _categorical([["a", "b"], ["a"]], [["a", "new"]])
    assert ref.sum() == 3
    assert cur.sum() == 2
    assert np.any((ref.sum(axis=0) == 0) & (cur.sum(axis=0) == 1))


@pytest.mark.parametrize("texts", [[], ["same"] * 90, [None] * 90])
def test_columns_without_a_distribution_are_passed_over(texts: list[str | None]) -> None:
    batch = Batch({"input": texts, "output": texts})
    assert _histograms("input_characters", [batch] * 3, [batch] * 3) is None


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
