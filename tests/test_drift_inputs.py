"""The weekly look at columns, through the monitor: a shift is found, a quiet week is silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random

from monitors.context import Context
from monitors.drift.inputs import inputs
from monitors.logs.draw import draw_sample
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
        "sampling": {"rate": 1, "force": True},
        "drift": {"columns": ["input_characters", "segment", "feature"]},
    }
    with context_over(store, url, **sections) as context:
        for window in days(42, FIRST):
            draw_sample(window, context)
        yield context


def found(window: Window, context: Context) -> dict[tuple[str, str], Measurement]:
    return {
        (m.metric.rpartition(".")[2], m.labels.get("column", "")): m
        for m in inputs.measure(window, context)
    }


def test_what_moved_is_found_and_what_did_not_is_not(store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path) as context:
        quiet, longer, other = (found(window, context) for window in (QUIET, LONGER, OTHER))
        early = found(Window.of(date(2026, 6, 1), Grain.WEEK), context)
        empty = found(OTHER.shift(5), context)
        assert found(LONGER, context) == longer, "measured again it is the same"
    assert min(m.evidence for m in quiet.values()) > 0.01
    moved = longer["wasserstein", "input_characters"]
    assert moved.evidence <= 0.0005 and moved.unit == "iqr"
    assert moved.low > 0.15 > quiet["wasserstein", "input_characters"].high
    assert longer["psi", "input_characters"].value > longer["psi", "input_characters"].baseline
    assert longer["psi", "segment"].evidence > 0.01
    assert other["psi", "segment"].evidence <= 0.0005
    assert other["psi", "input_characters"].evidence > 0.01
    assert ("wasserstein", "segment") not in other
    assert ("psi", "feature") not in quiet, "one value has no distribution"
    assert {m.reason for m in early.values()} == {"reference_period"}
    assert [(m.status, m.reason) for m in empty.values()] == [(Status.NO_DATA, "empty_window")]
