"""The domain classifier's area: right on known cases, ½ without change, its interval honest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitors.statistics.classifier import auc_with_variance, separation


def sphere(rng: np.random.Generator, count: int, shift: float = 0.0) -> Any:
    points = rng.normal(size=(count, 16))
    points[:, 0] += shift
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_the_area_is_that_of_the_textbook() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    old, new = rng.integers(0, 9, 60).astype(float), rng.integers(2, 11, 40).astype(float)
    label = np.r_[np.zeros(60), np.ones(40)]
    area, variance = auc_with_variance(old, new)
    assert area == pytest.approx(roc_auc_score(label, np.r_[old, new]))
    resampled = [
        auc_with_variance(rng.choice(old, 60), rng.choice(new, 40))[0] for _ in range(2_000)
    ]
    assert np.sqrt(variance) == pytest.approx(np.std(resampled), rel=0.1)


def test_no_change_is_a_half_and_the_interval_knows() -> None:
    rng = np.random.default_rng(2)
    found = [separation(sphere(rng, 300), sphere(rng, 150), seed=n) for n in range(60)]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([one.low <= 0.5 <= one.high for one in found]) >= 0.92


def test_a_shift_is_seen_and_the_newest_are_named() -> None:
    rng = np.random.default_rng(3)
    week = np.vstack([sphere(rng, 200), sphere(rng, 60, shift=6)])
    found = separation(sphere(rng, 500), week)
    assert found.low > 0.5 and found.low < found.auc < found.high
    assert np.mean(np.argsort(-found.scores)[:40] >= 200) > 0.6


def test_all_texts_equal_and_too_few() -> None:
    rng = np.random.default_rng(4)
    one = np.repeat(sphere(rng, 1), 50, axis=0)
    assert separation(one, one).auc == 0.5
    with pytest.raises(ValueError, match="two vectors"):
        separation(one, one[:9])
