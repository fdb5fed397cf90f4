"""Arms over days: persons are the units, and a difference that does not last is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitors.context import Context
from monitors.logs.draw import draw_sample
from monitors.quality.comparison import comparison
from monitors.quality.scoring import score_sample
from monitors.quality.usefulness import accepted
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.window import Window
from tests.logs_kit import context_over, days, fill, row

ROWS = 300
DIFFERENCE, NOVELTY = "comparison.arm.difference", "comparison.arm.novelty"
Share = Callable[[int, str], float]


def day_rows(number: int, window: Window, starts: int, share: Share) -> Iterator[dict[str, Any]]:
    """Half of the rows in the arm once it has begun; ``share`` is accepted, by day and arm."""
    random = Random(number)
    for place in range(ROWS):
        arm = "canary" if place % 2 and number >= starts else "control"
        yield row(
            number * ROWS + place,
            window,
            of=10**6,
            arm=arm,
            user_id=f"u{place % 100}-{number}",
            # Some say nothing: a row without a score belongs to neither side.
            accepted=random.random() < share(number, arm) if random.random() < 0.95 else None,
        )


@contextmanager
def over(store: Store, folder: Path, days_of_rows: list[list[dict[str, Any]]]) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    fill(url, (item for rows in days_of_rows for item in rows))
    sections: dict[str, Any] = {
        "sampling": {"rate": 1.0, "force": True},
        "quality": {"comparison_hours": 48},
        "privacy": {"key": "a key of these tests"},
    }
    with context_over(store, url, **sections) as context:
        yield replace(context, scorers=(accepted,))


def measured(context: Context, count: int) -> list[dict[str, Measurement]]:
    """Every day's measurements by metric."""
    seen = []
    for window in days(count):
        draw_sample(window, context)
        score_sample(window, context)
        found = list(comparison.measure(window, context))
        assert all(m.labels["candidate"] == "canary" for m in found)
        seen.append({m.metric: m for m in found})
    return seen


def test_one_loud_user_is_no_evidence_and_many_are(store: Store, tmp_path: Path) -> None:
    """150 refusals by one user of the canary are one discontented user, not 150."""

    def log(number: int, window: Window, users: int) -> list[dict[str, Any]]:
        rows = list(day_rows(number, window, 0, lambda _day, _arm: 0.9))
        for place in range(75):
            loud = {"arm": "canary", "accepted": False, "user_id": f"loud{place % users}"}
            rows.append(row(10_000 * (number + 1) + place, window, of=10**6, **loud))
        return rows

    (tmp_path / "one").mkdir()
    logs = [[log(n, w, users) for n, w in enumerate(days(2))] for users in (1, 75)]
    with over(store, tmp_path / "one", logs[0]) as context:
        one = measured(context, 2)[1][DIFFERENCE]
    assert one.status is Status.COMPLETE and one.value < -0.2
    assert one.evidence > 0.05 and one.low < 0 < one.high
    with over(store, tmp_path, logs[1]) as context:
        many = measured(context, 2)[1][DIFFERENCE]
    assert many.value == pytest.approx(one.value, abs=0.02)
    assert many.evidence < 1e-4 and many.high < 0


def test_conversations_stand_in_for_users_that_are_not_known(store: Store, tmp_path: Path) -> None:
    def log(number: int, window: Window) -> list[dict[str, Any]]:
        made = day_rows(number, window, 0, lambda _day, _arm: 0.9)
        talks = Random(7 + number)
        return [
            {**item, "user_id": None, "conversation_id": f"c{talks.randrange(9)}{item['arm']}"}
            for item in made
        ]

    with over(store, tmp_path, [log(n, w) for n, w in enumerate(days(2))]) as context:
        found = measured(context, 2)[1][DIFFERENCE]
    # Nine conversations an arm are fewer than `minimum_n` observations.
    assert (found.status, found.reason) == (Status.INSUFFICIENT, "too_few")
    assert 0.9 < found.n / (2 * ROWS) < 1 and found.low < found.value < found.high


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (lambda day, arm: 0.9 - 0.35 * (arm == "canary" and day < 4), "faded"),
        (lambda day, arm: 0.6 + (0.3 if day < 4 else -0.3) * (arm == "canary"), "flipped"),
        (lambda day, arm: 0.9 - 0.3 * (arm == "canary"), "has not moved"),
        (lambda _day, _arm: 0.8, "has not moved"),
    ],
)
def test_a_difference_that_does_not_last_is_told_from_one_that_does(
    store: Store, tmp_path: Path, share: Share, said: str
) -> None:
    starts, length = 2, 9
    log = [list(day_rows(n, w, starts, share)) for n, w in enumerate(days(length))]
    with over(store, tmp_path, log) as context:
        seen = measured(context, length)
    # Two days are compared, so six must have passed since the arm began.
    assert not seen[starts - 1]
    young = [day[NOVELTY] for day in seen[starts : starts + 5]]
    assert {(m.status, m.reason, m.value) for m in young} == {
        (Status.INSUFFICIENT, "too_early", None)
    }
    last = seen[-1][NOVELTY]
    assert last.status is Status.COMPLETE and said in last.method
    assert last.low < last.value < last.high
    if said == "has not moved":
        assert last.evidence > 0.01 and last.low < 0.05
    else:
        assert last.evidence < 0.001 and last.low > 0.1


def test_an_arm_as_old_as_the_watch_is_not_new(store: Store, tmp_path: Path) -> None:
    log = [list(day_rows(n, w, 0, lambda _day, _arm: 0.8)) for n, w in enumerate(days(7))]
    with over(store, tmp_path, log) as context:
        assert all(NOVELTY not in day for day in measured(context, 7))
