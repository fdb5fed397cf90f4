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
from sqlalchemy import select

from monitors.context import Context
from monitors.drift.regions import matched, regions
from monitors.drift.terms import terms
from monitors.drift.topics import keep, read_topics, topics
from monitors.drift.topics_page import write_topics
from monitors.logs.draw import draw_sample
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import partial_result
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
    assert [each.other for each in found] == [0, 0]
    assert regions(past, week[:360]) == []
    gone = regions(week[:360], np.vstack([past, cloud(rng, 9, 80)]))
    assert [set(each.members) for each in gone] == [set(range(900, 980))]


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
            rows.append(row(number, window, of=10**4, input=texts(place // 7, number)))
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
