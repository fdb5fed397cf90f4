"""Operations that users feel: what a feature could do, how long a task took, who came back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitors.quality.operations import operations
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.window import Window
from tests.logs_kit import DAY, context_over, days, fill, row
from tests.test_quality_days import measure

Found = dict[Any, Measurement]


def measured(store: Store, folder: Path, rows: list[list[dict[str, Any]]]) -> list[Found]:
    url = f"sqlite:///{folder}/log.db"
    for some in rows:
        fill(url, some)
    reference = {"start": DAY.first_day.isoformat(), "days": 7}
    with context_over(store, url, reference=reference) as context:
        return [measure(operations, window, context) for window in days(len(rows))]


def levels_of(number: int, window: Window, shares: tuple[float, ...]) -> Iterator[dict[str, Any]]:
    random = Random(number)
    for place in range(400):
        level = random.choices((1, 2, 3, 4, 5), shares)[0]
        feature = "chat" if place % 2 else "search"
        yield row(number * 400 + place, window, of=10**6, feature=feature, capability_level=level)


def test_a_feature_that_can_do_less_is_found_by_level_and_quiet_days_are_silent(
    store: Store, tmp_path: Path
) -> None:
    healthy, poor = (0, 0.02, 0.03, 0.1, 0.85), (0, 0.02, 0.25, 0.1, 0.63)
    made = [list(levels_of(n, day, healthy)) for n, day in enumerate(days(9))]
    seen = measured(store, tmp_path, [*made, list(levels_of(9, DAY.shift(9), poor))])
    name = "operations.capability_share"
    for found in seen:
        of_all = [found[name, str(level)] for level in range(1, 6)]
        assert sum(m.value for m in of_all) == pytest.approx(1)
        assert found[name, "1"].value == 0 and found[name, "1"].high > 0
    for quiet in seen[7:9]:
        assert max(m.evidence for key, m in quiet.items() if key[0] == name) < 3
    worse = seen[9]
    assert worse[name, "3"].evidence > 8 and worse[name, "5"].evidence > 8
    assert worse[name, "2"].evidence < 3 and worse[name, "4"].evidence < 3
    assert worse[name, "3", "search"].evidence > 8
    assert worse[name, "5"].baseline == pytest.approx(0.85, abs=0.02)


def test_time_to_task_is_the_median_of_all_that_were_done(store: Store, tmp_path: Path) -> None:
    def of_day(number: int, window: Window) -> Iterator[dict[str, Any]]:
        random, slower = Random(number), 1.6 if number == 9 else 1.0
        for place in range(300):
            done = place % 3 > 0
            yield row(
                number * 300 + place,
                window,
                of=10**6,
                # A cold start or a failed first try is part of the task.
                cold_start=place % 5 == 0,
                error_type="timeout" if place % 7 == 0 else None,
                shadow_of="r1" if place % 50 == 0 else None,
                time_to_task_s=random.lognormvariate(4.4, 0.5) * slower if done else None,
            )

    made = [list(of_day(number, window)) for number, window in enumerate(days(10))]
    seen = measured(store, tmp_path, made)
    key = ("operations.time_to_task_p50",)
    for rows, found in zip(made, seen, strict=True):
        times = sorted(
            r["time_to_task_s"] for r in rows if r["time_to_task_s"] and not r["shadow_of"]
        )
        told = found[key]
        assert (told.n, told.unit) == (len(times), "s")
        assert told.value == pytest.approx(times[(len(times) - 1) // 2], rel=0.02)
        assert told.low < told.value < told.high
        assert found["operations.time_to_task_p50", "chat"].n == len(times)
    assert all(found[key].evidence > 1e-3 for found in seen[7:9])
    assert seen[9][key].evidence < 1e-3 and seen[9][key].value > 1.4 * seen[9][key].baseline


def visits(number: int, window: Window, users: list[str | None]) -> list[dict[str, Any]]:
    return [
        row(number * 500 + place, window, of=10**6, user_id=user)
        for place, user in enumerate(users)
    ]


def test_repeat_use_counts_users_as_sets_do(store: Store, tmp_path: Path) -> None:
    random = Random(3)
    drawn = [[f"u{random.randrange(120)}" for _ in range(60)] for _ in range(10)]
    made = []
    for number, (window, users) in enumerate(zip(days(10), drawn, strict=True)):
        rows = visits(number, window, [*users, None, ""])
        # What nobody was served brings nobody back.
        shadow = row(9_999 + number, window, of=10**6, user_id="u999", shadow_of="r1")
        made.append([*rows, shadow])
    seen = measured(store, tmp_path, made)
    key = ("operations.repeat_use",)
    for number, found in enumerate(seen):
        told = found[key]
        if number < 7:
            assert (told.status, told.reason) == (Status.NO_DATA, "too_early")
            continue
        today = set(drawn[number])
        before = set().union(*drawn[number - 7 : number])
        assert told.n == len(today)
        assert told.value == pytest.approx(len(today & before) / len(today))
        assert told.low < told.value


def test_users_who_stop_coming_back_are_found(store: Store, tmp_path: Path) -> None:
    """The reference is the second week: the first has no week before it."""
    random = Random(5)

    def users(number: int) -> list[str | None]:
        old = 0.5 if number == 20 else 0.9
        return [
            f"u{random.randrange(150)}" if random.random() < old else f"new{number}-{place}"
            for place in range(300)
        ]

    made = [visits(number, window, users(number)) for number, window in enumerate(days(21))]
    url = f"sqlite:///{tmp_path}/log.db"
    for rows in made:
        fill(url, rows)
    reference = {"start": DAY.shift(7).first_day.isoformat(), "days": 7}
    key = ("operations.repeat_use",)
    with context_over(store, url, reference=reference) as context:
        seen = [measure(operations, window, context)[key] for window in days(21)]
    assert max(found.evidence for found in seen[14:20]) < 3
    assert seen[20].evidence > 8 and seen[20].high < seen[20].baseline


def test_a_log_without_users_or_levels_says_nothing_of_them(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(number) for number in range(30)])
    columns = {"user_id": "", "capability_level": "", "time_to_task_s": ""}
    with context_over(store, url, source={"columns": columns}) as context:
        found = {m.metric for m in operations.measure(DAY, context)}
    assert "operations.requests" in found
    assert not {name for name in found if "repeat" in name or "capab" in name or "task" in name}
