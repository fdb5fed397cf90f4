"""Intervals cover what they promise, at the edges too, and never leave their range."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from monitors.statistics.intervals import (
    detectable_difference,
    detectable_mean_difference,
    effective_sample_size,
    mean_interval,
    quantile_interval,
    quantile_minimum,
    quantile_ranks,
    rate_difference,
    wilson,
)


@given(st.floats(1e-3, 1e7), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_holds_its_estimate_and_stays_a_rate(n: float, rate: float, level: float) -> None:
    low, high = wilson(rate * n, n, level)
    assert 0 <= low <= rate * (1 + 1e-12)
    assert rate * (1 - 1e-12) <= high <= 1
    assert high > low, "even a rate of 0 or 1 is uncertain"


def test_wilson_agrees_with_scipy() -> None:
    for successes, n in ((0, 10), (7, 10), (81, 263), (999, 1000), (5, 5)):
        theirs = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
        assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.5, 0.92, 0.98])
def test_wilson_covers(rate: float) -> None:
    """Exact coverage over all outcomes at n = 400."""
    n = 400
    outcomes = np.arange(n + 1)
    covers = [low <= rate <= high for low, high in (wilson(k, n) for k in outcomes)]
    assert 0.92 <= stats.binom.pmf(outcomes, n, rate)[covers].sum() <= 0.985


@pytest.mark.parametrize(
    ("successes", "n"), [(1, 0), (-1, 5), (6, 5), (math.nan, 5), (1, math.nan), (1, math.inf)]
)
def test_wilson_refuses_what_is_no_rate(successes: float, n: float) -> None:
    with pytest.raises(ValueError, match="n"):
        wilson(successes, n)


def test_difference_of_rates_as_published() -> None:
    """Newcombe (1998), first example of the comparison of eleven methods, method 10."""
    assert rate_difference(56, 70, 48, 80) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@given(st.integers(1, 50), st.integers(1, 50), st.data())
def test_difference_of_rates_is_antisymmetric(n1: int, n0: int, data: st.DataObject) -> None:
    s1, s0 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n0))
    difference, low, high = rate_difference(s1, n1, s0, n0)
    swapped = rate_difference(s0, n0, s1, n1)
    assert (difference, low, high) == pytest.approx((-swapped[0], -swapped[2], -swapped[1]))
    assert -1 <= low <= difference <= high <= 1


# ── means ────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_bounded_mean_of_coins_is_wilsons(coins: list[bool]) -> None:
    mean, low, high = mean_interval(np.array(coins, float), bounded=True)
    assert mean == pytest.approx(np.mean(coins))
    assert (low, high) == pytest.approx(wilson(sum(coins), len(coins)))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=2, max_size=40),
    st.floats(0.01, 1000),
)
def test_the_scale_of_weights_does_not_matter(
    rows: list[tuple[float, float]], scale: float
) -> None:
    values, weights = map(np.array, zip(*rows, strict=True))
    for bounded in (True, False):
        found = mean_interval(values, weights, bounded=bounded)
        assert found == pytest.approx(mean_interval(values, weights * scale, bounded=bounded))
        assert found[1] - 1e-12 <= found[0] <= found[2] + 1e-12


def test_an_unweighted_mean_is_students_t() -> None:
    values = np.random.default_rng(0).normal(3, 2, 17)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values)[1:] == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("bounded", [True, False])
def test_weights_undo_an_unequal_draw(bounded: bool) -> None:
    """Flagged answers are drawn ten times as often and fail more: weighted covers, plain fails."""
    generator = np.random.default_rng(1)
    flagged = generator.random(20_000) < 0.1
    good = np.where(flagged, generator.random(20_000) < 0.5, generator.random(20_000) < 0.95)
    chance = np.where(flagged, 0.2, 0.02)
    truth, covered, plain = good.mean(), 0, 0
    for _ in range(300):
        drawn = generator.random(20_000) < chance
        values, weights = good[drawn].astype(float), 1 / chance[drawn]
        _, low, high = mean_interval(values, weights, bounded=bounded)
        covered += low <= truth <= high
        _, low, high = mean_interval(values, bounded=bounded)
        plain += low <= truth <= high
    assert covered / 300 >= 0.92
    assert plain / 300 < 0.05


def test_scores_that_vary_little_have_narrower_intervals_than_coins() -> None:
    values = np.random.default_rng(2).beta(80, 20, 200)
    _, low, high = mean_interval(values, bounded=True)
    as_coins = wilson(values.sum(), 200)
    assert high - low < 0.35 * (as_coins[1] - as_coins[0])


def test_all_passed_is_not_certain() -> None:
    assert mean_interval(np.ones(30), bounded=True)[1:] == pytest.approx(wilson(30, 30))


def test_what_is_no_mean_is_refused() -> None:
    for call in (
        lambda: mean_interval([0.5]),
        lambda: mean_interval([], bounded=True),
        lambda: mean_interval([0.5, math.nan], bounded=True),
        lambda: mean_interval([0.5, 1.5], bounded=True),
        lambda: mean_interval([0.5, 0.6], [1, -1]),
        lambda: mean_interval([0.5, 0.6], [0, 0]),
        lambda: mean_interval([0.5, 0.6], [1]),
    ):
        with pytest.raises(ValueError):
            call()


@given(st.integers(1, 200), st.floats(0.1, 10))
def test_equal_weights_cost_nothing(n: int, weight: float) -> None:
    assert effective_sample_size(np.full(n, weight)) == pytest.approx(n)


def test_unequal_weights_cost() -> None:
    assert effective_sample_size([1, 1, 2]) == pytest.approx(16 / 6)


# ── quantiles ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("q", "fewest"), [(0.9, 36), (0.95, 72), (0.99, 368), (0.5, 6)])
def test_fewest_values_for_a_quantile(q: float, fewest: int) -> None:
    assert quantile_minimum(q) == fewest
    assert None not in quantile_ranks(fewest, q)
    assert None in quantile_ranks(fewest - 1, q)


@given(st.integers(1, 3000), st.floats(0.01, 0.99))
def test_ranks_cover_whatever_the_distribution(n: int, q: float) -> None:
    """Each tail errs with at most 2.5 %, and one rank further in it would err with more."""
    low, middle, high = quantile_ranks(n, q)
    assert 1 <= middle <= n
    if low is not None:
        assert low <= middle
        assert stats.binom.cdf(low - 1, n, q) <= 0.025
    assert stats.binom.cdf(low or 0, n, q) > 0.025
    if high is not None:
        assert middle <= high <= n
        assert stats.binom.sf(high - 1, n, q) <= 0.025 + 1e-12
        assert stats.binom.sf(high - 2, n, q) > 0.025 - 1e-12


def test_a_bound_that_cannot_be_had_is_none() -> None:
    value, low, high = quantile_interval(range(20), 0.9)
    assert (value, high) == (17.0, None)
    assert low == 14.0
    assert quantile_interval([7.0], 0.5) == (7.0, None, None)


def test_intervals_cover_the_quantiles_of_real_latencies(real_data: Path) -> None:
    with (real_data / "llmdrift" / "PRIME_FULL_EVAL.csv").open() as file:
        latencies = np.array([float(row["latency"]) for row in csv.DictReader(file)])
    assert len(latencies) == 4000
    generator = np.random.default_rng(4)
    for q, n in ((0.5, 60), (0.9, 60), (0.95, 150)):
        truth = np.quantile(latencies, q, method="inverted_cdf")
        covered = 0
        for _ in range(500):
            value, low, high = quantile_interval(generator.choice(latencies, n), q)
            assert low is not None
            assert high is not None
            assert low <= value <= high
            covered += low <= truth <= high
        assert covered / 500 >= 0.93


def test_weighted_quantiles_undo_an_unequal_draw() -> None:
    """Slow requests are drawn more often; the weighted p90 still covers the true one."""
    generator = np.random.default_rng(5)
    everything = generator.lognormal(6, 0.8, 20_000)
    chance = np.where(everything > 900, 0.06, 0.015)
    truth = np.quantile(everything, 0.9)
    covered = 0
    for _ in range(300):
        drawn = generator.random(20_000) < chance
        _, low, high = quantile_interval(everything[drawn], 0.9, weights=1 / chance[drawn])
        assert low is not None
        assert high is not None
        covered += low <= truth <= high
    assert covered / 300 >= 0.92


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_equal_weights_give_the_unweighted_quantile(q: float) -> None:
    values = np.random.default_rng(8).permutation(300) * 2.5
    plain = quantile_interval(values, q)
    assert quantile_interval(values, q, weights=np.full(300, 7.0)) == plain
    assert plain[1] is not None
    assert plain[2] is not None
    doubled = quantile_interval(np.tile(values, 2), q, weights=np.ones(600))
    assert doubled[0] == plain[0]
    assert doubled[1] is not None
    assert doubled[1] > plain[1]


def test_unequal_weights_widen_a_quantiles_interval_as_kish_says() -> None:
    generator = np.random.default_rng(9)
    weights = np.tile([1.0, 3.0], 500)

    def width(found: tuple[float, float | None, float | None]) -> float:
        assert found[1] is not None
        assert found[2] is not None
        return found[2] - found[1]

    weighted = [
        width(
            quantile_interval(generator.permutation(1000.0 + np.arange(1000)), 0.5, weights=weights)
        )
        for _ in range(30)
    ]
    plain = width(quantile_interval(np.arange(1000), 0.5))
    assert np.mean(weighted) / plain == pytest.approx(math.sqrt(20 / 16), abs=0.04)


# ── what could have been seen ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("p0", "n0", "n1"), [(0.92, 5000, 200), (0.5, math.inf, 100), (0.97, 2000, 400)]
)
def test_the_detectable_drop_is_found_in_four_of_five_samples(
    p0: float, n0: float, n1: int
) -> None:
    drop = detectable_difference(p0, n0, n1, direction="down")
    assert drop is not None
    generator = np.random.default_rng(6)
    runs = 4000
    now = generator.binomial(n1, p0 - drop, runs) / n1
    then = p0 if math.isinf(n0) else generator.binomial(int(n0), p0, runs) / n0
    z = 2 * (np.arcsin(np.sqrt(then)) - np.arcsin(np.sqrt(now))) / math.sqrt(1 / n0 + 1 / n1)
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.05)


@given(st.floats(0, 1), st.floats(10, 1e6), st.floats(10, 1e6))
def test_more_rows_show_less(p0: float, n0: float, n1: float) -> None:
    for direction in ("down", "up"):
        few = detectable_difference(p0, n0, n1, direction=direction)
        many = detectable_difference(p0, n0 * 4, n1 * 4, direction=direction)
        if few is not None:
            assert many is not None
            assert 0 < many < few
            edge = p0 - few if direction == "down" else p0 + few
            assert -1e-9 <= edge <= 1 + 1e-9


def test_a_rate_of_one_has_a_reach() -> None:
    """Any failure at all would show it: in at least 80 % of the samples there is one."""
    drop = detectable_difference(1.0, math.inf, 100)
    assert drop is not None
    assert 0.8 <= 1 - (1 - drop) ** 100 <= 0.9


def test_what_no_change_could_show_is_none() -> None:
    assert detectable_difference(0.5, math.inf, 2) is None
    assert detectable_difference(0.01, math.inf, 50, direction="down") is None


def test_the_detectable_difference_of_day_means() -> None:
    reach = detectable_mean_difference(1.0, 21, 1.0, 7)
    generator = np.random.default_rng(7)
    a, b = generator.normal(0, 1, (3000, 21)), generator.normal(reach, 1, (3000, 7))
    found = stats.ttest_ind(b, a, axis=1, equal_var=False).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.04)


@given(st.floats(0.01, 0.99), st.integers(20, 500))
def test_a_window_without_rows_has_no_reach(p0: float, n: int) -> None:
    assume(p0 > 0)
    with pytest.raises(ValueError, match="positive"):
        detectable_difference(p0, n, 0)
