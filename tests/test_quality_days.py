"""Quality, operations and comparison over days: a planted fault is found, quiet days are silent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from monitors.context import Context
from monitors.logs.draw import draw_sample
from monitors.monitor import Monitor
from monitors.quality.anchors import anchors
from monitors.quality.comparison import comparison
from monitors.quality.correctness import reference_match
from monitors.quality.histogram import counts_by, quantiles
from monitors.quality.judge import NoGoldenSet, in_force, judge
from monitors.quality.judge_training import train_judge
from monitors.quality.operations import operations
from monitors.quality.quality import quality
from monitors.quality.scoring import score_sample
from monitors.quality.usefulness import accepted
from monitors.review.golden import Golden, import_golden
from monitors.statistics.intervals import quantile_interval
from sql.errors import ConfigurationError
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import model_artifact
from sql.window import Window
from tests.logs_kit import DAY, context_over, days, fill, row

ROWS, REFERENCE, QUIET = 240, 7, 10
GOOD, BAD = "You can return it within thirty days.", "Ask your bank, maybe 17 or 23 of them?"


class HashEmbedder:
    """Equal texts have equal vectors, others unrelated ones."""

    digest = "0" * 64

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        def vector(text: str) -> NDArray[np.float64]:
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            found = np.random.default_rng(seed).normal(size=32)
            return found / np.linalg.norm(found)

        return np.array([vector(text) for text in texts], dtype=np.float32).reshape(-1, 32)


def day_rows(number: int, window: Window) -> Iterator[dict[str, Any]]:
    random, fault = Random(number), number >= QUIET
    for place in range(ROWS):
        bad = random.random() < (0.45 if fault else 0.1)
        yield row(
            number * ROWS + place,
            window,
            of=10**6,
            feature="chat" if place % 2 else "search",
            prompt_version="v2" if number >= 8 and place % 2 else "v1",
            interaction_type="sync",
            input=f"How do I return item {place % 30}?",
            output=BAD if bad else GOOD,
            latency_ms=random.lognormvariate(6, 0.3) * (2 if fault else 1),
            error_type="timeout" if random.random() < (0.2 if fault else 0.02) else None,
            cost_usd=0.01,
            accepted=not bad,
        )


@contextmanager
def over(store: Store, folder: Path, count: int) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    for number, window in enumerate(days(count)):
        fill(url, day_rows(number, window))
    sections: dict[str, Any] = {
        "reference": {"start": DAY.first_day.isoformat(), "days": REFERENCE},
        "sampling": {"rate": 0.5, "force": True},
        "quality": {"comparison_hours": 48},
    }
    with context_over(store, url, **sections) as context:
        yield replace(context, scorers=(judge, accepted), embedder=HashEmbedder)


def teach(context: Context, n: int = 240) -> None:
    import_golden(
        (
            Golden(
                f"How do I return item {number}?",
                GOOD if number % 3 else BAD,
                float(number % 3 > 0),
                is_anchor=number % 8 == 0,
            )
            for number in range(n)
        ),
        context,
    )


def measure(monitor: Monitor, window: Window, context: Context) -> dict[Any, Measurement]:
    found = monitor.measure(window, context)
    with context.store.begin() as connection:
        context.store.publish(connection, monitor.name, window, found)
    return {(m.metric, *(v for _, v in sorted(m.labels.items()))): m for m in found}


def test_quality_finds_a_fall_and_says_nothing_on_quiet_days(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, QUIET + 1) as context:
        teach(context, 300)
        seen = []
        for window in days(QUIET + 1):
            draw_sample(window, context)
            score_sample(window, context)
            seen.append(measure(quality, window, context))
            compared = measure(comparison, window, context)
        again = score_sample(days(QUIET)[3], context)
        assert measure(quality, days(QUIET)[3], context) == seen[3]
        watched = measure(anchors, DAY, context)
    key = ("correctness.score", "judge")
    assert seen[0][key].baseline is None and seen[0][key].evidence is None
    for quiet in seen[REFERENCE:QUIET]:
        assert quiet[key].baseline == pytest.approx(0.9, abs=0.04)
        assert max(m.evidence or 0 for m in quiet.values()) < 3
    fell = seen[QUIET][key]
    assert fell.evidence > 8 and fell.high < fell.baseline and fell.status is Status.COMPLETE
    assert seen[QUIET]["usefulness.score", "accepted"].evidence > 8
    assert again["scored"] == 0 and again["kept"] > 0
    named = [m for m in compared.values() if m.labels["metric"] == "judge"]
    assert [(m.labels["candidate"], m.labels["control"]) for m in named] == [("v2", "v1")]
    assert watched["evaluation.anchor_change", "judge"].value == 0


def test_operations_find_slow_and_failing_requests_and_nothing_before(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path, QUIET + 1) as context:
        seen = [measure(operations, window, context) for window in days(QUIET + 1)]
        empty = operations.measure(DAY.shift(40), context)
    for quiet in seen[REFERENCE:QUIET]:
        assert quiet[("operations.error_rate",)].evidence < 3
        assert quiet["operations.latency_p90", "sync"].evidence > 1e-4
    bad = seen[QUIET]
    assert bad[("operations.error_rate",)].evidence > 8
    slow = bad["operations.latency_p90", "sync"]
    assert slow.evidence < 1e-4 and slow.value > 1.5 * slow.baseline
    assert bad["operations.over_budget_share", "full", "sync"].low > 0.1
    assert bad[("operations.cost_per_day",)].value == pytest.approx(2.4)
    assert [(m.status, m.reason) for m in empty] == [(Status.NO_DATA, "empty_window")]


def test_the_judge_is_the_same_twice_and_refuses_few_examples_and_altered_bytes(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path, 1) as context:
        with pytest.raises(NoGoldenSet, match="0 examples"):
            train_judge(context)
        assert judge.version_in(context) == "1+none"
        teach(context, 300)
        first, second = train_judge(context), train_judge(context)
        assert first.digest == second.digest == in_force(context).digest
        with store.begin() as connection:
            connection.execute(update(model_artifact).values(body=b"{}"))
        with pytest.raises(ConfigurationError, match="digest"):
            in_force(context)


def test_histogram_quantiles_are_those_of_the_rows() -> None:
    values = np.random.default_rng(1).lognormal(6, 1, 5_000)
    counts = counts_by(np.zeros(len(values), dtype=np.intp), values, 1)[0]
    for q, found in quantiles(counts, [0.5, 0.9, 0.99]).items():
        assert found == pytest.approx(quantile_interval(values, q), rel=0.003)


def test_primes_are_judged_as_published(real_data: Path) -> None:
    import csv

    right: dict[str, list[float]] = {}
    with (real_data / "llmdrift" / "PRIME_FULL_EVAL.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    from monitors.logs.interaction import Batch

    columns = {"input": "query", "output": "answer", "reference": "ref_answer"}
    batch = Batch({name: [r[column] for r in rows] for name, column in columns.items()})
    nothing: Any = None
    for found, record in zip(reference_match(batch, nothing), rows, strict=True):
        right.setdefault(record["model"].split("/")[1], []).append(found.value or 0.0)
    shares = {model: round(100 * sum(v) / len(v), 1) for model, v in right.items()}
    assert shares["gpt-4-0314"] == 84.0 and shares["gpt-4-0613"] == 50.2
    assert shares["gpt-3.5-turbo-0301"] == 51.8 and shares["gpt-3.5-turbo-0613"] == 68.0
