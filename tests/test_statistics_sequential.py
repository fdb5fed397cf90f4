"""Looking every day costs no false alarms, and a real drop is found in days."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from monitors.statistics.days import day_design_effect, day_variance
from monitors.statistics.sequential import (
    alarms,
    expected_delay,
    log_e_value_mean_fell,
    log_e_value_rate_fell,
    log_e_value_rate_rose,
    shiryaev_roberts,
    threshold,
)

Array = NDArray[np.float64]
# One false incident in two years.
BUDGET = threshold(0.5)


@pytest.mark.parametrize("n", [1, 7, 50, 400])
@pytest.mark.parametrize("null", [0.05, 0.5, 0.91, 0.995])
def test_no_bet_gains_on_average_under_the_null(n: int, null: float) -> None:
    """Exactly: the mean of e over all outcomes is 1 at the null, and less above it."""
    outcomes = np.arange(n + 1)

    def mean(evidence: Callable[[float, float, float], float], rate: float) -> float:
        logs = np.array([evidence(k, n, null) for k in outcomes])
        return float(np.exp(logs + stats.binom.logpmf(outcomes, n, rate)).sum())

    assert mean(log_e_value_rate_fell, null) == pytest.approx(1.0)
    assert mean(log_e_value_rate_fell, null + (1 - null) / 2) < 1
    assert mean(log_e_value_rate_rose, null) == pytest.approx(1.0)
    assert mean(log_e_value_rate_rose, null / 2) < 1


def test_no_bet_gains_on_scores_whatever_their_shape() -> None:
    generator = np.random.default_rng(0)
    shapes: tuple[Callable[[], Array], ...] = (
        lambda: generator.beta(8, 2, 40),
        lambda: generator.choice([0.0, 0.8, 1.0], 40, p=[0.1, 0.5, 0.4]),
        lambda: generator.uniform(0.6, 1.0, 40),
    )
    for draw in shapes:
        for spread in (None, 0.1):
            e = np.exp([log_e_value_mean_fell(draw(), 0.8, spread=spread) for _ in range(4000)])
            assert e.mean() - 3 * e.std() / math.sqrt(len(e)) <= 1


def test_no_bet_gains_on_a_weighted_sample() -> None:
    """Flagged rows fail more and are drawn more: the weighted mean is what counts."""
    generator = np.random.default_rng(1)
    flagged = generator.random(400_000) < 1 / 3  # a third of the sample; weights 1 and 4
    good = generator.random(400_000) < np.where(flagged, 0.4, 0.95)
    weights = np.where(flagged, 1.0, 4.0)
    null = (0.4 * (1 / 3) + 0.95 * 4 * (2 / 3)) / (1 / 3 + 4 * (2 / 3))
    batches = list(zip(np.split(good.astype(float), 4000), np.split(weights, 4000), strict=True))
    logs = np.array([log_e_value_mean_fell(x, null, weights=w) for x, w in batches])
    assert logs.mean() < 0
    assert np.exp(logs).mean() - 3 * np.exp(logs).std() / math.sqrt(len(logs)) <= 1
    # Ignoring the weights would take the draw for a drop.
    assert np.mean([log_e_value_mean_fell(x, null) for x, _ in batches]) > 2
    # And a drop is still found.
    worse = [x * (generator.random(len(x)) < 0.8) for x, _ in batches[:200]]
    pairs = zip(worse, batches[:200], strict=True)
    assert np.mean([log_e_value_mean_fell(x, null, weights=w) for x, (_, w) in pairs]) > 2


@given(st.integers(1, 2000), st.floats(0.01, 0.99), st.data())
def test_counts_and_values_say_the_same(n: int, null: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    values = np.repeat([1.0, 0.0], [k, n - k])
    fell = log_e_value_rate_fell(k, n, null)
    assert log_e_value_mean_fell(values, null) == pytest.approx(fell, abs=1e-6)
    assert log_e_value_rate_rose(n - k, n, 1 - null) == pytest.approx(fell, abs=1e-6)


@given(st.integers(1, 10**7), st.floats(1e-6, 1 - 1e-6), st.floats(0, 1))
def test_evidence_is_finite_and_grows_with_failures(n: int, null: float, share: float) -> None:
    k = round(n * share)
    more, fewer = log_e_value_rate_fell(k, n, null), log_e_value_rate_fell(max(k - 1, 0), n, null)
    assert math.isfinite(more)
    assert fewer >= more


def test_what_says_nothing_is_zero_and_what_is_wrong_is_refused() -> None:
    assert log_e_value_rate_fell(0, 0, 0.9) == 0.0
    assert log_e_value_mean_fell([], 0.9) == 0.0
    assert log_e_value_rate_fell(0, 100, -0.01) == 0.0, "no rate lies below a null of 0"
    assert log_e_value_rate_rose(100, 100, 1.0) == 0.0
    for call in (
        lambda: log_e_value_rate_fell(1, 2, 1.0),
        lambda: log_e_value_rate_fell(3, 2, 0.9),
        lambda: log_e_value_rate_fell(1, 2, math.nan),
        lambda: log_e_value_rate_fell(1, 2, 0.9, design_effect=0.5),
        lambda: log_e_value_mean_fell([0.5, math.nan], 0.9),
        lambda: log_e_value_mean_fell([0.5, 1.1], 0.9),
        lambda: log_e_value_mean_fell([0.5, 0.4], 0.9, weights=[1, 0]),
        lambda: shiryaev_roberts([0.1, math.nan]),
        lambda: threshold(0, 365),
        lambda: threshold(400, 365),
    ):
        with pytest.raises(ValueError):
            call()


# ── the detector ─────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5)), max_size=30))
def test_the_sum_is_shiryaev_and_roberts(values: list[float | None]) -> None:
    """Against the definition: R_t is the sum over starts of the product of e-values since."""
    path = shiryaev_roberts(values)
    said = [math.exp(v) if v is not None else None for v in values]
    for t, log_r in enumerate(path):
        known = [e for e in said[: t + 1] if e is not None]
        direct = sum(math.prod(known[start:]) for start in range(len(known)))
        assert math.exp(log_r) == pytest.approx(direct, rel=1e-9)


def test_a_day_without_data_changes_nothing() -> None:
    assert shiryaev_roberts([None, 1.0, None, None, 0.5])[1:4] == [1.0, 1.0, 1.0]
    assert shiryaev_roberts([None])[0] == -math.inf
    assert alarms([None, 9.0, None, 9.0, None], 5.0) == [1, 3], "only days with data alarm"


def test_the_detector_starts_again_after_an_alarm() -> None:
    path = shiryaev_roberts([4.0, 4.0, -1.0, -1.0], restart_above=6.0)
    assert path[1] > 6
    assert path[2] == pytest.approx(-1.0)
    assert shiryaev_roberts([4.0, 4.0, -1.0])[2] > 6, "without a restart it lingers"


def _days(rates: Array, n: int, generator: np.random.Generator, null: float) -> list[list[float]]:
    counts = generator.binomial(n, rates)
    table = [log_e_value_rate_fell(k, n, null) for k in range(n + 1)]
    return [[table[k] for k in row] for row in counts]


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_an_unchanged_year_is_quiet(n: int) -> None:
    """40 years at the baseline, and 40 at the null itself, where the budget is one in two years."""
    generator = np.random.default_rng(n)
    quiet = _days(np.full((40, 365), 0.92), n, generator, 0.91)
    assert sum(len(alarms(year, BUDGET)) for year in quiet) / 40 <= 0.05
    edge = _days(np.full((40, 365), 0.91), n, generator, 0.91)
    assert 0 < sum(len(alarms(year, BUDGET)) for year in edge) / 40 <= 0.5


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_a_week_with_a_season_of_a_point_is_quiet(n: int) -> None:
    generator = np.random.default_rng(n)
    season = 0.92 + 0.01 * np.sin(2 * np.pi * np.arange(365) / 7)
    years = _days(np.tile(season, (40, 1)), n, generator, 0.91)
    assert sum(len(alarms(year, BUDGET)) for year in years) / 40 <= 0.1


@pytest.mark.parametrize(
    ("n", "drop", "days"),
    [(50, 0.05, 15), (200, 0.05, 6), (1000, 0.05, 2), (50, 0.1, 5), (200, 0.1, 2), (1000, 0.1, 1)],
)
def test_a_drop_is_found_in_days(n: int, drop: float, days: int) -> None:
    generator = np.random.default_rng(n)
    rates = np.repeat([0.92, 0.92 - drop], [60, 90])
    delays = []
    for run in _days(np.tile(rates, (120, 1)), n, generator, 0.91):
        found = [day for day in alarms(run, BUDGET) if day >= 60]
        delays.append(found[0] - 59 if found else 99)
    assert np.median(delays) <= days
    told = expected_delay(0.91, 0.92 - drop, n, BUDGET)
    assert told == pytest.approx(np.median(delays), abs=max(1, 0.2 * days))


def test_the_expected_delay_knows_what_is_hopeless() -> None:
    assert expected_delay(0.91, 0.909, 50, BUDGET, horizon=60) is None
    rose = expected_delay(0.05, 0.10, 200, BUDGET)
    assert rose == expected_delay(0.95, 0.90, 200, BUDGET)


def test_day_effects_are_paid_for() -> None:
    """Days wobble by 3 points: unpaid, alarms come every month; paid, within the budget."""
    generator = np.random.default_rng(5)
    n, null = 1000, 0.81
    rates = np.clip(generator.normal(0.82, 0.03, (30, 365)), 0, 1)
    hits = generator.binomial(n, rates)
    effect = day_design_effect(hits[0, :60], np.full(60, n), n)
    assert effect == pytest.approx(1 + n * 0.03**2 / (0.82 * 0.18), rel=0.5)

    def yearly(design_effect: float) -> float:
        found = [
            alarms(
                [log_e_value_rate_fell(k, n, null, design_effect=design_effect) for k in row],
                BUDGET,
            )
            for row in hits
        ]
        return sum(map(len, found)) / len(found)

    assert yearly(1.0) > 6
    assert yearly(effect) <= 0.5
    told = expected_delay(null, 0.72, n, BUDGET, design_effect=effect)
    assert told is not None
    assert told <= 6


def test_day_variance_is_zero_for_coins_and_found_for_days() -> None:
    generator = np.random.default_rng(6)
    n = generator.integers(300, 900, 400)
    rate, variance = day_variance(generator.binomial(n, 0.9), n)
    assert rate == pytest.approx(0.9, abs=0.01)
    assert variance < 2e-5
    _, variance = day_variance(
        generator.binomial(n, np.clip(generator.normal(0.9, 0.03, 400), 0, 1)), n
    )
    assert math.sqrt(variance) == pytest.approx(0.03, abs=0.005)


def test_real_verdicts_stay_quiet_and_a_drop_is_found(real_data: Path) -> None:
    """HaluEval's human verdicts resampled into days of 200: 20 years, then 5 points fewer good."""
    lines = (real_data / "halueval" / "general_3000.jsonl").read_text().splitlines()
    good = np.array([json.loads(line)["hallucination"] == "no" for line in lines], float)
    generator = np.random.default_rng(7)
    null = good.mean() - 0.01
    table = [log_e_value_rate_fell(k, 200, null) for k in range(201)]

    def day(loss: float) -> float:
        drawn = generator.choice(good, 200) * (generator.random(200) >= loss)
        return table[int(drawn.sum())]

    quiet = [day(0.0) for _ in range(20 * 365)]
    assert len(alarms(quiet, BUDGET)) <= 2
    delays = []
    for _ in range(60):
        found = alarms([day(0.05 / good.mean()) for _ in range(60)], BUDGET)
        delays.append(found[0] + 1 if found else 99)
    assert np.median(delays) <= 8


@settings(max_examples=30)
@given(st.floats(0.01, 100), st.floats(52, 366))
def test_the_threshold_is_the_mean_time_between_false_alarms(budget: float, looks: float) -> None:
    if budget < looks:
        assert math.exp(threshold(budget, looks)) == pytest.approx(looks / budget)
