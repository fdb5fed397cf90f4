"""Ratings of the few: the raw mean where all rate alike, and the truth where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.logs.draw import draw_sample
from monitors.quality.delight import rating
from monitors.quality.ratings import ratings
from monitors.quality.scoring import score_sample
from monitors.statistics.poststratified import poststratified
from sql.measurement import Measurement, Status
from sql.store import Store
from tests.logs_kit import DAY, context_over, fill, row

NOBODY = float("nan")


@given(
    blocks=st.lists(
        st.tuples(
            st.sampled_from([("a", "x"), ("a", "y"), ("b", "x"), ("b", "z"), ("c", "x")]),
            st.lists(st.integers(0, 4), min_size=1, max_size=12),
        ),
        min_size=1,
        max_size=12,
    ),
    silent=st.integers(0, 4),
    weight=st.sampled_from([1.0, 20.0, 33.3]),
    enough=st.integers(1, 8),
)
def test_where_every_cell_rates_as_often_it_is_the_raw_mean(
    blocks: list[tuple[tuple[str, str], list[int]]], silent: int, weight: float, enough: int
) -> None:
    """By construction: beside each rating stand as many silent rows of the same cell."""
    values, cells = [], []
    for cell, stars in blocks:
        for star in stars:
            values += [star / 4, *[NOBODY] * silent]
            cells += [cell] * (1 + silent)
    found = poststratified(values, cells, [weight] * len(values), enough=enough)
    told = [value for value in values if value == value]
    assert found.mean == pytest.approx(found.raw) == pytest.approx(np.mean(told))
    assert 0 <= found.low <= found.mean <= found.high <= 1 and found.low < found.high


SHARES = {("chat", "free"): 0.4, ("chat", "pro"): 0.2, ("mail", "free"): 0.3, ("mail", "pro"): 0.1}
LIKED = {("chat", "free"): 0.5, ("chat", "pro"): 0.75, ("mail", "free"): 0.85, ("mail", "pro"): 0.9}
RATES = {
    ("chat", "free"): 0.30,
    ("chat", "pro"): 0.08,
    ("mail", "free"): 0.05,
    ("mail", "pro"): 0.1,
}
TRUTH = sum(SHARES[cell] * LIKED[cell] for cell in SHARES)


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Rows of cells that rate from 5 to 30 % of the time, the displeased the most."""
    names = list(SHARES)
    cells = [names[k] for k in rng.choice(len(names), n, p=list(SHARES.values()))]
    liked = np.array([LIKED[cell] for cell in cells])
    stars = rng.binomial(4, liked) / 4
    silent = rng.random(n) > np.array([RATES[cell] for cell in cells])
    stars[silent] = NOBODY
    return stars, list(cells)


def test_where_the_displeased_rate_more_it_finds_the_truth_and_the_raw_mean_does_not() -> None:
    rng, found = np.random.default_rng(8), []
    for _ in range(600):
        found.append(poststratified(*drawn(rng, 800)))
    covered = np.mean([one.low <= TRUTH <= one.high for one in found])
    assert 0.93 <= covered <= 0.985
    assert np.mean([one.mean for one in found]) == pytest.approx(TRUTH, abs=0.004)
    assert TRUTH - np.mean([one.raw for one in found]) > 0.08
    assert max(one.cells for one in found) == 4


def test_thin_cells_join_their_nearest_and_the_rest_stand_together() -> None:
    cells = [("a", "x")] * 10 + [("a", "y")] * 4 + [("a", "z")] * 4 + [("b", "x")] * 3
    values = [1.0] * 10 + [0.5] * 4 + [0.5] * 4 + [0.0] * 3
    apart = poststratified(values, cells, enough=3)
    assert apart.cells == 4
    # y and z are one; b has nobody like it, and the smallest of the others keeps it company.
    together = poststratified(values, cells, enough=5)
    assert together.cells == 2
    alone = poststratified(values, cells, enough=100)
    assert (alone.cells, alone.mean) == (1, pytest.approx(alone.raw))
    assert apart.mean == pytest.approx(together.mean) == pytest.approx(np.mean(values))


def test_few_and_equal_ratings_leave_doubt() -> None:
    cells = [("a",)] * 12
    one = poststratified([1.0] + [NOBODY] * 11, cells)
    six = poststratified([1.0] * 6 + [NOBODY] * 6, cells)
    assert one.mean == six.mean == 1.0 and one.low < six.low < 0.8
    single = poststratified([0.5] + [NOBODY] * 11, cells)
    assert single.low < 0.2 and single.high > 0.8
    for bad in ([NOBODY] * 12, [2.0] * 12, [0.5] * 11):
        with pytest.raises(ValueError):
            poststratified(bad, cells)


# ── the monitor ──────────────────────────────────────────────────────────────────────────────


def day_rows() -> Iterator[dict[str, Any]]:
    """All of chat is poor and often rated, mail is good and seldom; half of the rows each."""
    random = Random(2)
    for number in range(4_000):
        chat = number % 2 == 0
        told = random.random() < (0.4 if chat else 0.05)
        stars = (2 if chat else 5) if told else None
        yield row(number, feature="chat" if chat else "mail", segment="s", rating=stars)


def measured(store: Store, folder: Path, rows: Iterator[dict[str, Any]]) -> list[Measurement]:
    url = f"sqlite:///{folder}/log.db"
    fill(url, rows)
    with context_over(store, url, sampling={"rate": 0.5, "force": True}) as base:
        context = replace(base, scorers=(rating,))
        draw_sample(DAY, context)
        score_sample(DAY, context)
        assert ratings.measure(DAY, base)[0].reason == "no_scorer"
        return ratings.measure(DAY, context)


def test_the_corrected_mean_stands_beside_the_raw_one(store: Store, tmp_path: Path) -> None:
    found = {(m.metric, *m.labels.values()): m for m in measured(store, tmp_path, day_rows())}
    told = found[("delight.rating",)]
    assert told.value == pytest.approx((0.25 + 1.0) / 2, abs=0.02)
    assert told.low < told.value < told.high and told.status is Status.COMPLETE
    assert told.baseline == pytest.approx((0.4 * 0.25 + 0.05) / 0.45, abs=0.03)
    assert found["delight.rated_share", "chat"].value == pytest.approx(0.4, abs=0.04)
    assert found["delight.rated_share", "mail"].value == pytest.approx(0.05, abs=0.02)
    whole = found[("delight.rated_share",)]
    assert whole.low < 0.225 < whole.high


def test_nobody_rates_is_a_share_of_zero_and_no_mean(store: Store, tmp_path: Path) -> None:
    found = measured(store, tmp_path, (row(number) for number in range(400)))
    shares = [m for m in found if m.metric == "delight.rated_share"]
    assert shares and all(m.value == 0 and m.high > 0 for m in shares)
    told = found[-1]
    assert (told.metric, told.status, told.value) == ("delight.rating", Status.NO_DATA, None)
