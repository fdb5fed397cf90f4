"""The log's own health: found when it falls ill, silent when it is well."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitors.context import Context
from monitors.logs.draw import draw_sample
from monitors.logs.intake import ensure_landed, intake
from sql.engine import open_engine
from sql.errors import NotReady
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.window import Grain, Window
from tests.logs_kit import DAY, NOW, context_over, fill, row

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
REFERENCE = {"days": 14}


def history(days: int, start: int = 0) -> Iterator[dict[str, Any]]:
    """Quiet days: about 200 rows each, fewer on weekends, 5 % without a rating."""
    dice = random.Random(7)
    number = start * 10_000
    for day in range(start, start + days):
        window = FIRST.shift(day)
        for place in range(int((120 if day % 7 > 4 else 200) * dice.uniform(0.95, 1.05))):
            rating = None if dice.random() < 0.05 else 4.0
            yield row(number + place, window, of=220, rating=rating)
        number += 10_000


def measured(window: Window, context: Context) -> dict[str, Measurement]:
    found = intake.measure(window, context)
    keys = [m.metric + "".join(m.labels.values()) for m in found]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found, strict=True))


def suspicious(found: dict[str, Measurement]) -> set[str]:
    return {key for key, m in found.items() if m.evidence is not None and m.evidence < 0.001}


def test_quiet_weeks_are_silent(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, history(56))
    with context_over(store, url, reference=REFERENCE) as context:
        for day in range(42, 56):
            found = measured(FIRST.shift(day), context)
            assert suspicious(found) == set()
            assert found["intake.rows"].baseline and found["intake.rows"].detectable
        first = measured(FIRST, context)
    assert first["intake.rows"].evidence is None and first["intake.rows"].status == "complete"
    assert 0 < first["intake.null_sharerating"].value < 0.2  # type: ignore[operator]


def test_a_lost_half_a_silent_column_and_a_missing_day_are_found(
    store: Store, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, history(35))
    last = FIRST.shift(35)
    fill(url, [row(n, last, of=250, feature=None) for n in range(500_000, 500_100)])
    with context_over(store, url, reference=REFERENCE) as context:
        found = measured(last, context)
        empty = measured(last.next(), context)
    assert {"intake.rows", "intake.null_sharefeature", "intake.null_sharerating"} <= suspicious(
        found
    )
    assert found["intake.null_sharefeature"].value == 1
    assert found["intake.delay_hours"].value == pytest.approx(24 * 0.604)
    # This one speaks of the days before.
    assert empty.pop("intake.late_share").status == Status.COMPLETE
    assert {m.status for m in empty.values()} == {Status.NO_DATA}
    assert "intake.null_sharefeature" in empty


def test_a_column_that_is_gone_is_told(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, history(30))
    with context_over(store, url, reference=REFERENCE) as context:
        measured(FIRST.shift(20), context)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE interaction DROP COLUMN rating"))
    engine.dispose()
    with context_over(store, url, reference=REFERENCE) as context:
        found = measured(FIRST.shift(28), context)["intake.null_sharerating"]
    assert (found.value, found.reason) == (1.0, "column_gone")
    assert found.evidence is not None and found.evidence < 1e-6


def test_the_day_the_clock_changes_is_an_ordinary_day(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    change = Window.of(date(2026, 10, 25), Grain.DAY, "Europe/Berlin")
    assert change.hours == 25
    rows = (
        row(week * 10_000 + n, day, of=int(day.hours * 40))
        for week in range(6)
        for day in [change.shift(-7 * week)]
        for n in range(int(day.hours * 40))
    )
    fill(url, rows)
    with context_over(
        store, url, timezone="Europe/Berlin", reference={"start": date(2026, 9, 1), "days": 14}
    ) as context:
        found = measured(change, context)["intake.rows"]
    assert found.value == pytest.approx(40) and found.baseline == pytest.approx(40)
    assert found.evidence == pytest.approx(1)


def test_poison_in_the_sample_is_a_share(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(n, of=2_000) for n in range(2_000)])
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE interaction SET latency_ms = -5 WHERE id LIKE '%7'"))
    engine.dispose()
    with context_over(store, url) as context:
        assert measured(DAY, context)["intake.quarantined_share"].status == "no_data"
        draw_sample(DAY, context)
        share = measured(DAY, context)["intake.quarantined_share"]
    assert share.value is not None and 0.02 < share.value < 0.25 and share.n > 60


def test_measuring_twice_gives_the_same(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, history(30))
    with context_over(store, url, reference=REFERENCE) as context:
        window = FIRST.shift(25)
        assert measured(window, context) == measured(window, context)


def test_a_window_lands_after_its_grace(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(n, of=100) for n in range(100)])
    early = DAY.end + timedelta(hours=1)
    with context_over(store, url, now=early) as context:
        with pytest.raises(NotReady, match="2026-06-02 02:00"):
            ensure_landed(DAY, context)
        fill(url, [row(n, DAY.next(), of=300) for n in range(200, 300)])
        ensure_landed(DAY, context)  # the log has gone on, whatever the clock says
    with context_over(store, url, now=NOW) as context:
        ensure_landed(DAY, context)


def test_rows_that_come_in_late_are_counted_until_their_day_is_measured_again(
    store: Store, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, history(10))
    with context_over(store, url) as context:
        for day in range(9):
            quiet = measured(FIRST.shift(day), context)["intake.late_share"]
            assert (quiet.value or 0.0) == 0.0
        late = [row(500_000 + number, FIRST.shift(6), of=60) for number in range(60)]
        fill(url, late)
        found = measured(FIRST.shift(9), context)["intake.late_share"]
        assert found.value == pytest.approx(60 / found.n)
        assert found.reason == "most_in_2026-06-07"
        measured(FIRST.shift(6), context)
        assert measured(FIRST.shift(9), context)["intake.late_share"].value == 0.0
