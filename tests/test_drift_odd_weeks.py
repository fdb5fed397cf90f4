"""Weeks that no one plans, through the whole weekly job: each has a named state, none a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from monitors.jobs import run
from monitors.logs.draw import draw_sample
from monitors.suite import Suite, open_suite
from sql.measurement import Measurement, Status
from sql.window import Grain, Window
from tests.conftest import ROOT
from tests.logs_kit import days, fill, row

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
WEEK = Window.of(date(2026, 6, 22), Grain.WEEK)
MONITORS = {"inputs", "embeddings", "topics", "topic_map"}
HELLO = """
hello|bonjour|hallo|hola|ciao|olá|привет|привіт|cześć|ahoj|здравей|γεια σου|merhaba|مرحبا|שלום|سلام|
नमस्ते|হ্যালো|ਸਤ ਸ੍ਰੀ ਅਕਾਲ|નમસ્તે|வணக்கம்|నమస్కారం|ನಮಸ್ಕಾರ|ഹലോ|ආයුබෝවන්|สวัสดี|ສະບາຍດີ|မင်္ဂလာပါ|
សួស្តី|xin chào|halo|kamusta|こんにちは|안녕하세요|你好|您好吗|сайн уу|გამარჯობა|բարեւ|ሰላም
""".replace("\n", "").split("|")
Text = Callable[[int], str | None]
ODD: dict[str, tuple[int, Text]] = {
    "empty": (0, str),
    "one row": (1, lambda number: f"where is parcel {number}"),
    "all equal": (280, lambda _: "the same question"),
    "all null": (280, lambda _: None),
    "a megabyte": (70, lambda number: f"word{number % 9} " * 150_000 if number % 35 == 0 else "hi"),
    "forty languages": (280, lambda number: f"{HELLO[number % 40]} {number}"),
    "only emoji": (280, lambda number: "🙂🏔️👩‍👩‍👧"[: 1 + number % 6]),
    "control marks": (280, lambda number: "\x07\u2066\u202e\u200b"[number % 4] * (1 + number % 3)),
}

STATES = {"empty": "empty_window", "one row": "too_few_rows", "all null": "empty_window"}


def make_null(log: Path) -> None:
    """As a log of somebody else may be: our own table refuses rows without a text."""
    with closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("CREATE TABLE other AS SELECT * FROM interaction")
        connection.execute("DROP TABLE interaction")
        connection.execute("ALTER TABLE other RENAME TO interaction")
        connection.execute("UPDATE interaction SET input = NULL WHERE input = ''")


@pytest.fixture(params=ODD)
def suite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Suite]:
    """Three ordinary weeks, which are the reference, and an odd one."""
    shipped = (ROOT / "tidegauge.toml").read_text().replace("rate = 0.05", "rate = 1\nforce = true")
    (tmp_path / "tidegauge.toml").write_text(shipped)
    (tmp_path / "data").mkdir()
    usual = [
        row(
            place * 20 + number,
            window,
            of=10**4,
            input=f"where is my {['order', 'parcel', 'tent'][number % 3]} {number}",
        )
        for place, window in enumerate(days(21, FIRST))
        for number in range(20)
    ]
    count, text = ODD[request.param]
    odd = [
        row(1_000 + number, WEEK.days()[number % 7], input=text(number) or "", output="answer")
        for number in range(count)
    ]
    fill(f"sqlite:///{tmp_path}/data/log.db", [*usual, *odd])
    if text(0) is None:
        make_null(tmp_path / "data" / "log.db")
    suite = open_suite(tmp_path / "tidegauge.toml", as_of=WEEK.end)
    for window in days(28, FIRST):
        draw_sample(window, suite.context)
    yield suite
    suite.store.close()


def test_an_odd_week_has_a_named_state(suite: Suite, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["suite"]
    config = str(suite.settings.root / "tidegauge.toml")
    first = run("weekly_drift", WEEK, config=config, as_of=WEEK.end)
    found = suite.store.measurements(grain=Grain.WEEK)
    assert first.status != Status.ERROR
    assert {item.monitor for item in found} == MONITORS
    states = {(item.reason or item.status) for item in found if item.monitor == "embeddings"}
    assert states == {STATES.get(name, "complete")}
    for item in found:
        assert item.status in (Status.COMPLETE, Status.INSUFFICIENT, Status.NO_DATA), item
        assert item.status is Status.COMPLETE or item.reason
    run("weekly_drift", WEEK, config=config, as_of=WEEK.end, force=True)
    again: list[Measurement] = suite.store.measurements(grain=Grain.WEEK)
    assert again == found, "run again it says the same"


def test_evidently_is_not_asked_about_texts_that_are_not_there() -> None:
    """Failed requests have no answer; its descriptors divide by a text's length."""
    import pandas as pd

    from monitors.drift.picture import _described

    frame = pd.DataFrame({"n": [1, 2, 3], "input": ["hello there", "", None], "output": None})
    frame.loc[2, "output"] = "see https://example.org"
    found = _described(frame)
    assert found["input: words"].tolist()[0] == 2
    assert found["input: words"].isna().tolist() == [False, True, True]
    assert found["output: link"].isna().tolist() == [True, True, False]
    assert found["output: link"].tolist()[2] == "True" and found["n"].tolist() == [1, 2, 3]
