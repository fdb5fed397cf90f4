"""Distances know their floor, tests keep their level, and days are not taken for rows."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from monitors.statistics.days import (
    histogram_test_by_day,
    jensen_shannon_by_day,
    psi_by_day,
    wasserstein_over_iqr_by_day,
)
from monitors.statistics.multiplicity import benjamini_hochberg, holm
from monitors.statistics.two_sample import (
    aligned,
    binned,
    chi_square,
    floor_without_change,
    jensen_shannon,
    kolmogorov_smirnov,
    mmd_permutation,
    psi,
    quantile_edges,
    wasserstein_over_iqr,
)

Array = NDArray[np.float64]
counts = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(lambda c: sum(c) > 0)
values = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=50)


@given(st.data(), counts)
def test_distances_of_histograms(data: st.DataObject, ref: list[int]) -> None:
    cur = data.draw(st.lists(st.integers(0, 500), min_size=len(ref), max_size=len(ref)))
    if sum(cur) == 0:
        return
    for distance in (psi, jensen_shannon):
        assert distance(ref, ref) == pytest.approx(0.0, abs=1e-9)
        assert distance(ref, cur) == pytest.approx(distance(cur, ref))
        assert 0 <= distance(ref, cur) < math.inf
        order = data.draw(st.permutations(range(len(ref))))
        shuffled = distance([ref[i] for i in order], [cur[i] for i in order])
        assert shuffled == pytest.approx(distance(ref, cur))
    assert jensen_shannon(ref, cur) <= 1


def test_distances_by_hand() -> None:
    assert psi([50e6, 50e6], [40e6, 60e6]) == pytest.approx(
        -0.1 * math.log(0.8) + 0.1 * math.log(1.2), rel=1e-6
    )
    assert jensen_shannon([5, 0], [0, 9]) == pytest.approx(1.0)
    assert jensen_shannon([1, 1], [1, 0]) == pytest.approx(0.311278, abs=1e-6)


def test_a_new_category_counts_finitely_and_less_with_fewer_rows() -> None:
    assert 0 < psi([10, 0], [9, 1]) < psi([1000, 0], [900, 100]) < 10


def test_the_floor_is_what_two_samples_of_one_source_show() -> None:
    """At n = 100 and 20 even categories PSI is 0.4 without any change: "critical" by convention."""
    generator = np.random.default_rng(0)
    shares = np.full(20, 0.05)
    seen = [psi(*generator.multinomial(100, shares, 2)) for _ in range(300)]
    floor = floor_without_change(*generator.multinomial(100, shares, 2))
    assert floor["psi"][0] == pytest.approx(np.mean(seen), rel=0.15)
    assert floor["psi"][0] > 0.25
    assert np.mean(np.array(seen) > floor["psi"][1]) == pytest.approx(0.05, abs=0.04)
    large = floor_without_change(shares * 1e5, shares * 1e5)
    assert large["psi"][0] == pytest.approx(19 * 2e-5, rel=0.1)
    assert large["jensen_shannon"][0] == pytest.approx(19 * 2e-5 / 8 / math.log(2), rel=0.1)


@given(values, values, st.floats(-100, 100), st.floats(0.1, 50))
def test_wasserstein_has_no_unit_and_no_origin(
    ref: list[float], cur: list[float], shift: float, scale: float
) -> None:
    found = wasserstein_over_iqr(ref, cur)
    moved = wasserstein_over_iqr([scale * x + shift for x in ref], [scale * x + shift for x in cur])
    assert moved == pytest.approx(found, rel=1e-6, abs=1e-6)
    assert wasserstein_over_iqr(ref, ref) == 0.0


def test_wasserstein_of_a_shift_is_the_shift_in_spreads() -> None:
    ref = np.linspace(0, 1, 2001)
    assert wasserstein_over_iqr(ref, ref + 0.25) == pytest.approx(0.5)
    assert wasserstein_over_iqr([3, 3, 3, 3], [3, 3]) == 0.0
    assert math.isfinite(wasserstein_over_iqr([3.0, 3.0], [4.0]))


def test_bins_are_equally_full_and_take_every_value() -> None:
    reference = np.random.default_rng(1).lognormal(size=1000)
    edges = quantile_edges(reference)
    assert binned(reference, edges) == pytest.approx(np.full(10, 100))
    assert binned([-1e9, 1e9], edges)[[0, -1]].tolist() == [1, 1]
    assert len(quantile_edges([0.0] * 99 + [1.0])) == 1, "ties make fewer bins"


def test_categories_of_both_windows_are_aligned() -> None:
    keys, ref, cur = aligned({"b": 2, "a": 1}, {"c": 3, "a": 4})
    assert (keys, ref.tolist(), cur.tolist()) == (["a", "b", "c"], [1, 2, 0], [4, 0, 3])


def test_what_cannot_be_compared_is_refused() -> None:
    for call in (
        lambda: psi([1, 2], [1, 2, 3]),
        lambda: psi([0, 0], [1, 2]),
        lambda: psi([1, -1], [1, 2]),
        lambda: psi([1, math.nan], [1, 2]),
        lambda: wasserstein_over_iqr([], [1]),
        lambda: kolmogorov_smirnov([1], [math.nan]),
        lambda: psi_by_day([[1, 2]], [[1, 2], [3, 4]]),
        lambda: mmd_permutation([[1.0]], [[1.0], [2.0]]),
    ):
        with pytest.raises(ValueError):
            call()


# ── levels and power ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("categories", [5, 60, 150])
def test_chi_square_keeps_its_level_where_counts_are_small(categories: int) -> None:
    """300 rows in up to 150 uneven categories: a test that takes the reference for the truth, or
    does not merge, is wrong here in up to all windows."""
    generator = np.random.default_rng(categories)
    shares = 1 / np.arange(1, categories + 1)
    pairs = generator.multinomial(300, shares / shares.sum(), (600, 2))
    p = np.array([chi_square(ref, cur)[1] for ref, cur in pairs])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.027)


def test_chi_square_agrees_with_scipy_and_finds_a_change() -> None:
    table = np.array([[40, 60, 25], [55, 30, 35]])
    theirs = stats.chi2_contingency(table, correction=False)
    assert chi_square(*table) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert chi_square([900, 100], [800, 200])[1] < 1e-6
    assert chi_square([900, 1], [800, 2]) == (0.0, 1.0), "one category left is no evidence"


def test_kolmogorov_smirnov_keeps_its_level() -> None:
    generator = np.random.default_rng(2)
    p = np.array([kolmogorov_smirnov(*generator.normal(size=(2, 80)))[1] for _ in range(500)])
    assert np.mean(p <= 0.05) <= 0.07
    assert kolmogorov_smirnov(generator.normal(size=300), generator.normal(0.5, size=300))[1] < 1e-3


def _week(days: int, shares: Array, concentration: float, generator: np.random.Generator) -> Array:
    return np.stack(
        [
            generator.multinomial(1000, generator.dirichlet(shares * concentration))
            for _ in range(days)
        ]
    ).astype(float)


def test_histograms_by_day_keep_their_level_and_find_a_topic() -> None:
    generator = np.random.default_rng(4)
    shares = np.array([0.4, 0.3, 0.2, 0.07, 0.03])
    grown = np.array([0.35, 0.3, 0.2, 0.07, 0.08])
    null, power, rows = [], [], []
    for _ in range(300):
        ref, cur = (_week(days, shares, 300, generator) for days in (21, 7))
        null.append(histogram_test_by_day(ref, cur))
        rows.append(chi_square(ref.sum(axis=0), cur.sum(axis=0))[1])
        power.append(histogram_test_by_day(ref, _week(7, grown, 300, generator)))
    assert np.mean(np.array(null) <= 0.05) <= 0.085
    assert np.mean(np.array(null) <= 0.01) <= 0.03
    assert np.mean(np.array(rows) <= 0.01) > 0.3, "taken as independent, the rows cry wolf"
    assert np.mean(np.array(power) <= 0.01) > 0.9


def test_effects_by_day_cover_and_start_at_zero_without_change() -> None:
    generator = np.random.default_rng(5)
    shares, moved = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.3, 0.3, 0.2, 0.2])
    for by_day, distance in ((psi_by_day, psi), (jensen_shannon_by_day, jensen_shannon)):
        truth, covered, quiet = distance(shares * 1e9, moved * 1e9), 0, 0
        for _ in range(60):
            ref = _week(21, shares, 500, generator)
            value, low, high = by_day(ref, _week(7, moved, 500, generator), draws=200)
            assert 0 <= low <= value <= high
            covered += low <= truth <= high
            quiet += by_day(ref, _week(7, shares, 500, generator), draws=200)[1] < 0.1 * truth
        assert covered >= 52
        assert quiet >= 57


def test_wasserstein_by_day_covers() -> None:
    generator = np.random.default_rng(6)

    def days(count: int, shift: float) -> list[Array]:
        return [generator.normal(shift + generator.normal(0, 0.1), 1, 200) for _ in range(count)]

    truth, covered, quiet = 0.5 / 1.349, 0, 0
    for _ in range(60):
        ref = days(21, 0.0)
        value, low, high = wasserstein_over_iqr_by_day(ref, days(7, 0.5), draws=200)
        assert 0 <= low <= value <= high
        covered += low <= truth <= high
        quiet += wasserstein_over_iqr_by_day(ref, days(7, 0.0), draws=200)[1] < 0.05
    assert covered >= 52
    assert quiet >= 55
    assert wasserstein_over_iqr_by_day([[1.0], [1.0]], [[1.0], [1.0]]) == (0.0, 0.0, 0.0)


def test_wasserstein_by_day_is_that_of_the_rows() -> None:
    generator = np.random.default_rng(7)
    ref, cur = generator.lognormal(size=(9, 400)), generator.lognormal(0.2, size=(5, 400))
    value, _, _ = wasserstein_over_iqr_by_day(list(ref), list(cur), draws=50)
    assert value == pytest.approx(wasserstein_over_iqr(ref.ravel(), cur.ravel()), rel=0.03)


# ── kernels ──────────────────────────────────────────────────────────────────────────────────


def test_mmd_is_gretton_and_others() -> None:
    """Against the definition, with loops."""
    generator = np.random.default_rng(8)
    x, y = generator.normal(size=(13, 3)), generator.normal(1, 1, size=(9, 3))
    together = np.concatenate([x, y])
    squared = ((together[:, None] - together) ** 2).sum(axis=2)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(22, 1)]))
    xx, yy, xy = kernel[:13, :13], kernel[13:, 13:], kernel[:13, 13:]
    direct = (xx.sum() - 13) / (13 * 12) + (yy.sum() - 9) / (9 * 8) - 2 * xy.mean()
    assert mmd_permutation(x, y)[0] == pytest.approx(direct, abs=1e-5)


def test_mmd_keeps_its_level_and_sees_a_change_of_shape() -> None:
    generator = np.random.default_rng(9)
    null = [
        mmd_permutation(generator.normal(size=(50, 5)), generator.normal(size=(30, 5)), 99, seed)[1]
        for seed in range(300)
    ]
    assert np.mean(np.array(null) <= 0.05) == pytest.approx(0.05, abs=0.035)
    wide = generator.normal(0, 2, size=(80, 5))
    assert mmd_permutation(generator.normal(size=(80, 5)), wide)[1] <= 0.01
    assert mmd_permutation(wide, wide[:40], seed=1) == mmd_permutation(wide, wide[:40], seed=1)


# ── real data ────────────────────────────────────────────────────────────────────────────────


def test_topics_of_real_queries(real_data: Path) -> None:
    """CLINC150's domains: quiet between parts of it, loud with 5 % more travel queries."""
    data = json.loads((real_data / "clinc150" / "data_full.json").read_text())
    domains = json.loads((real_data / "clinc150" / "domains.json").read_text())
    number = {intent: i for i, name in enumerate(sorted(domains)) for intent in domains[name]}
    topics = np.array([number[intent] for _, intent in data["train"] if intent in number])
    assert len(topics) == 15_000
    generator = np.random.default_rng(10)
    travel = sorted(domains).index("travel")
    quiet, found = [], []
    for _ in range(100):
        drawn = generator.permutation(topics)
        ref, cur = drawn[:5000], drawn[5000:7000].copy()
        quiet.append(chi_square(np.bincount(ref, minlength=10), np.bincount(cur, minlength=10))[1])
        cur[:100] = travel
        found.append(chi_square(np.bincount(ref, minlength=10), np.bincount(cur, minlength=10))[1])
    assert np.mean(np.array(quiet) <= 0.05) <= 0.11
    assert np.mean(np.array(found) <= 0.01) >= 0.9


def test_a_model_that_stopped_reasoning(real_data: Path) -> None:
    """GPT-4's answers of March and June 2023: their length moved by more than a typical spread."""
    with (real_data / "llmdrift" / "PRIME_FULL_EVAL.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if "gpt-4" in row["model"]]
    march, june = (
        [float(len(row["answer"])) for row in rows if row["model"].endswith(version)]
        for version in ("0314", "0613")
    )
    assert len(march) == len(june) == 1000
    assert wasserstein_over_iqr(march, june) > 1
    assert wasserstein_over_iqr(march[::2], march[1::2]) < 0.1
    assert kolmogorov_smirnov(march[:50], june[:50])[1] < 1e-10


# ── many tests ───────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.floats(0, 1), max_size=40))
def test_adjusted_p_values_keep_order_and_range(p: list[float]) -> None:
    raw = np.array(p)
    order = np.argsort(raw, kind="stable")
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert (adjusted >= raw - 1e-15).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[order]) >= -1e-12).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()


def test_adjusted_p_values_by_hand_and_by_scipy() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    for bad in ([0.1, math.nan], [1.1], [-0.1]):
        with pytest.raises(ValueError, match="p-values"):
            holm(bad)


def test_families_keep_their_promise() -> None:
    """20 tests, 5 real: Holm's chance of a false find and BH's share of them are held."""
    generator = np.random.default_rng(11)
    z = generator.normal(size=(2000, 20))
    z[:, :5] += 3.5
    p = 2 * stats.norm.sf(np.abs(z))
    by_holm = np.array([holm(row) <= 0.05 for row in p])
    by_bh = np.array([benjamini_hochberg(row) <= 0.05 for row in p])
    assert by_holm[:, 5:].any(axis=1).mean() <= 0.055
    share = by_bh[:, 5:].sum(axis=1) / np.maximum(by_bh.sum(axis=1), 1)
    assert share.mean() <= 0.045
    assert by_bh[:, :5].mean() > by_holm[:, :5].mean() > 0.6
