"""Rows that come in late: their day is measured again by the next run, and the difference kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitors import versions as versioned
from monitors.jobs import JobResult
from monitors.jobs import run as run_job
from monitors.lineage import lineage
from monitors.suite import Suite, open_suite
from monitors.versions import Version, versions
from monitors.web.coverage import calendars
from sql.tables import incident, measurement, partial_result
from sql.window import Window
from tests.logs_kit import days, fill, row

JOB, ROWS, LEAKS = "daily_quality", 400, 60
CONFIGURATION = """
[store]
url = "sqlite:///store.db"
[source]
url = "sqlite:///log.db"
{source}
[sampling]
rate = 1
force = true
[scorers.pii]
use = "monitors.quality.hazards:pii"
[monitors.intake]
use = "monitors.logs.intake:intake"
[monitors.safety]
use = "monitors.quality.safety:safety"
[[rules]]
name = "leaks"
metric = "safety.pass_rate"
decision = "threshold"
direction = "below"
threshold = 0.9
consecutive = 1
match = {{ scorer = "pii" }}
"""


@dataclass
class Place:
    """A folder with a configuration and a log that grows."""

    folder: Path

    def log(self, window: Window, start: int, count: int, leaks: int = 0) -> None:
        first = window.first_day.toordinal() * 10_000 + start
        texts = ["ask mary.brown@mail.example.org"] * leaks + ["fine"] * (count - leaks)
        made = [row(first + n, window, of=10_000, output=text) for n, text in enumerate(texts)]
        fill(f"sqlite:///{self.folder}/log.db", made)

    def run(self, window: Window, **more: Any) -> JobResult:
        config = str(self.folder / "tidegauge.toml")
        return run_job(JOB, window, config=config, as_of=window.end + timedelta(hours=6), **more)

    @property
    def suite(self) -> Suite:
        return open_suite(self.folder / "tidegauge.toml")

    def late(self, window: Window) -> dict[str, Any]:
        return dict(self.run(window).facts["late"])

    def versions(self) -> list[Version]:
        return versions(self.suite.store, JOB)

    def said(self, window: Window) -> dict[tuple[str, str], tuple[Any, ...]]:
        table = measurement.c
        query = select(measurement).where(table.window_start == window.start)
        return {
            (one.metric, one.labels): (one.value, one.low, one.high, one.n, one.status)
            for one in self.suite.store.rows(query)
        }


def place_at(folder: Path, source: str = "") -> Place:
    folder.mkdir(exist_ok=True)
    (folder / "tidegauge.toml").write_text(CONFIGURATION.format(source=source))
    return Place(folder)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Four days, measured; the second leaks."""
    found = place_at(tmp_path)
    for number, day in enumerate(days(4)):
        found.log(day, 0, ROWS, leaks=LEAKS if number == 1 else 0)
        found.run(day)
    assert found.versions() == []
    yield found


def test_a_day_that_grew_is_measured_again_as_if_it_had_been_whole(
    place: Place, tmp_path: Path
) -> None:
    _, second, _, _, fifth = days(5)
    before = place.said(second)
    place.log(second, 5_000, 20, leaks=10)
    place.log(fifth, 0, ROWS)
    assert place.late(fifth) == {"late_days": 1, "measured_again": 1}

    whole = place_at(tmp_path / "whole")
    for number, day in enumerate(days(5)):
        whole.log(day, 0, ROWS, leaks=LEAKS if number == 1 else 0)
        if number == 1:
            whole.log(day, 5_000, 20, leaks=10)
        whole.run(day)
    assert place.said(second) == whole.said(second) != before

    (version,) = place.versions()
    assert (version.number, version.rows) == (2, (ROWS, ROWS + 20))
    rate = version.of("safety.pass_rate", {"scorer": "pii"})
    assert rate == (
        (pytest.approx(1 - LEAKS / ROWS), "complete"),
        (pytest.approx(1 - (LEAKS + 10) / (ROWS + 20)), "complete"),
    )
    assert version.of("safety.pass_rate", {"scorer": "other"}) is None
    assert version.changed == len(version.differences) >= 2


def test_again_it_changes_nothing(place: Place) -> None:
    _, second, _, _, fifth, sixth = days(6)
    place.log(second, 5_000, 20)
    place.log(fifth, 0, ROWS)
    assert place.late(fifth)["measured_again"] == 1
    stood, told = place.said(second), place.said(fifth)
    assert told["intake.late_share", "{}"][0] == pytest.approx(20 / (4 * ROWS + 20))
    assert place.run(fifth).skipped
    assert place.run(fifth, force=True).facts["late"] == {"late_days": 0, "measured_again": 0}
    assert place.run(second).skipped, "it is done, over the rows that it has now"
    assert place.said(second) == stood and place.said(fifth) == told
    assert len(place.versions()) == 1
    place.log(sixth, 0, ROWS)
    place.run(sixth)
    assert place.said(sixth)["intake.late_share", "{}"][0] == 0


def test_an_incident_keeps_its_identity_and_its_story_shows_both_versions(place: Place) -> None:
    _, second, _, _, fifth = days(5)

    def incidents() -> list[tuple[Any, ...]]:
        table = incident.c
        query = select(table.fingerprint, table.generation, table.opened_window, table.state)
        return [tuple(one) for one in place.suite.store.rows(query.where(table.rule == "leaks"))]

    stood = incidents()
    assert len(stood) == 1
    place.log(second, 5_000, 20, leaks=20)
    place.log(fifth, 0, ROWS)
    place.run(fifth)
    assert incidents() == stood
    found = lineage(place.suite, stood[0][0][:10])
    (told,) = next(one.rows for one in found.sheets if one.title == "measured again")
    assert told[:4] == (second.label, JOB, "2", "400 → 420")
    assert told[5] == "85.0 % → 81.0 %"
    titles = [cell.title for one in calendars(place.suite.store, "UTC") for cell in one.cells]
    assert sum("version 2: 400 → 420 rows" in title for title in titles) == 1


def test_so_many_days_a_run_and_the_worst_first(place: Place) -> None:
    first, second, third, fourth, fifth, sixth = days(6)
    for day, count in ((first, 10), (second, 40), (third, 20), (fourth, 2)):
        place.log(day, 5_000, count)
    place.log(fifth, 0, ROWS)
    place.log(sixth, 0, ROWS)
    # Two of the 402 are below the tolerance of 1 %.
    assert place.late(fifth) == {"late_days": 3, "measured_again": 2}
    assert [one.window_start for one in place.versions()] == [second.start, third.start]
    assert place.late(sixth) == {"late_days": 1, "measured_again": 1}
    assert place.versions()[0].window_start == first.start


def test_a_day_of_more_than_a_week_ago_is_left_to_people(place: Place) -> None:
    first, ninth = days(9)[0], days(9)[8]
    place.log(first, 5_000, 100)
    place.log(ninth, 0, ROWS)
    assert place.late(ninth) == {"late_days": 0, "measured_again": 0}
    assert not place.run(first).skipped and place.versions()[0].rows == (400, 500)


def test_none_is_measured_again_where_that_is_not_wanted(tmp_path: Path) -> None:
    place = place_at(tmp_path, "late_days = 0")
    first, second = days(2)
    place.log(first, 0, ROWS)
    place.run(first)
    place.log(first, 5_000, 100)
    place.log(second, 0, ROWS)
    assert place.late(second) == {"late_days": 1, "measured_again": 0}
    assert place.versions() == []


def test_a_missing_day_that_arrives_at_last(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    first, second, third = days(3)
    place.log(first, 0, ROWS)
    for day in (first, second):
        place.run(day)
    place.log(second, 0, ROWS)
    place.log(third, 0, ROWS)
    assert place.late(third) == {"late_days": 1, "measured_again": 1}
    (version,) = place.versions()
    assert version.rows == (0, ROWS)
    assert version.of("safety.pass_rate", {"scorer": "pii"}) == (
        (None, "no_data"),
        (1.0, "complete"),
    )


def test_a_run_that_dies_between_its_monitors_loses_nothing_of_the_difference(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second, *_ = days(2)
    place.log(second, 5_000, 20, leaks=20)
    with monkeypatch.context() as patch:
        patch.setattr(versioned, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place.run(second)
    assert place.versions() == []
    place.run(second)
    (version,) = place.versions()
    found = version.of("safety.pass_rate", {"scorer": "pii"})
    assert found is not None and found[0] == (pytest.approx(0.85), "complete")
    steps = place.suite.store.rows(select(partial_result.c.step).distinct())
    assert "version:before" not in {one.step for one in steps}


def test_a_day_that_another_run_holds_is_left_to_it(place: Place) -> None:
    _, second, _, _, fifth = days(5)
    place.log(second, 5_000, 20)
    place.log(fifth, 0, ROWS)
    with place.suite.store.lock(f"{JOB}/ready/{second}/0-1"):
        assert place.late(fifth) == {"late_days": 1, "measured_again": 0}
    assert place.versions() == []
