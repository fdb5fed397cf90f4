"""Differences of means by clusters: Welch's on single rows, honest where one person says much."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitors.statistics.bayesian import probability_mean_worse
from monitors.statistics.clusters import Contrast, contrast

BOTH = (1.0, -1.0)


def over(
    values: NDArray[np.float64], clusters: NDArray[np.intp], sides: NDArray[np.intp]
) -> Contrast:
    return contrast(values, np.ones(len(values)), clusters, sides, BOTH)


def test_single_rows_of_weight_1_give_welch() -> None:
    random = np.random.default_rng(1)
    one, nought = random.normal(0.3, 1, 40), random.normal(0, 2, 25)
    sides = np.repeat([0, 1], [40, 25])
    found = over(np.concatenate([one, nought]), np.arange(65), sides)
    welch = stats.ttest_ind(one, nought, equal_var=False)
    interval = welch.confidence_interval()
    assert found.value == pytest.approx(one.mean() - nought.mean())
    assert found.p_value == pytest.approx(welch.pvalue)
    assert found.degrees == pytest.approx(welch.df)
    assert found.interval() == pytest.approx((interval.low, interval.high))
    assert found.clusters == 25 and found.design_effect == pytest.approx(1)


def test_rows_repeated_ten_times_say_no_more_than_once() -> None:
    random = np.random.default_rng(2)
    values, sides = random.normal(size=60), np.repeat([0, 1], 30)
    once = over(values, np.arange(60), sides)
    often = over(np.repeat(values, 10), np.repeat(np.arange(60), 10), np.repeat(sides, 10))
    assert often.error == pytest.approx(once.error) and often.value == pytest.approx(once.value)
    assert often.design_effect == pytest.approx(10, rel=0.1)


def test_a_person_on_both_sides_does_not_widen_their_difference() -> None:
    random = np.random.default_rng(3)
    person = np.tile(np.arange(50), 2)
    values = np.tile(random.normal(0, 5, 50), 2) + random.normal(0, 0.1, 100)
    sides = np.repeat([0, 1], 50)
    assert over(values, person, sides).error < over(values, np.arange(100), sides).error / 10


def strong_clusters(seed: int) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Two equal arms of 40 persons, each mostly content or mostly not, some with many answers."""
    random = np.random.default_rng(seed)
    answers = random.geometric(1 / 12, 80)
    person = np.repeat(np.arange(80), answers)
    values = (random.random(len(person)) < random.beta(0.8, 0.4, 80)[person]).astype(np.float64)
    return values, person, (person >= 40).astype(np.intp)


def false_alarms(draws: int) -> dict[str, tuple[float, float]]:
    """Clusters or rows as units → share of intervals without 0, share that is worse with 99 %."""
    missed = {"clusters": 0, "rows": 0}
    worse = {"clusters": 0, "rows": 0}
    for seed in range(draws):
        values, person, sides = strong_clusters(seed)
        for name, clusters in (("clusters", person), ("rows", np.arange(len(person)))):
            found = over(values, clusters, sides)
            low, high = found.interval()
            missed[name] += not low <= 0 <= high
            worse[name] += (
                probability_mean_worse(found.value, found.error, 0, 0, 0.02, degrees=found.degrees)
                > 0.99
            )
    return {name: (missed[name] / draws, worse[name] / draws) for name in missed}


def test_no_difference_with_strong_clusters_alarms_nobody() -> None:
    """Rows taken for independent alarm on every second such comparison."""
    found = false_alarms(400)
    assert found["clusters"][0] <= 0.07 and found["clusters"][1] <= 0.015
    assert found["rows"][0] > 0.3 and found["rows"][1] > 0.1


def test_a_true_difference_is_still_found() -> None:
    found = 0
    for seed in range(100):
        values, person, sides = strong_clusters(seed)
        found += over(values - 0.5 * (sides == 0), person, sides).p_value < 0.001
    assert found >= 85


def test_rows_of_no_group_do_not_matter_and_those_of_one_must_be_numbers() -> None:
    random = np.random.default_rng(4)
    values, person, sides = random.normal(size=40), np.arange(40), np.repeat([0, 1], 20)
    alone = over(values, person, sides)
    more = np.append(values, np.nan), np.append(person, 3), np.append(sides, -1)
    assert over(*more) == alone
    with pytest.raises(ValueError, match="not finite"):
        over(more[0], more[1], np.append(sides, 1))


def test_equal_values_are_no_certainty_and_one_cluster_is_no_group() -> None:
    sides = np.repeat([0, 1], 10)
    same = over(np.ones(20), np.arange(20), sides)
    assert same.error == pytest.approx(0.05 * math.sqrt(2)) and same.degrees > 15
    with pytest.raises(ValueError, match="two clusters"):
        over(np.ones(20), np.repeat([0, 1], 10), sides)
    with pytest.raises(ValueError, match="no rows"):
        contrast(np.ones(4), np.ones(4), np.arange(4), np.zeros(4, dtype=np.intp), BOTH)
    with pytest.raises(ValueError, match="weight"):
        contrast(np.ones(4), np.zeros(4), np.arange(4), np.array([0, 0, 1, 1]), BOTH)
    assert probability_mean_worse(0, 1, 1, 1, degrees=5) == pytest.approx(
        stats.t.cdf(1 / math.sqrt(2), 5)
    )
    with pytest.raises(ValueError, match="degrees"):
        probability_mean_worse(0, 1, 1, 1, degrees=0)


if __name__ == "__main__":
    for unit, (without, certain) in false_alarms(2_000).items():
        print(f"{unit}: 0 outside of {without:.1%} of the intervals, {certain:.1%} worse with 99 %")


def test_rows_of_no_group_may_have_no_value() -> None:
    """A sample has rows that no scorer could score; one of them once stopped the comparison."""
    values = np.array([0.9, 0.8, 0.2, 0.3, np.nan])
    groups = np.array([0, 0, 1, 1, -1])
    clusters, weights = np.arange(5), np.ones(5)
    found = contrast(values, weights, clusters, groups, (1.0, -1.0))
    assert found.value == pytest.approx(0.6)
    with pytest.raises(ValueError, match="finite"):
        contrast(values, weights, clusters, np.array([0, 0, 1, 1, 1]), (1.0, -1.0))
