"""The weekly look at columns, through the monitor: a shift is found, a quiet week is silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random

from sqlalchemy import create_engine, text

from monitors.context import Context
from monitors.drift.inputs import inputs
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.window import Grain, Window
from tests.logs_kit import context_over, days, fill, row

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
QUIET, LONGER, OTHER = (Window.of(date(2026, 6, 1), Grain.WEEK).shift(n) for n in (3, 4, 5))


def asked(place: int, number: int, chance: Random) -> dict[str, object]:
    """Longer inputs in the fifth week, a new segment in the sixth; weekends are short of words."""
    words = chance.lognormvariate(2 - 0.3 * (place % 7 >= 5) + 0.4 * (28 <= place < 35), 0.5)
    new = place >= 35 and chance.random() < 0.15
    return {
        "input": "word " * max(1, int(words)),
        "segment": "partner" if new else chance.choice(["home", "work", "work"]),
    }


@contextmanager
def weeks(store: Store, folder: Path) -> Iterator[Context]:
    url, chance, number = f"sqlite:///{folder}/log.db", Random(1), 0
    for place, window in enumerate(days(42, FIRST)):
        rows = []
        for _ in range(120):
            rows.append(row(number, window, of=10**4, **asked(place, number, chance)))
            number += 1
        fill(url, rows)
    sections = {
        "reference": {"start": FIRST.first_day.isoformat(), "days": 21},
        "drift": {"columns": ["input_characters", "segment", "feature"]},
    }
    with context_over(store, url, **sections) as context:
        yield context


def found(
    window: Window, context: Context, reference: str = "pinned"
) -> dict[tuple[str, ...], Measurement]:
    """By metric, column and, where there is one, segment."""
    return {
        (m.metric.rpartition(".")[2], m.labels.get("column", ""), *_segment(m)): m
        for m in inputs.measure(window, context)
        if m.labels["reference"] == reference
    }


def _segment(item: Measurement) -> tuple[str, ...]:
    return (item.labels["segment"],) if "segment" in item.labels else ()


def evidence(found: dict[tuple[str, ...], Measurement]) -> list[float]:
    return [m.evidence for m in found.values() if m.evidence is not None]


def test_what_moved_is_found_and_what_did_not_is_not(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        quiet, longer, other = (found(window, context) for window in (QUIET, LONGER, OTHER))
        early = found(Window.of(date(2026, 6, 1), Grain.WEEK), context)
        empty = found(OTHER.shift(5), context)
        assert found(LONGER, context) == longer, "measured again it is the same"
    assert min(evidence(quiet)) > 0.01
    assert quiet["rows", ""].value == 840 == quiet["rows", ""].baseline
    moved = longer["wasserstein", "input_characters"]
    assert moved.evidence <= 0.0002 and moved.unit == "iqr"
    assert moved.low > 0.15 > quiet["wasserstein", "input_characters"].high
    assert longer["psi", "input_characters"].value > longer["psi", "input_characters"].baseline
    assert longer["psi", "input_characters", "work"].evidence <= 0.0002
    assert longer["psi", "segment"].evidence > 0.01
    assert other["psi", "segment"].evidence <= 0.0002
    assert other["psi", "input_characters"].evidence > 0.01
    assert ("wasserstein", "segment") not in other
    assert ("psi", "segment", "work") not in other, "a segment is all of one segment"
    assert quiet["psi", "feature"].reason == "one_value", "it has no distribution"
    assert {m.reason for m in early.values()} == {"reference_period"}
    assert [(m.status, m.reason) for m in empty.values()] == [(Status.NO_DATA, "empty_window")]


def test_the_season_is_the_weeks_before(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        quiet, longer, after = (
            found(window, context, "seasonal") for window in (QUIET, LONGER, LONGER.shift(1))
        )
    assert {m.reason for m in quiet.values()} == {"short_history"}, "three weeks are no season"
    assert longer["psi", "input_characters"].evidence <= 0.001
    assert after["psi", "input_characters"].evidence > 0.001, "one of five weeks was longer"
    assert after["psi", "segment"].evidence <= 0.001


def test_the_weeks_job_reads_profiles_and_not_the_log(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        before = list(inputs.measure(LONGER, context))
        with create_engine(f"sqlite:///{tmp_path}/log.db").begin() as log:
            log.execute(text("UPDATE interaction SET input = 'x'"))
        assert list(inputs.measure(LONGER, context)) == before
