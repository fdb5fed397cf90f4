"""The sampling rate that sees the tolerance: drawn at it, a day does see it, and no rate is told
where the reference or the days themselves hide it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitors.logs.draw import draw_sample
from monitors.quality.baseline import Baseline, Day, baseline_of
from monitors.quality.precision import precision
from monitors.quality.scoring import score_sample
from monitors.report.page import write_report
from monitors.suite import open_suite
from sql.measurement import Measurement, Status
from tests.logs_kit import DAY, fill, row


def coins(n: int, rate: float) -> np.ndarray:
    return (np.arange(n) < round(n * rate)).astype(np.float64)


def even(between: float, n: float = 20_000, rate: float = 0.9) -> Baseline:
    return Baseline(mean=rate, n=n, variance=rate * (1 - rate), between=between, days=21)


@given(
    n=st.integers(60, 800),
    rate=st.floats(0.1, 0.95),
    between=st.sampled_from([0.0, 1e-5, 1e-4]),
    tolerance=st.floats(0.01, 0.1),
    before=st.sampled_from([2_000, 20_000]),
)
def test_drawn_at_the_told_rate_a_day_shows_the_tolerance(
    n: int, rate: float, between: float, tolerance: float, before: int
) -> None:
    baseline = even(between, before, rate)
    seen = precision(coins(n, rate), np.ones(n), baseline)
    assert seen is not None
    told, low, high = seen.rate_for(tolerance, 0.001)
    assert 0 <= low <= told <= high <= 1
    assume(told < 1 and n * told / 0.001 > 60)
    rows = round(n * told / 0.001)
    then = precision(coins(rows, rate), np.ones(rows), baseline)
    assert then is not None
    # The numbers of rows differ, and with them Student's quantiles.
    assert then.detectable == pytest.approx(tolerance, rel=0.03)


def test_without_a_reference_it_is_the_square_of_what_lacks() -> None:
    seen = precision(coins(400, 0.8), np.ones(400), None)
    assert seen is not None
    told, low, high = seen.rate_for(seen.detectable / 3, 0.02)
    assert told == pytest.approx(0.02 * 9)
    assert low < told < high
    assert seen.rate_for(2 * seen.detectable, 0.02)[0] == pytest.approx(0.02 / 4)


@pytest.mark.parametrize("baseline", [even(0.0, n=500), even(4e-4)])
def test_no_rate_is_told_where_the_reference_or_the_days_hide_it(baseline: Baseline) -> None:
    seen = precision(coins(5_000, 0.9), np.ones(5_000), baseline)
    assert seen is not None and seen.rate_for(0.02, 0.05) == (1.0, 1.0, 1.0)
    assert math.sqrt(seen.reference + seen.day) * 2.8 > 0.02


def test_a_change_of_the_tolerance_is_found_in_four_of_five_days_at_the_told_rate() -> None:
    """By simulation: days that wander, a reference of fourteen of them, a two-sided 5 % test."""
    rng, rate, sd, tolerance, drawn = np.random.default_rng(4), 0.85, 0.006, 0.04, 300
    baseline = even(sd**2, 20_000, rate)
    caution = Baseline(rate, baseline.n, baseline.variance, sd**2 / 1.5, 21)  # undone here
    seen = precision(coins(drawn, rate), np.ones(drawn), caution)
    assert seen is not None
    told, _, _ = seen.rate_for(tolerance, 0.01)
    n = round(drawn * told / 0.01)
    truth = rng.normal(rate - tolerance, sd, 40_000).clip(0, 1)
    found = rng.binomial(n, truth) / n
    before = rng.normal(rate, math.sqrt(baseline.variance / baseline.n), 40_000)
    error = math.sqrt(baseline.variance * (1 / n + 1 / baseline.n) + sd**2)
    power = float(np.mean(np.abs(found - before) > 1.96 * error))
    assert power == pytest.approx(0.8, abs=0.03)


def test_one_score_or_all_alike_tell_nothing() -> None:
    assert precision(np.ones(1), np.ones(1), None) is None
    assert precision(np.ones(50), np.ones(50), None) is None
    assert precision(coins(50, 0.5), np.ones(50), baseline_of([Day(0.5, 9.0)] * 3)) is not None


def test_the_day_tells_the_rate_and_the_report_shows_it(tmp_path: Path) -> None:
    config = tmp_path / "tidegauge.toml"
    config.write_text(
        '[store]\nurl = "sqlite:///store.db"\n[source]\nurl = "sqlite:///log.db"\n'
        "[quality]\ntolerance = 0.08\n"
        '[scorers.accepted]\nuse = "monitors.quality.usefulness:accepted"\n'
        '[scorers.task_completed]\nuse = "monitors.quality.usefulness:task_completed"\n'
        '[monitors.quality]\nuse = "monitors.quality.quality:quality"\n'
    )
    rows = (row(n, accepted=n % 4 > 0, task_completed=True) for n in range(4_000))
    fill(f"sqlite:///{tmp_path}/log.db", rows)
    suite = open_suite(config)
    draw_sample(DAY, suite.context)
    score_sample(DAY, suite.context)
    suite.measure(suite.monitors[0], DAY)
    suite.record_step("daily_quality", "measure", DAY, 0, {}, 0.1, last=True)
    found = {(m.metric, m.labels["scorer"]): m for m in suite.store.measurements()}
    told = found["quality.rate_for_tolerance", "accepted"]
    mean = found["usefulness.score", "accepted"]
    drawn = mean.n / 4_000
    assert told.value == pytest.approx(drawn * (mean.detectable / 0.08) ** 2, rel=1e-6)
    assert told.low < told.value < told.high and told.status is Status.COMPLETE
    alike = found["quality.rate_for_tolerance", "task_completed"]
    assert (alike.status, alike.reason) == (Status.INSUFFICIENT, "no_spread")
    text = write_report(suite).read_text()
    assert f"One window shows a change of {100 * mean.detectable:.1f} %" in text
    assert f"at a sampling rate of {100 * told.value:.1f} %" in text
    assert text.count("it would show 8.0 %") == 1
    suite.store.close()


def test_the_report_tells_no_rate_of_few_rows_and_says_where_none_would_do(
    tmp_path: Path,
) -> None:
    config = tmp_path / "tidegauge.toml"
    config.write_text('[store]\nurl = "sqlite:///store.db"\n')
    suite = open_suite(config)

    def told(scorer: str, **other: Any) -> list[Measurement]:
        about = {"monitor": "quality", "labels": {"scorer": scorer}, "window": DAY, "n": 9}
        score = Measurement(metric="usefulness.score", value=0.5, detectable=0.25, **about)
        return [score, Measurement(metric="quality.rate_for_tolerance", **about, **other)]

    found = [
        *told("few", value=1.0, low=1.0, high=1.0, status=Status.INSUFFICIENT),
        *told("all", value=1.0, low=0.7, high=1.0, reason="not_even_all"),
    ]
    with suite.store.begin() as connection:
        suite.store.publish(connection, "quality", DAY, found)
    suite.record_step("daily_quality", "measure", DAY, 0, {}, 0.1, last=True)
    text = write_report(suite).read_text()
    assert text.count("shows a change of 25.0 %") == 2
    assert text.count("; not even all rows would show 1.0 %.") == 1
    assert "sampling rate" not in text
    suite.store.close()
