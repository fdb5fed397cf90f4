"""What is told of a batch: each chapter once, and a reminder only to those who have items left."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from alerts.messages import render
from monitors.review.batch import make_batch
from monitors.review.telling import Standing, due_stage, facts_of
from monitors.settings import load_settings
from monitors.suite import Suite
from sql.tables import notification
from tests.review_kit import MONTH, NOW, fill_month, rate_all

DUE = NOW + timedelta(hours=72)


def standing(state: str = "open", **left: int) -> Standing:
    return Standing("log-2026-05", state, DUE, NOW, 100, 130, left)


@pytest.mark.parametrize(
    ("one", "hours", "stage"),
    [
        (standing(eva=70, finn=60), 0, "queued"),
        (standing(eva=66), 1, "queued"),
        (standing(eva=65), 1, "half"),
        (standing(eva=1), 49, "due"),
        (standing(eva=1), 72, "overdue"),
        (standing("closed"), 73, "closed"),
    ],
)
def test_the_chapters(one: Standing, hours: int, stage: str) -> None:
    assert due_stage(one, NOW + timedelta(hours=hours)) == stage


@pytest.mark.parametrize("stage", ["queued", "half", "due", "overdue", "closed"])
def test_the_words(stage: str) -> None:
    facts = facts_of(standing(eva=3, finn=1), stage, {"eva": "U0EVA"}, "https://review.example/")
    message = render("review", facts)
    body = message.blocks[0]["text"]["text"]
    assert "log-2026-05" in message.text
    reminded = stage in ("due", "overdue")
    assert ("<@U0EVA>: 3 to go" in body, "finn: 1 to go" in body) == (reminded, reminded)
    assert "<https://review.example/|Rate>" in body


def test_each_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "tidegauge.toml"
    file.write_text('[store]\nurl = "sqlite:///store.db"\n[review]\nsize = 100\n')
    suite = Suite(load_settings(file)).at(NOW)
    fill_month(suite.context, [1.0] * 120, [0.8] * 120)
    make_batch(MONTH, suite.context)
    assert [suite.tell_reviews(), suite.tell_reviews()] == [1, 0]
    rate_all(suite.context, "log-2026-05", {f"r{n:05d}": 1.0 for n in range(120)}, share=0.9)
    assert suite.at(NOW + timedelta(hours=60)).tell_reviews() == 1
    rows = suite.store.rows(select(notification).order_by(notification.c.sequence))
    assert [row.payload["stage"] for row in rows] == ["queued", "due"]
    assert sum(one["open"] for one in rows[1].payload["people"]) == 13
    assert suite.deliver()["sent"] == 2
    assert suite.tell_reviews() == 0
    suite.store.close()
