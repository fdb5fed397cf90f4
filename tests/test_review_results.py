"""Labels correct a judge that is too kind, agree with one that is right, and unmask a lazy one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from monitors.context import Context
from monitors.review.batch import make_batch
from monitors.review.design import Candidate, draw
from monitors.review.evaluation import evaluation, labels_needed
from monitors.review.golden import Golden, import_golden, list_golden
from monitors.review.review import review, review_of_week
from monitors.statistics.intervals import mean_interval
from monitors.statistics.prediction_powered import ppi_mean
from monitors.web import reviews
from sql.errors import ConfigurationError
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import sample
from sql.window import Window
from tests.review_kit import MONTH, NOW, QUARTER, fill_month, rate_all, review_context


def a_month(
    context: Context,
    *,
    share: float = 0.8,
    kindness: float = 0.0,
    sharp: float = 6.0,
    seed: int = 3,
) -> dict[str, float]:
    """1,500 items of which ``share`` are good; the judge sees it, ``kindness`` too kindly."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(1_500) < share).astype(float)
    good, bad = rng.beta(sharp, 1, 1_500), rng.beta(1, sharp, 1_500)
    judge = np.clip(np.where(truth > 0.5, good, bad) + kindness, 0.01, 0.99)
    ids = fill_month(context, list(truth), list(judge))
    return dict(zip(ids, truth, strict=True))


def by_metric(found: Sequence[Measurement]) -> dict[tuple[str, ...], Measurement]:
    return {(item.metric, *item.labels.values()): item for item in found}


# ── the month ────────────────────────────────────────────────────────────────────────────────


def test_before_people_rated_there_is_no_data(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    (only,) = review.measure(MONTH, context)
    assert (only.status, only.reason) == (Status.NO_DATA, "no_batch")
    a_month(context)
    make_batch(MONTH, context)
    (only,) = review.measure(MONTH, context)
    assert (only.status, only.reason) == (Status.NO_DATA, "no_labels")


def test_an_honest_judge_is_confirmed(store: Store, tmp_path: Path) -> None:
    """Of the items to which the judge gives p, the share p is good: there is nothing to correct."""
    context = review_context(store, tmp_path, size=200)
    rng = np.random.default_rng(4)
    judge = rng.beta(0.8, 0.2, 1_500)
    good = (rng.random(1_500) < judge).astype(float)
    truth = dict(zip(fill_month(context, list(good), list(judge)), good, strict=True))
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth)
    found = by_metric(review.measure(MONTH, context))
    quality = found["review.quality", "judge"]
    assert quality.status is Status.COMPLETE
    assert quality.low <= np.mean(list(truth.values())) <= quality.high
    assert quality.low <= quality.baseline <= quality.high
    assert (found["review.items",].value, found["review.items",].baseline) == (200, 200)
    assert found["review.agreement", "accuracy"].value == 1
    assert found["review.agreement", "accuracy"].low < 1
    assert found["review.seconds_per_item",].value == 60


def test_intervals_of_designed_batches_cover_and_are_narrow() -> None:
    """A sharp but uncalibrated judge: the aimed, weighted batch covers, and halves the width."""
    rng = np.random.default_rng(6)
    covered, widths, alone = 0, [], []
    for draw_number in range(200):
        truth = (rng.random(1_500) < 0.8).astype(float)
        judge = np.where(truth > 0.5, rng.beta(6, 1, 1_500), rng.beta(1, 6, 1_500))
        first = np.where(rng.random(1_500) < 0.3, 0.02, 0.05)
        items = [Candidate(f"{n:05d}", "s", first[n], judge[n]) for n in range(1_500)]
        chosen = draw(items, 200, core=0.4, seed=str(draw_number)).chosen
        places = [int(item.item_id) for item in chosen]
        weights = [1 / item.probability for item in chosen]
        _, low, high = ppi_mean(truth[places], judge[places], judge, weights, 1 / first)
        covered += low <= 0.8 <= high
        widths.append(high - low)
        random = rng.choice(1_500, 200, replace=False)
        _, low, high = mean_interval(truth[random], 1 / first[random], bounded=True)
        alone.append(high - low)
    assert covered / 200 >= 0.92
    assert np.mean(widths) < 0.6 * np.mean(alone)


def test_a_judge_that_is_too_kind_is_corrected(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, size=200)
    truth = a_month(context, share=0.6, kindness=0.35)
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth)
    quality = by_metric(review.measure(MONTH, context))["review.quality", "judge"]
    assert quality.baseline > 0.7
    assert quality.high < quality.baseline
    assert quality.low <= np.mean(list(truth.values())) <= quality.high


def test_each_feature_with_enough_labels_has_its_own_quality(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, size=200)
    truth = a_month(context)
    with store.begin() as connection:
        for item_id in truth:
            number = int(item_id[1:])
            feature = "rare" if number % 40 == 1 else "ask" if number % 3 else "sum"
            connection.execute(
                update(sample)
                .where(sample.c.item_id == item_id)
                .values(fields={"feature": feature})
            )
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth)
    found = by_metric(review.measure(MONTH, context))
    for feature in ("ask", "sum"):
        one = found["review.feature_quality", feature, "judge"]
        assert one.status is Status.COMPLETE
        assert one.low <= one.value <= one.high
    assert found["review.feature_quality", "rare", "judge"].reason == "few_labels"
    parts = [
        found["review.feature_quality", feature, "judge"].n for feature in ("ask", "sum", "rare")
    ]
    assert sum(parts) == found["review.quality", "judge"].n


def test_few_ratings_are_not_enough(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    truth = a_month(context)
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth, share=0.1)
    found = by_metric(review.measure(MONTH, context))
    assert found["review.quality", "judge"].status is Status.INSUFFICIENT
    assert found["review.krippendorff_alpha", "tone"].status is Status.INSUFFICIENT


def test_people_who_differ_are_seen(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, size=200)
    truth = a_month(context)
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth, noise=0.3)
    found = by_metric(review.measure(MONTH, context))
    assert found["review.agreement", "accuracy"].high < 0.8
    alpha = found["review.krippendorff_alpha", "accuracy"]
    assert alpha.low <= alpha.value <= alpha.high < 0.7
    assert review.measure(MONTH, context) == review.measure(MONTH, context)


def test_a_week_is_reviewed_like_a_month(store: Store, tmp_path: Path) -> None:
    """While a product is young: its own batch, its own measurements, beside the month's."""
    context = review_context(store, tmp_path)
    truth = a_month(context)  # a row a minute, so all of it within the first week of May
    week = Window.parse("2026-W18")
    assert make_batch(week, context)["batch"] == "log-2026-W18"
    assert make_batch(MONTH, context)["batch"] == "log-2026-05"
    rate_all(context, "log-2026-W18", truth)
    quality = by_metric(review_of_week.measure(week, context))["review.quality", "judge"]
    assert quality.status is Status.COMPLETE
    assert quality.window == week
    assert by_metric(review.measure(MONTH, context))["review.items",].reason == "no_labels"
    assert [one.window for one in reviews.batches(store, "UTC")] == ["2026-05", "2026-W18"]


# ── the quarter ──────────────────────────────────────────────────────────────────────────────


def a_quarter(context: Context, **month: Any) -> dict[tuple[str, ...], Measurement]:
    truth = a_month(context, **month)
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth)
    return by_metric(evaluation.measure(QUARTER, context))


def test_a_good_judge_passes_the_bar(store: Store, tmp_path: Path) -> None:
    found = a_quarter(review_context(store, tmp_path, size=300), share=0.7)
    assert found["evaluation.judge_ok", "judge"].value == 1
    assert found["evaluation.agreement", "judge"].value > 0.95
    assert found["evaluation.agreement", "judge"].baseline == pytest.approx(0.7, abs=0.1)
    assert found["evaluation.recall", "judge"].value > 0.9
    kappa = found["evaluation.kappa", "judge"]
    assert kappa.low <= kappa.value <= kappa.high <= 1


def test_a_judge_that_passes_everything_does_not_pass(store: Store, tmp_path: Path) -> None:
    """It agrees with people on nine answers of ten, and finds nothing."""
    context = review_context(store, tmp_path, size=300)
    rng = np.random.default_rng(5)
    truth = (rng.random(1_500) < 0.92).astype(float)
    ids = fill_month(context, list(truth), [0.9] * 1_500)
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", dict(zip(ids, truth, strict=True)))
    found = by_metric(evaluation.measure(QUARTER, context))
    assert found["evaluation.agreement", "judge"].value > 0.85
    verdict = found["evaluation.judge_ok", "judge"]
    assert verdict.value == 0
    assert {"kappa", "always_pass"} <= set(verdict.reason.split())
    assert found["evaluation.recall", "judge"].value == 0


def test_without_labels_or_golden_set_it_says_so(store: Store, tmp_path: Path) -> None:
    found = by_metric(evaluation.measure(QUARTER, review_context(store, tmp_path)))
    assert {item.status for item in found.values()} == {Status.NO_DATA}


def test_the_labels_that_settle_it() -> None:
    """By exact binomials it is 280 labels at a true 0.90, and 135 at 0.92."""
    assert labels_needed(0.90) == pytest.approx(280, abs=4)
    assert labels_needed(0.92) == pytest.approx(135, abs=2)
    assert labels_needed(0.85) is None
    assert labels_needed(1.0) == 16


# ── the golden set ───────────────────────────────────────────────────────────────────────────


class Topics:
    """Texts of the same first word lie close together; a stand-in for the embedding model."""

    digest = "topics"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            seed = int.from_bytes(text.split()[0].encode(), "big") % 2**32
            noise = int.from_bytes(text.encode(), "big") % 2**32
            vector = np.random.default_rng(seed).normal(size=64)
            vector += 0.2 * np.random.default_rng(noise).normal(size=64)
            rows.append(vector / np.linalg.norm(vector))
        return np.array(rows, dtype=np.float32)


def golden_context(store: Store, folder: Path, topics: Sequence[str]) -> Context:
    context = review_context(store, folder, embedder=Topics())
    texts = [(f"{topics[n % len(topics)]} question {n}", "answer") for n in range(300)]
    fill_month(context, [1.0] * 300, [0.9] * 300, texts=texts)
    return context


def test_coverage_falls_when_a_new_topic_comes(store: Store, tmp_path: Path) -> None:
    context = golden_context(store, tmp_path, ["cats", "dogs", "cars", "tax"])
    old = NOW - timedelta(days=40)
    for topic in ("cats", "dogs", "cars"):
        import_golden([Golden(f"{topic} example", "a", 1.0, added_at=old)], context)
    found = by_metric(evaluation.measure(QUARTER, context))
    coverage = found["evaluation.coverage",]
    assert coverage.value == pytest.approx(0.75, abs=0.05)
    assert coverage.high < 0.9
    import_golden([Golden("tax example", "a", 0.0, added_at=old)], context)
    found = by_metric(evaluation.measure(QUARTER, context))
    assert found["evaluation.coverage",].value == pytest.approx(1)
    assert found["evaluation.golden_size",].value == 4
    assert found["evaluation.golden_age_days",].value == pytest.approx(70, abs=1)


def test_importing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    rows = [
        Golden(f"question {n}", "answer", float(n % 2), feature="ask", is_anchor=n < 3)
        for n in range(50)
    ]
    assert import_golden(rows, context).examples == 50
    before = list_golden(context)
    later = replace(context, clock=lambda: NOW + timedelta(days=30))
    assert import_golden([*rows, replace(rows[0], input="  QUESTION 0 ")], later).examples == 50
    after = {example.example_id: example for example in list_golden(context)}
    assert {e.example_id: e.added_at for e in before} == {k: e.added_at for k, e in after.items()}
    assert len(list_golden(context, feature="ask")) == 50
    assert list_golden(context, before=NOW) == []
    assert sum(example.is_anchor for example in before) == 3


def test_a_golden_example_has_one_verdict(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    with pytest.raises(ConfigurationError, match="two verdicts"):
        import_golden([Golden("q", "a", 1.0), Golden("Q", "a", 0.0)], context)
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        import_golden([Golden("q", "a", 5.0)], context)
    assert list_golden(context) == []
