"""The pinned reference: proposed, approved by another person, held still, refused if moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select, update

from monitors.context import Context
from monitors.drift.inputs import inputs
from monitors.drift.pinned import approve, complaint_about, listed, pinned, propose
from monitors.drift.profiles import profile_day
from sql.errors import ConfigurationError
from sql.measurement import Status
from sql.store import Store
from sql.tables import audit, profile
from sql.window import Grain, Window
from tests.logs_kit import DAY, context_over, days, fill, row

WEEKS = [Window.of(DAY.first_day, Grain.WEEK).shift(number) for number in range(5)]


@contextmanager
def log(store: Store, folder: Path, columns: tuple[str, ...] = ("segment",)) -> Iterator[Context]:
    """Five weeks; from the third on "trade" is half of the requests."""
    url, chance = f"sqlite:///{folder}/log.db", Random(3)
    if not (folder / "log.db").exists():
        rows = []
        for place, day in enumerate(days(35)):
            kinds = ("home", "trade") if place >= 14 else ("home", "home", "home", "trade")
            for number in range(40):
                rows.append(row(place * 1000 + number, day, of=10**5, segment=chance.choice(kinds)))
        fill(url, rows)
    sections = {"reference": {"days": 14}, "drift": {"columns": list(columns)}}
    with context_over(store, url, now=datetime(2026, 7, 20, tzinfo=UTC), **sections) as context:
        yield context


def drift(window: Window, context: Context) -> tuple[str, float | None]:
    """What is said of "segment" against the pinned reference."""
    found = [m for m in inputs.measure(window, context) if m.labels["reference"] == "pinned"]
    told = {m.metric: m for m in found}
    if "drift.input.psi" not in told:
        only = told["drift.input.rows"]
        return f"{only.status}: {only.reason}", None
    return "", told["drift.input.psi"].evidence


def test_another_person_approves_and_the_week_is_compared_anew(
    store: Store, tmp_path: Path
) -> None:
    with log(store, tmp_path) as context:
        assert drift(WEEKS[4], context)[1] < 0.001
        made = propose(WEEKS[2].first_day, WEEKS[3].days()[-1].first_day, "ada", "trade", context)
        assert drift(WEEKS[4], context)[1] < 0.001, "a candidate changes nothing"
        with pytest.raises(ConfigurationError, match="ada proposed it"):
            approve(made.digest[:8], "ada", "me too", context)
        approve(made.digest[:8], "bob", "looked at it", context)
        assert drift(WEEKS[4], context)[1] > 0.01
        assert drift(WEEKS[3], context)[0] == "insufficient: reference_period"
        current = pinned(context)
        assert current is not None and current.approved_by == "bob"
        assert [each.approved_by for each in listed(context)] == ["auto", "bob"]
    actions = [(r.actor, r.action) for r in store.rows(select(audit))]
    assert actions == [("bob", "approve_reference")]


def test_a_mutated_reference_is_refused(store: Store, tmp_path: Path) -> None:
    with log(store, tmp_path) as context:
        assert drift(WEEKS[4], context)[0] == ""
        day = profile.c.window_start == DAY.start
        with store.begin() as connection:
            connection.execute(update(profile).where(day).values(missing=1))
        assert drift(WEEKS[4], context) == ("error: reference_mutated", None)
        seasonal = [m for m in inputs.measure(WEEKS[4], context) if m.status is Status.COMPLETE]
        assert {m.labels["reference"] for m in seasonal} == {"seasonal"}, "the other one stands"


def test_late_rows_do_not_move_a_pinned_day(store: Store, tmp_path: Path) -> None:
    with log(store, tmp_path) as context:
        before = drift(WEEKS[4], context)
        late = [row(900 + number, DAY, of=10**5, segment="late") for number in range(50)]
        fill(f"sqlite:///{tmp_path}/log.db", late)
        assert profile_day(DAY, context)["rows"] == 90
        assert drift(WEEKS[4], context) == before


def test_another_configuration_takes_the_automatic_days_anew_and_refuses_approved_ones(
    store: Store, tmp_path: Path
) -> None:
    with log(store, tmp_path) as context:
        assert drift(WEEKS[4], context)[0] == ""
    with log(store, tmp_path, ("segment", "input_characters")) as context:
        assert drift(WEEKS[4], context)[0] == "", "nobody stands for the days of [reference]"
        assert len(listed(context)) == 2
    with log(store, tmp_path) as context:
        made = propose(WEEKS[2].first_day, WEEKS[3].days()[-1].first_day, "ada", "trade", context)
        approve(made.digest, "bob", "looked at it", context)
    with log(store, tmp_path, ("segment", "input_characters")) as context:
        assert drift(WEEKS[4], context) == ("error: reference_outdated", None)
        with pytest.raises(ConfigurationError, match="reference_outdated"):
            approve(made.digest, "eva", "once more", context)
        current = pinned(context)
        assert current is not None and complaint_about(current, context) == "reference_outdated"


def test_days_that_have_not_come_yet_are_not_pinned(store: Store, tmp_path: Path) -> None:
    """The job runs after the first week, when the reference has but begun."""
    url = f"sqlite:///{tmp_path}/log.db"
    with context_over(store, url, drift={"columns": ["segment"]}) as context:
        for place, day in enumerate(days(21)):
            fill(url, [row(place * 100 + n, day, of=10**4, segment="ab"[n % 2]) for n in range(20)])
            if place in (6, 13, 20):
                week = Window.containing(day.start, Grain.WEEK)
                assert drift(week, context)[0] == "insufficient: reference_period"
                assert pinned(context) is None and not listed(context)
        assert [profile_day(day, context)["rows"] for day in days(21)] == [20] * 21
        kept = select(profile.c.rows).where(profile.c.name == "", profile.c.source == "log")
        assert [each.rows for each in store.rows(kept)] == [20] * 21


def test_days_that_are_no_reference(store: Store, tmp_path: Path) -> None:
    with log(store, tmp_path) as context:
        first, later = WEEKS[2].first_day, WEEKS[4].shift(1).first_day
        for last, reason, told in (
            (WEEKS[2].days()[3].first_day, "x", "4 days are no reference"),
            (later, "x", "1 of the 22 days have no rows, the first is 2026-07-06"),
            (WEEKS[3].days()[-1].first_day, " ", "needs a reason"),
            (date(2026, 7, 20), "x", "2026-07-20 is not over"),
        ):
            with pytest.raises(ConfigurationError, match=told):
                propose(first, last, "ada", reason, context)
        with pytest.raises(ConfigurationError, match="0 references begin with"):
            approve("ffff", "bob", "x", context)
