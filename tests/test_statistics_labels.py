"""What people's labels say: agreement, correction of a judge, pairs, seasons, comparisons."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from monitors.statistics.agreement import (
    UNDEFINED,
    Level,
    cohen_kappa,
    krippendorff_alpha,
    percent_agreement,
    recall,
)
from monitors.statistics.bayesian import (
    probability_mean_worse,
)
from monitors.statistics.intervals import wilson
from monitors.statistics.paired import (
    paired_rate_difference,
)
from monitors.statistics.prediction_powered import ppi_mean, prediction_powered
from monitors.statistics.seasonal import seasonal, seasonal_day

Array = NDArray[np.float64]

# ── agreement ────────────────────────────────────────────────────────────────────────────────

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability": four observers, twelve units.
_OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
_UNITS = [
    [None if value == "." else float(value) for value in unit]
    for unit in zip(*(line.split() for line in _OBSERVERS), strict=True)
]


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_as_published(level: Level, published: float) -> None:
    alpha, low, high = krippendorff_alpha(_UNITS, level)
    assert alpha == pytest.approx(published, abs=5e-4)
    assert low < alpha < high <= 1


@given(st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=4), min_size=2, max_size=15))
def test_alpha_knows_no_order(units: list[list[int]]) -> None:
    alpha, low, high = krippendorff_alpha(units, "ordinal", draws=50)
    again, _, _ = krippendorff_alpha([unit[::-1] for unit in units[::-1]], "ordinal", draws=50)
    assert again == pytest.approx(alpha)
    assert low <= alpha <= high
    # Any spacing of the categories has the same ranks.
    stretched = [[float(value) ** 3 for value in unit] for unit in units]
    assert krippendorff_alpha(stretched, "ordinal", draws=50)[0] == pytest.approx(alpha)


def test_alpha_at_its_ends() -> None:
    alpha, low, high = krippendorff_alpha([[1, 1], [2, 2], [3, 3]] * 5)
    assert (alpha, high) == (1.0, 1.0)
    assert low == pytest.approx(1 - wilson(0, 15)[1]), "15 items are not certainty"
    assert krippendorff_alpha([[4, 4], [4, 4]]) == UNDEFINED
    assert (
        abs(krippendorff_alpha(np.random.default_rng(0).integers(1, 4, (900, 2)).tolist())[0]) < 0.1
    )
    with pytest.raises(ValueError, match="two ratings"):
        krippendorff_alpha([[1, None], [math.nan, 2]])


def test_alphas_interval_covers() -> None:
    generator = np.random.default_rng(1)

    def ratings(n: int) -> list[list[float]]:
        truth = generator.integers(1, 4, n)
        noise = generator.random((n, 3)) < 0.15
        return np.where(noise, generator.integers(1, 4, (n, 3)), truth[:, None]).tolist()

    truth = krippendorff_alpha(ratings(40_000), draws=2)[0]
    found = [krippendorff_alpha(ratings(100), draws=300) for _ in range(100)]
    assert sum(low <= truth <= high for _, low, high in found) >= 88


def test_kappa_by_hand() -> None:
    """Cohen's formula on 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: (0.7 − 0.5)/(1 − 0.5)."""
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    kappa, low, high = cohen_kappa(first, second)
    assert kappa == pytest.approx(0.4)
    assert low < 0.4 < high
    assert cohen_kappa(first, second, [2.0] * 50)[0] == pytest.approx(0.4)
    assert percent_agreement(first, second) == pytest.approx((0.7, *wilson(35, 50)))


def test_kappas_interval_is_the_textbooks_on_many_items() -> None:
    """Fleiss, Cohen & Everitt's standard error, computed here from the table cell by cell."""
    # Fleiss, Levin & Paik, "Statistical methods for rates and proportions", table 18.1.
    table = np.array([[7500, 100, 400], [500, 400, 100], [0, 0, 1000]]) / 10_000
    first, second = table.sum(axis=1), table.sum(axis=0)
    po, pe = np.trace(table), first @ second
    kappa = (po - pe) / (1 - pe)
    on = sum(table[i, i] * (1 - (first[i] + second[i]) * (1 - kappa)) ** 2 for i in range(3))
    off = sum(
        table[i, j] * (second[i] + first[j]) ** 2 for i in range(3) for j in range(3) if i != j
    )
    variance = on + (1 - kappa) ** 2 * off - (kappa - pe * (1 - kappa)) ** 2
    error = math.sqrt(variance / 10_000) / (1 - pe)
    assert (kappa, 10 * error) == pytest.approx((0.68, 0.087), abs=5e-3), "published, for n = 100"
    cells = [(i, j) for i in range(3) for j in range(3) for _ in range(round(table[i, j] * 1e4))]
    found = cohen_kappa(*(list(side) for side in zip(*cells, strict=True)))
    assert found[0] == pytest.approx(kappa)
    assert found[2] - found[1] == pytest.approx(2 * 1.959964 * error, rel=2e-3)


@pytest.mark.parametrize(("n", "accuracy"), [(40, 0.97), (60, 0.97), (200, 0.9), (200, 0.7)])
def test_kappas_interval_covers(n: int, accuracy: float) -> None:
    generator = np.random.default_rng(n)

    def pair(size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        truth = generator.random(size) < 0.8
        return truth, truth ^ (generator.random(size) >= accuracy)

    truth = cohen_kappa(*pair(400_000))[0]
    found = [cohen_kappa(*pair(n)) for _ in range(400)]
    assert np.mean([low <= truth <= high for _, low, high in found]) >= 0.92


def test_weights_undo_a_targeted_batch_in_kappa_and_recall() -> None:
    generator = np.random.default_rng(2)
    bad = generator.random(200_000) < 0.2
    flagged = bad ^ (generator.random(200_000) < 0.1)
    truth = cohen_kappa(bad, flagged)[0], (flagged & bad).sum() / bad.sum()
    chance = np.where(flagged, 0.01, 0.0015)
    covered = np.zeros(2)
    for _ in range(200):
        drawn = generator.random(200_000) < chance
        weights = 1 / chance[drawn]
        kappa = cohen_kappa(bad[drawn], flagged[drawn], weights)
        hits = recall(bad[drawn], flagged[drawn], weights)
        assert hits is not None
        covered += [kappa[1] <= truth[0] <= kappa[2], hits[1] <= truth[1] <= hits[2]]
    assert (covered / 200 >= 0.9).all()


def test_a_judge_that_passes_everything_agrees_and_finds_nothing() -> None:
    bad = np.arange(100) < 18
    nothing = np.zeros(100, dtype=bool)
    assert percent_agreement(bad, nothing)[0] == pytest.approx(0.82)
    assert cohen_kappa(bad, nothing)[0] == pytest.approx(0.0)
    found = recall(bad, nothing)
    assert found is not None
    assert found[0] == 0.0
    assert recall(nothing, bad) is None
    assert cohen_kappa(nothing, nothing) == UNDEFINED
    assert cohen_kappa([1, 2, 1, 2], [1, 2, 1, 2])[1] < 0.6, "four items prove nothing"
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa([1], [1, 2])


# ── prediction-powered ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [30, 100, 300])
@pytest.mark.parametrize("right", [0.5, 0.85, 0.97])
def test_the_corrected_mean_covers_and_is_no_wider_than_people_alone(n: int, right: float) -> None:
    generator = np.random.default_rng(n)
    covered, widths, alone = 0, 0.0, 0.0
    for _ in range(300):
        good = (generator.random(2000) < 0.82).astype(float)
        judge = np.where(generator.random(2000) < right, good, 1 - good)
        labelled = generator.choice(2000, n, replace=False)
        value, low, high = ppi_mean(good[labelled], judge[labelled], judge)
        assert low <= value <= high
        covered += low <= 0.82 <= high
        widths += high - low
        _, low, high = ppi_mean(good[labelled], np.zeros(n), np.zeros(2000))
        alone += high - low
    assert covered / 300 >= 0.92
    assert widths <= alone * 1.01
    if right > 0.9:
        assert widths < 0.75 * alone


def test_a_judge_that_is_too_kind_is_corrected() -> None:
    """It says 99 % where people say 82 %; alone it would be sure and wrong."""
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        good = (generator.random(3000) < 0.82).astype(float)
        judge = np.clip(0.95 + 0.04 * good + generator.normal(0, 0.005, 3000), 0, 1)
        labelled = generator.choice(3000, 150, replace=False)
        _, low, high = ppi_mean(good[labelled], judge[labelled], judge)
        covered += low <= 0.82 <= high
        assert high < judge.mean()
    assert covered / 200 >= 0.92


def test_labels_that_aim_at_doubt_are_weighted() -> None:
    generator = np.random.default_rng(4)
    doubt = generator.beta(4, 1.2, 4000)
    covered = plain = 0
    for _ in range(200):
        good = (generator.random(4000) < doubt).astype(float)
        chance = np.clip(0.01 + 0.3 * (1 - doubt), 0, 1)
        drawn = generator.random(4000) < chance
        truth = 4 / 5.2
        _, low, high = ppi_mean(good[drawn], doubt[drawn], doubt, 1 / chance[drawn])
        covered += low <= truth <= high
        plain += abs(good[drawn].mean() - truth) < 0.05
    assert covered / 200 >= 0.92
    assert plain / 200 < 0.05, "the plain mean of such labels is far off"


def test_all_labelled_is_people_alone_and_one_label_is_refused() -> None:
    generator = np.random.default_rng(5)
    good, judge = generator.integers(0, 2, 400).astype(float), generator.random(400)
    found = prediction_powered(good, judge, judge)
    assert found.mean == pytest.approx(good.mean(), abs=0.01)
    low, high = wilson(good.sum(), 400)
    assert found.high - found.low == pytest.approx(high - low, rel=0.05)
    assert found.labels_worth == pytest.approx(400, rel=0.05)
    for call in (
        lambda: ppi_mean([1], [1], judge),
        lambda: ppi_mean([1, 0], [1], judge),
        lambda: ppi_mean([1, 0], [1, 2], judge),
        lambda: ppi_mean([1, math.nan], [1, 0], judge),
    ):
        with pytest.raises(ValueError):
            call()


def test_labels_apart_from_the_traffic() -> None:
    generator = np.random.default_rng(6)
    covered = 0
    for _ in range(300):
        good = (generator.random(1200) < 0.7).astype(float)
        judge = np.where(generator.random(1200) < 0.9, good, 1 - good)
        _, low, high = ppi_mean(good[:200], judge[:200], judge[200:], nested=False)
        covered += low <= 0.7 <= high
    assert covered / 300 >= 0.92


# ── pairs ────────────────────────────────────────────────────────────────────────────────────


def test_paired_differences_as_published() -> None:
    """Fagerland, Lydersen & Laake 2017, "Statistical analysis of contingency tables", ch. 8:
    airway reactivity (Bentur et al.) and complete response (Cavo et al.)."""
    assert paired_rate_difference(1, 1, 7, 12)[1:] == pytest.approx((0.026, 0.507), abs=1e-3)
    assert paired_rate_difference(59, 6, 16, 80)[1:] == pytest.approx((0.0046, 0.1186), abs=5e-5)


@given(*(st.integers(0, 60) for _ in range(4)))
def test_paired_differences_stay_in_range(both: int, first: int, second: int, neither: int) -> None:
    if both + first + second + neither == 0:
        return
    difference, low, high = paired_rate_difference(both, first, second, neither)
    assert -1 <= low <= difference + 1e-12
    assert difference - 1e-12 <= high <= 1
    mirrored = paired_rate_difference(both, second, first, neither)
    assert (mirrored[1], mirrored[2]) == pytest.approx((-high, -low))


def test_gpt4_forgot_its_primes(real_data: Path) -> None:
    """Paired by prompt, March against June 2023: 50 prompts find it nearly always."""
    with (real_data / "llmdrift" / "PRIME_FULL_EVAL.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if "gpt-4" in row["model"]]
    right: dict[str, dict[str, bool]] = {}
    for row in rows:
        said = "yes" if "[yes]" in row["answer"].lower() else "no"
        right.setdefault(row["query"], {})[row["model"][-4:]] = said == row["ref_answer"].lower()
    pairs = np.array([[r["0314"], r["0613"]] for r in right.values() if len(r) == 2])
    generator = np.random.default_rng(8)
    found, noise = 0, 0

    def differs(first: NDArray[np.bool_], second: NDArray[np.bool_], both: int) -> bool:
        one, two = int(first.sum()), int(second.sum())
        _, low, high = paired_rate_difference(both, one, two, 100 - both - one - two, 0.99)
        return low > 0 or high < 0

    for _ in range(100):
        drawn = pairs[generator.choice(len(pairs), 100, replace=False)]
        only_first, only_second = (drawn[:, 0] & ~drawn[:, 1]), (~drawn[:, 0] & drawn[:, 1])
        both = int((drawn[:, 0] & drawn[:, 1]).sum())
        found += differs(only_first, only_second, both)
        swapped = generator.random(100) < 0.5
        first = np.where(swapped, only_second, only_first)
        second = np.where(swapped, only_first, only_second)
        noise += differs(first, second, both)
    assert found >= 95
    assert noise <= 4


# ── season ───────────────────────────────────────────────────────────────────────────────────


def _costs(generator: np.random.Generator, days: int = 57) -> Array:
    week = np.array([1, 1.05, 1.1, 1.05, 1, 0.6, 0.5])
    index = np.arange(days)
    noise = generator.normal(0, 0.08, days)
    return 100 * week[index % 7] * np.exp(0.01 * index / 7 + noise)


def test_a_quiet_season_is_quiet_and_a_costly_day_is_found() -> None:
    generator = np.random.default_rng(10)
    quiet, half, twice = 0, 0, 0
    for _ in range(400):
        days = _costs(generator)
        found = seasonal_day(days.tolist())
        assert found is not None
        quiet += found.unusual()
        for factor in (1.5, 2.0):
            more = seasonal_day([*days[:-1], days[-1] * factor])
            assert more is not None
            half, twice = (
                half + (factor < 2 and more.unusual()),
                twice + (factor == 2 and more.unusual()),
            )
    assert quiet <= 1, "0.8 a year at most"
    assert half >= 0.75 * 400
    assert twice >= 0.99 * 400


def test_one_earlier_incident_hides_nothing() -> None:
    usual = [100.0, 104, 98, 101, 97, 103, 99]
    with_incident = seasonal(160.0, [*usual, 900.0])
    assert with_incident is not None
    assert with_incident.unusual()
    assert with_incident.baseline == pytest.approx(100.5, abs=0.01)
    assert with_incident.ratio == pytest.approx(160 / 100.5, rel=1e-3)
    assert with_incident.weeks == 8


def test_the_season_needs_four_weeks_and_compares_like_with_like() -> None:
    assert seasonal(5.0, [5.0, 5.0, 5.0, None, 0.0]) is None
    even = seasonal(5.1, [5.0] * 4)
    assert even is not None
    assert math.isfinite(even.z)
    assert not even.unusual(), "weeks that agree by chance make no outlier of a small change"
    sunday = [100.0] * 6 + [50.0]
    found = seasonal_day([*(sunday * 9)[:-1], 50.0])
    assert found is not None
    assert found.ratio == pytest.approx(1.0)
    silent = seasonal_day([*(sunday * 9)[:-1], 0.0])
    assert silent is not None
    assert silent.unusual()
    assert seasonal_day([*sunday * 8, None]) is None
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="amount"):
            seasonal(bad, [1.0] * 4)


# ── variants ─────────────────────────────────────────────────────────────────────────────────


def test_probability_of_being_worse() -> None:
    assert probability_mean_worse(1.0, 0.3, 1.0, 0.4) == pytest.approx(0.5)
    assert probability_mean_worse(0.0, 0.3, 1.0, 0.4, 0.2) == pytest.approx(stats.norm.cdf(1.6))
    mirrored = probability_mean_worse(1.0, 0.3, 0.0, 0.4, 0.2, higher_is_better=False)
    assert mirrored == pytest.approx(stats.norm.cdf(1.6))
    few = probability_mean_worse(0.0, 0.3, 1.0, 0.4, 0.2, degrees=5)
    assert few == pytest.approx(stats.t.cdf(1.6, 5))
    for numbers in ((0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 1.0, 1.0), (math.nan, 1.0, 1.0, 1.0)):
        with pytest.raises(ValueError, match="finite standard errors"):
            probability_mean_worse(*numbers)
