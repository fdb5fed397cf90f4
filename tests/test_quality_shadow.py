"""Shadow answers, pair by pair: a worse model is found, an equal one is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitors.context import Context
from monitors.logs.draw import draw_sample
from monitors.quality.comparison import comparison
from monitors.quality.correctness import reference_match
from monitors.quality.scoring import score_sample
from monitors.quality.usefulness import accepted
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.window import Window
from tests.logs_kit import context_over, days, fill, row

DIFFERENCE, AGREEMENT = "comparison.shadow.difference", "comparison.shadow.agreement"
SHADOWED = 150


def day_rows(number: int, window: Window, worse: float, users: int) -> Iterator[dict[str, Any]]:
    """600 requests; hard ones are missed by both. A shadow also misses ``worse`` of the others."""
    random = Random(number)
    for place in range(600):
        hard = random.random() < 0.3
        request = {
            "input": f"How much is {place}?",
            "reference": str(place),
            "of": 10**6,
            "feature": "chat",
        }
        served = number * 10_000 + place
        said = "I do not know." if hard else f"It is {place}."
        user = f"u{served if users == 0 else place % users}"
        yield row(served, window, **request, output=said, user_id=user, accepted=not hard)
        if place < SHADOWED:
            missed = hard or random.random() < worse
            said = "No idea." if missed else f"{place} it is."
            yield row(
                served + 5_000, window, **request, output=said, arm="next", shadow_of=f"r{served}"
            )


@contextmanager
def over(
    store: Store, folder: Path, worse: float, count: int, users: int = 0, rate: float = 0.05
) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    for number, window in enumerate(days(count)):
        fill(url, day_rows(number, window, worse, users))
    sections: dict[str, Any] = {
        "sampling": {"rate": rate, "minimum": 40, "force": True},
        "quality": {"comparison_hours": 48},
        "privacy": {"key": "a key of these tests"},
    }
    with context_over(store, url, **sections) as context:
        yield replace(context, scorers=(reference_match, accepted))


def measured(context: Context, count: int) -> dict[str, Measurement]:
    """Of the last day, by metric."""
    for window in days(count):
        draw_sample(window, context)
        score_sample(window, context)
        found = list(comparison.measure(window, context))
    assert {tuple(m.labels.items()) for m in found} == {
        (("candidate", "next"), ("metric", "reference_match"))
    }
    return {m.metric: m for m in found}


def test_pairs_find_a_worse_shadow(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 0.3, 3) as context:
        found = measured(context, 3)
    gap = found[DIFFERENCE]
    # Both days' strata of shadows and of what they shadow are drawn up to the minimum: 80 pairs.
    assert gap.status is Status.COMPLETE and gap.n == 80
    assert gap.low < -0.21 < gap.high < -0.08 and gap.evidence < 1e-3
    same = found[AGREEMENT]
    assert same.value == pytest.approx(1 + gap.value) and same.low < 0.79 < same.high


def test_an_equal_shadow_is_no_reason_to_speak(store: Store, tmp_path: Path) -> None:
    """Hard requests are hard for both: unpaired, the interval would be many times as wide."""
    with over(store, tmp_path, 0.0, 2) as context:
        found = measured(context, 2)
    gap = found[DIFFERENCE]
    assert gap.value == 0 and gap.high - gap.low < 0.03 and gap.evidence > 0.99
    assert found[AGREEMENT].value == 1 and found[AGREEMENT].high == 1 > found[AGREEMENT].low


def test_one_day_is_too_early(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 0.3, 1) as context:
        first = measured(context, 1)
    assert {(m.status, m.reason) for m in first.values()} == {(Status.INSUFFICIENT, "too_early")}
    assert first[DIFFERENCE].value is not None


def test_many_pairs_of_few_persons_are_few(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 0.3, 2, users=7) as context:
        found = measured(context, 2)
    assert {(m.status, m.reason, m.n) for m in found.values()} == {
        (Status.INSUFFICIENT, "too_few", 80)
    }


def test_a_log_without_shadows_has_no_such_measurement(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(n, reference=str(n)) for n in range(100)])
    with context_over(store, url) as context:
        context = replace(context, scorers=(reference_match,))
        draw_sample(days(1)[0], context)
        assert list(comparison.measure(days(1)[0], context)) == []
