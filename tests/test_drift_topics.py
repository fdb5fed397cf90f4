"""A topic that came or went is named, keeps its name, and leaves no word behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import select, update

from monitors.context import Context
from monitors.drift import topics as topics_module
from monitors.drift.regions import apart, matched, regions
from monitors.drift.terms import terms
from monitors.drift.texts import Texts, sampled_inputs
from monitors.drift.topic_values import growth, values_of
from monitors.drift.topics import keep, read_topics, topics
from monitors.drift.topics_page import write_topics
from monitors.logs.draw import draw_sample
from monitors.scorer import Layer, Score, scorer
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import partial_result, sample, score
from sql.window import Grain, Window
from tests.logs_kit import context_over, days, fill, row

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
WEEKS = [Window.of(FIRST.first_day, Grain.WEEK).shift(n) for n in range(4)]
CANARY = "quetzalcoatl"


def cloud(rng: np.random.Generator, centre: int, count: int, spread: float = 0.06) -> Any:
    """``count`` unit vectors about an axis."""
    points = rng.normal(0, spread, (count, 32))
    points[:, centre] += 1
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_two_new_topics_are_two_and_an_old_one_beside_them_is_none() -> None:
    rng = np.random.default_rng(1)
    past = np.vstack([cloud(rng, axis, 150) for axis in range(6)])
    week = np.vstack([*(cloud(rng, axis, 60) for axis in range(6)), cloud(rng, 9, 25)])
    week = np.vstack([week, cloud(rng, 11, 15)])
    found = regions(past, week)
    assert [set(each.members) for each in found] == [set(range(360, 385)), set(range(385, 400))]
    assert [len(each.other) for each in found] == [0, 0]
    assert regions(past, week[:360]) == []
    gone = regions(week[:360], np.vstack([past, cloud(rng, 9, 80)]))
    assert [set(each.members) for each in gone] == [set(range(900, 980))]


def near_to(rng: np.random.Generator, count: int, cosine: float) -> Any:
    """A cloud whose centre has this cosine to axis 9."""
    points = rng.normal(0, 0.06, (count, 32))
    points[:, 9] += cosine
    points[:, 11] += np.sqrt(1 - cosine**2)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("cosine", [0.1, 0.4, 0.55, 0.65])
def test_a_second_topic_beside_the_first_is_not_swallowed(cosine: float) -> None:
    rng = np.random.default_rng(2)
    past = np.vstack([cloud(rng, axis, 150) for axis in range(6)])
    usual = np.vstack([cloud(rng, axis, 60) for axis in range(6)])
    week = np.vstack([usual, cloud(rng, 9, 30), near_to(rng, 25, cosine)])
    found = sorted(set(each.members) for each in regions(past, week))
    assert sorted(found, key=min) == [set(range(360, 390)), set(range(390, 415))]


def test_one_topic_is_not_cut_in_two() -> None:
    rng = np.random.default_rng(3)
    for count in (5, 9, 10, 30, 400):
        for spread in (0.02, 0.1):
            assert len(apart(cloud(rng, 4, count, spread))) == 1
    assert apart(cloud(rng, 4, 4)) == [], "too few to be one"
    assert len(apart(np.repeat(cloud(rng, 4, 1), 50, axis=0))) == 1


@given(st.permutations(range(4)))
@settings(max_examples=20, deadline=None)
def test_a_topic_keeps_its_name_in_whatever_order_it_is_found(order: list[int]) -> None:
    axes = np.eye(8, dtype=np.float32)
    before = [axes[n] for n in range(4)]
    now = [axes[n] for n in order] + [axes[7]]
    assert matched(before, now) == [*order, None]


def test_terms_are_no_single_persons_words() -> None:
    inside = [f"the stove valve leaks, says {name}" for name in ("ada", "bob", "cyd", "dan")]
    inside += ["the stove valve", f"{CANARY} stove valve {CANARY}", "stove [EMAIL] 12345 valve"]
    outside = ["where is my order", "the valve of my order", "a refund"] * 20
    found = terms(inside, outside)
    assert found[:2] == ["stove", "valve"]
    assert not {"ada", CANARY, "email", "order"} & set(found)
    assert terms(["same text"] * 50, outside) == [], "one text, however often, is one"
    mine = [f"my kayak number {n} is late" for n in ("one", "two", "three", "four")]
    assert "kayak" in terms(mine, outside)
    assert "kayak" in terms(mine, outside, authors=["u1", "u2", None, "u1"])
    assert terms(mine, outside, authors=["u1", "u1", "u2", "u2"]) == [], "two people's words"


# ── through the monitor ──────────────────────────────────────────────────────────────────────


class WordEmbedder:
    """A text's first word decides where it lies; the others move it a little."""

    digest = "0" * 64

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        def vector(text: str) -> NDArray[np.float64]:
            place = np.zeros(32)
            first = text.split()[0] if text.split() else "-"
            place[sum(map(ord, first)) % 31] = 1
            noise = np.random.default_rng(sum(map(ord, text))).normal(0, 0.06, 32)
            return (place + noise) / np.linalg.norm(place + noise)

        return np.array([vector(text) for text in texts], dtype=np.float32).reshape(-1, 32)


USUAL = ("order", "refund", "tent", "lamp")


def asked(week: int, number: int) -> str:
    new = week >= 2 and number % 12 == 0
    subject = "valve" if new else USUAL[number % 4]
    word = CANARY if number == 12 else f"please{number % 7}"
    return f"{subject} question {word} {number} write to ada{number}@example.org"


@contextmanager
def weeks(store: Store, folder: Path, texts: Any = asked) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    number = 0
    for place, window in enumerate(days(28, FIRST)):
        rows = []
        for _ in range(40):
            text = texts(place // 7, number)
            slow = 900 if text.startswith("valve") else 300
            numbers = {"latency_ms": slow + number % 9, "cost_usd": slow / 1e5}
            rows.append(row(number, window, of=10**4, input=text, **numbers))
            number += 1
        fill(url, rows)
    sections: dict[str, Any] = {
        "reference": {"start": FIRST.first_day.isoformat(), "days": 14},
        "sampling": {"rate": 1, "force": True},
        "reports": str(folder / "reports"),
    }
    with context_over(store, url, **sections) as context:
        context = replace(context, embedder=WordEmbedder)
        for window in days(28, FIRST):
            draw_sample(window, context)
        yield context


def shares(window: Window, context: Context) -> list[Measurement]:
    return [m for m in topics.measure(window, context) if m.metric == "drift.topic.share"]


def test_a_new_topic_is_measured_named_and_shown(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        assert shares(WEEKS[0], context)[0].reason == "reference_period"
        first, second = shares(WEEKS[2], context), shares(WEEKS[3], context)
        assert [m.reason for m in first] == ["new"]
        assert first[0].labels == {"topic": f"{WEEKS[2]}.1"} == second[0].labels
        assert first[0].value == pytest.approx(1 / 12, abs=0.01) and first[0].baseline == 0
        assert first[0].low > 0.05
        assert shares(WEEKS[2], context) == first, "measured again it is the same"
        page = write_topics(WEEKS[2], context)
        kept = store.rows(select(partial_result.c.body))
    assert page is not None
    text = page.read_text()
    assert ">valve</span>" in text and "valve question" in text
    assert "ada" not in text and "[EMAIL]" in text
    words = json.dumps([each.body for each in kept])
    assert "valve" not in words and CANARY not in words and "question" not in words


def test_a_quiet_week_does_not_rename_a_topic(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        shares(WEEKS[2], context)
        kept = read_topics(WEEKS[2], context)
        back = WEEKS[2].shift(-3)
        keep(back, kept, context)
        keep(WEEKS[2], [], context)
        assert shares(WEEKS[3], context)[0].labels == {"topic": f"{WEEKS[2]}.1"}


def test_what_a_topic_costs_and_how_it_grows(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        topics.measure(WEEKS[2], context)
        found = {m.metric.rpartition(".")[2]: m for m in topics.measure(WEEKS[3], context)}
        page = write_topics(WEEKS[3], context)
    latency, cost, grown = found["latency"], found["cost"], found["growth"]
    assert latency.unit == "ms" and latency.low <= latency.value <= latency.high
    assert 900 <= latency.value < 910 and 300 <= latency.baseline < 310
    assert cost.value == pytest.approx(0.009) and cost.baseline == pytest.approx(0.003)
    assert grown.low < 0 < grown.high and abs(grown.value) < 0.01
    assert (found["quality"].status, found["quality"].reason) == (
        Status.INSUFFICIENT,
        "no_values",
    )
    assert page is not None and "<dt>Latency</dt><dd>90" in page.read_text()
    assert "of all requests since the week before" in page.read_text()


def test_growth_is_newcombes_difference() -> None:
    from monitors.statistics.intervals import rate_difference, wilson

    then, now = (0.02, *wilson(10, 500)), (0.06, *wilson(30, 500))
    found = growth("t", now, then, 500, WEEKS[3])
    assert (found.value, found.low, found.high) == pytest.approx(rate_difference(30, 500, 10, 500))


def test_shares_are_of_the_traffic_not_of_the_sample(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        with store.begin() as connection:
            rare = sample.c.input.startswith("valve")
            connection.execute(update(sample).where(rare).values(inclusion_probability=0.25))
        (found,) = shares(WEEKS[2], context)
        texts = sampled_inputs([WEEKS[2]], context)
    valves = np.array([text.startswith("valve") for text in texts.inputs])
    truth = 4 * valves.sum() / (4 * valves.sum() + (~valves).sum())
    assert found.value == pytest.approx(truth) and found.low < truth < found.high
    assert found.value > 2.5 * valves.mean()


@scorer(name="judge", version="1", layer=Layer.CORRECTNESS, needs=("output",))
def judge(batch: Any, _context: Context) -> list[Score]:
    return [Score(1.0) for _ in range(len(batch))]


def test_all_rows_count_inside_and_outside(store: Store, tmp_path: Path) -> None:
    """More than five hundred on either side; those outside in an order that says something."""
    ids = [f"r{number}" for number in range(2_000)]
    values = [1.0] * 700 + [1.0] * 500 + [0.0] * 800
    rows = Texts(
        ids, [""] * 2_000, np.ones(2_000), {"latency_ms": np.zeros(0), "cost_usd": np.zeros(0)}
    )
    rows.numbers.update(latency_ms=np.full(2_000, np.nan), cost_usd=np.full(2_000, np.nan))
    with context_over(store, f"sqlite:///{tmp_path}/log.db", review={"scorer": "judge"}) as context:
        context = replace(context, scorers=(judge,))
        said = (
            {
                "source": context.source.name,
                "item_id": item,
                "scorer": "judge",
                "scorer_version": "1",
                "at": WEEKS[2].start,
                "value": value,
                "reason": "",
            }
            for item, value in zip(ids, values, strict=True)
        )
        with store.begin() as connection:
            store.upsert(connection, score, said)
        found = list(values_of({"t": ids[:700]}, rows, WEEKS[2], context))
    quality = next(m for m in found if m.metric.endswith("quality"))
    assert (quality.n, quality.value) == (700, 1.0)
    assert quality.baseline == pytest.approx(500 / 1_300)


def test_the_sample_is_read_once_however_many_topics(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(week: int, number: int) -> str:
        text = asked(week, number)
        return f"snow {text}" if week >= 2 and number % 12 == 1 else text

    reads: list[int] = []

    def counted(windows: Any, context: Context) -> Texts:
        reads.append(len(windows))
        return sampled_inputs(windows, context)

    monkeypatch.setattr(topics_module, "sampled_inputs", counted)
    with weeks(store, tmp_path, two) as context:
        assert len(shares(WEEKS[2], context)) == 2
    assert reads == [1, 14], "the week, and the reference's days"


def test_a_topic_that_went_is_told_too(store: Store, tmp_path: Path) -> None:
    def without_lamps(week: int, number: int) -> str:
        text = asked(0, number)
        return text.replace("lamp", "tent") if week >= 2 else text

    with weeks(store, tmp_path, without_lamps) as context:
        found = shares(WEEKS[2], context)
        gone = [m for m in found if m.reason == "gone"]
        assert len(gone) == 1
        assert gone[0].value == 0 and gone[0].baseline == pytest.approx(0.25, abs=0.03)
        assert [t.kind for t in read_topics(WEEKS[2], context)].count("gone") == 1


@pytest.mark.parametrize(
    "text",
    [
        lambda week, number: "all the same",
        lambda week, number: "🙂" * (1 + number % 5),
        lambda week, number: "x" * 100_000 if number % 50 == 0 else f"tent {number}",
        lambda week, number: " ",
    ],
)
def test_odd_weeks_have_a_name_and_no_crash(text: Any, store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path, text) as context:
        found = shares(WEEKS[3], context)
        assert [m.status for m in found] == [Status.NO_DATA]
        assert found[0].reason in ("no_topic_moved", "empty_window")
        assert write_topics(WEEKS[3], context) is None
        assert shares(WEEKS[3].shift(9), context)[0].reason == "empty_window"
