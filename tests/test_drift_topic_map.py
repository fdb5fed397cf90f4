"""All of the traffic by topic: names that last, shares that add up, parts that explain a fall."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from monitors.context import Context
from monitors.drift.texts import sampled_inputs
from monitors.drift.topic_map import OTHER, map_in_force, members_of, parts_of, topic_map
from monitors.drift.topic_map_page import write_map
from monitors.logs.draw import draw_sample
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import model_artifact, sample, score
from tests.logs_kit import context_over, days, fill, row
from tests.test_drift_topics import FIRST, WEEKS, WordEmbedder, judge

SUBJECTS = ("order", "refund", "tent", "lamp")


def asked(week: int, number: int) -> str:
    """Four subjects of like size; from the third week on half of the tents are kayaks."""
    subject = SUBJECTS[number % 4]
    if week >= 2 and subject == "tent" and number % 8 == 2:
        subject = "kayak"
    return f"{subject} question {number} of item{number % 5}"


@contextmanager
def weeks(store: Store, folder: Path) -> Iterator[Context]:
    url, number = f"sqlite:///{folder}/log.db", 0
    for place, window in enumerate(days(28, FIRST)):
        rows = []
        for _ in range(40):
            text = asked(place // 7, number)
            slow = 700 if text.startswith("lamp") else 300
            rows.append(row(number, window, of=10**4, input=text, latency_ms=slow, cost_usd=0.01))
            number += 1
        fill(url, rows)
    sections: dict[str, Any] = {
        "reference": {"start": FIRST.first_day.isoformat(), "days": 14},
        "sampling": {"rate": 1, "force": True},
        "reports": str(folder / "reports"),
        "review": {"scorer": "judge"},
    }
    with context_over(store, url, **sections) as context:
        context = replace(context, embedder=WordEmbedder, scorers=(judge,))
        for window in days(28, FIRST):
            draw_sample(window, context)
        _score(store)
        yield context


def _score(store: Store) -> None:
    """Everything is well but the lamps of the last two weeks."""
    rows = store.rows(select(sample.c.item_id, sample.c.at, sample.c.input))
    said = (
        {
            "source": "log",
            "item_id": each.item_id,
            "scorer": "judge",
            "scorer_version": "1",
            "at": each.at,
            "value": 0.5 if each.at >= WEEKS[2].start and each.input.startswith("lamp") else 0.9,
            "reason": "",
        }
        for each in rows
    )
    with store.begin() as connection:
        store.upsert(connection, score, said)


def of(found: Sequence[Measurement], name: str) -> dict[str, Measurement]:
    return {m.labels["topic"]: m for m in found if m.metric == f"drift.map.{name}"}


def test_topics_keep_their_names_and_their_shares_add_up(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        first = topic_map.measure(WEEKS[0], context)
        third, fourth = (topic_map.measure(WEEKS[n], context) for n in (2, 3))
        again = topic_map.measure(WEEKS[3], context)
        found = map_in_force(context)
        assert found is not None
        texts = sampled_inputs([WEEKS[3]], context)
        members = members_of(found, texts, context)
    assert [(m.status, m.reason) for m in first] == [(Status.INSUFFICIENT, "reference_period")]
    assert again == fourth
    subject = {item: text.split()[0] for item, text in zip(texts.ids, texts.inputs, strict=True)}
    held = {key: {subject[item] for item in ids} for key, ids in members.items()}
    assert all(len(words) == 1 for key, words in held.items() if key != OTHER), "one subject each"
    assert "kayak" in held[OTHER], "what the reference has not is of no topic of its"
    for shares in (of(third, "share"), of(fourth, "share")):
        assert set(shares) == {*found.keys, OTHER}
        assert sum(m.value for m in shares.values()) == pytest.approx(1)
        assert sum(m.baseline for m in shares.values()) == pytest.approx(1)
        assert shares[OTHER].low > shares[OTHER].baseline
    measured = {key for key, m in of(fourth, "latency").items() if m.value is not None}
    lamps = [key for key, words in held.items() if words == {"lamp"} and key in measured]
    assert lamps, "a topic of fewer than ten rows has no numbers"
    for key in lamps:
        assert of(fourth, "latency")[key].value == 700 > of(fourth, "latency")[key].baseline
        assert of(fourth, "quality")[key].high < of(fourth, "quality")[key].baseline


def test_the_parts_say_which_topic_fell(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        found = map_in_force(context)
        assert found is not None
        texts = sampled_inputs([WEEKS[3]], context)
        members = members_of(found, texts, context)
        parts = parts_of(found, texts, members, context)
        page = write_map(WEEKS[3], context)
        assert write_map(WEEKS[0], context) is None
    subject = {item: text.split()[0] for item, text in zip(texts.ids, texts.inputs, strict=True)}
    lamps = np.mean([each == "lamp" for each in subject.values()])
    assert sum(part.total for part in parts.values()) == pytest.approx(-0.4 * lamps)
    fell = {key for key, part in parts.items() if part.within < -0.01}
    assert {subject[item] for key in fell - {OTHER} for item in members[key]} == {"lamp"}
    assert page is not None
    text = page.read_text()
    assert "<td>lamp</td>" in text and "700 ms" in text and "-10." in text


def test_the_map_outlives_the_texts_and_holds_no_word(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        before = topic_map.measure(WEEKS[3], context)
        with store.begin() as connection:
            old = sample.c.at < WEEKS[2].start
            connection.execute(update(sample).where(old).values(input=None))
        assert topic_map.measure(WEEKS[3], context) == before
        kept = store.rows(select(model_artifact.c.body))
        assert len(kept) == store.rows(select(func.count()).select_from(model_artifact))[0][0] == 1
    assert not any(word in kept[0].body.decode() for word in (*SUBJECTS, "question"))
    assert json.loads(kept[0].body)["keys"][0] == "T01"
