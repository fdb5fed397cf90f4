"""A model swapped behind the same name is seen in the log itself, on the day, and once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from monitors.logs.embedded import create, write_rows
from monitors.logs.source import Source
from monitors.provider.served import served_model
from monitors.settings import Settings, SourceSettings
from sql.engine import open_engine
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.window import Grain, Window
from tests.provider_kit import context_for

FIRST = Window.of(date(2026, 3, 1), Grain.DAY)
NAMES = ("request_model", "response_model", "system_fingerprint")
Rows = dict[tuple[str | None, ...], int]


class Log:
    """A source by the day: what `Source` says of counts, without a database of its own."""

    def __init__(self, days: dict[Window, Rows], attributes: Sequence[str] = NAMES) -> None:
        self.days, self.attributes, self.reads = days, frozenset(attributes), 0

    def first_instant(self) -> datetime | None:
        return min((day.start for day in self.days), default=None)

    def count_by(
        self, window: Window, attributes: Sequence[str]
    ) -> Counter[tuple[str | None, ...]]:
        self.reads += 1
        places = [NAMES.index(name) for name in attributes]
        found: Counter[tuple[str | None, ...]] = Counter()
        for values, count in self.days.get(window, {}).items():
            found[tuple(values[place] for place in places)] += count
        return found


def steady(days: int, change_at: int | None = None, **changed: str) -> dict[Window, Rows]:
    out: dict[Window, Rows] = {}
    for number in range(days):
        new = change_at is not None and number >= change_at
        model = changed.get("model", "gpt-1-0301") if new else "gpt-1-0301"
        fingerprint = changed.get("fingerprint", "fp_a") if new else "fp_a"
        out[FIRST.shift(number)] = {
            ("gpt-1", model, fingerprint): 900,
            ("gpt-1", None, None): 12,  # failed calls
            ("small", "small-2", None): 200,
        }
    return out


def measure(log: Log, day: int, store: Store, folder: Path) -> dict[str, Measurement]:
    context = context_for(Settings(root=folder), store, source=log)
    found = served_model.measure(FIRST.shift(day), context)
    return {item.labels.get("request_model", ""): item for item in found}


def test_three_quiet_months_say_nothing(store: Store, tmp_path: Path) -> None:
    log = Log(steady(91))
    said = [measure(log, day, store, tmp_path) for day in range(91)]
    assert [day for day, found in enumerate(said) for item in found.values() if item.value] == []
    assert said[90]["gpt-1"].status is Status.COMPLETE
    assert said[90]["gpt-1"].n == 900
    assert log.reads < 200  # each day's counts are remembered


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "gpt-1-0613"}, "model gpt-1-0613"),
        ({"fingerprint": "fp_b"}, "fingerprint fp_b"),
        ({"model": "<script>" * 40}, "model " + ("?script?" * 10)),
    ],
)
def test_a_swap_is_said_for_a_week_and_then_is_the_usual(
    store: Store, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    log = Log(steady(60, change_at=40, **change))
    said = {day: measure(log, day, store, tmp_path)["gpt-1"] for day in range(35, 60)}
    assert [day for day, item in said.items() if item.value] == list(range(40, 47))
    assert said[40].reason == reason
    assert measure(log, 40, store, tmp_path)["small"].value == 0


def test_a_stray_answer_is_no_swap(store: Store, tmp_path: Path) -> None:
    days = steady(45)
    days[FIRST.shift(40)]["gpt-1", "gpt-1-0613", "fp_b"] = 4
    assert measure(Log(days), 40, store, tmp_path)["gpt-1"].value == 0


def test_a_model_of_your_own_choice_is_no_swap(store: Store, tmp_path: Path) -> None:
    days = steady(45)
    days[FIRST.shift(40)]["gpt-2", "gpt-2-0101", "fp_z"] = 500
    found = measure(Log(days), 40, store, tmp_path)
    assert (found["gpt-2"].status, found["gpt-2"].value) == (Status.INSUFFICIENT, None)


def test_what_cannot_be_told_is_said(store: Store, tmp_path: Path) -> None:
    log = Log(steady(45))
    assert measure(log, 1, store, tmp_path)["gpt-1"].status is Status.INSUFFICIENT
    assert measure(log, 70, store, tmp_path)[""].reason == "no_rows"
    blind = Log(steady(45), attributes=["request_model"])
    assert measure(blind, 40, store, tmp_path)[""].reason == "field_missing"


def test_measuring_again_says_the_same(store: Store, tmp_path: Path) -> None:
    log = Log(steady(60, change_at=40, model="gpt-1-0613"))
    for day in (42, 30, 50):
        assert measure(log, day, store, tmp_path) == measure(log, day, store, tmp_path)


def test_a_swap_in_a_real_log(store: Store, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/log.db")
    create(engine)
    rows = (
        {
            "id": f"{day}-{number}",
            "at": FIRST.shift(day).start + timedelta(minutes=number),
            "input": "q",
            "output": "a",
            "request_model": "gpt-1",
            "response_model": "gpt-1-0613" if day >= 40 else "gpt-1-0301",
            "error_type": None,
        }
        for day in range(45)
        for number in range(20)
    )
    write_rows(engine, rows, source_name="log", seed="tidegauge")
    engine.dispose()
    settings = Settings(root=tmp_path, source=SourceSettings(url=f"sqlite:///{tmp_path}/log.db"))
    source = Source.open(settings.source)
    context = context_for(settings, store, source=source)
    said = {day: served_model.measure(FIRST.shift(day), context)[0] for day in (30, 39, 40, 44)}
    source.close()
    assert {day: item.value for day, item in said.items()} == {30: 0, 39: 0, 40: 1, 44: 1}
    assert said[40].reason == "model gpt-1-0613"
