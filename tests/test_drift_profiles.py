"""Days as sketches: facts are right, however they are computed; odd weeks have a name."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from monitors.context import Context
from monitors.drift.columns import FACTS, categories, numbers, watched
from monitors.drift.inputs import inputs
from monitors.drift.profiles import profile_day, read
from monitors.drift.sketches import Categories, Numbers, pooled, quantiles
from monitors.logs.interaction import Batch
from monitors.quality.slices import WHOLE
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import profile
from sql.window import Grain, Window
from tests.logs_kit import DAY, context_over, days, fill, row


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log can be written, in a file and on a server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def kept_in(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path}/store.db")


def category(name: str, *texts: str | None) -> list[str | None]:
    return categories(FACTS[name], Batch({"input": texts}), DAY).to_pylist()


@pytest.mark.parametrize(
    ("fact", "yes", "no"),
    [
        ("input_question", "is it late?", "it is late"),
        ("input_command", "Please summarise this", "where is my order"),
        ("input_command", "/reset", "the writer"),
        ("input_code", "why does ```x``` fail", "a plain sentence; and one more"),
        ("input_code", "def f(x): pass", "the function of a heart"),
        ("input_url", "see https://a.example/b", "see http"),
        ("input_number", "order 7", "order seven"),
        ("input_pii", "write to ada@example.org", "write to ada at example"),
    ],
)
def test_facts_about_texts(fact: str, yes: str, no: str) -> None:
    assert category(fact, yes, no, "", None) == ["yes", "no", None, None]


def test_the_script_is_that_of_most_letters() -> None:
    texts = ("hello", "привет, мир hi", "東京 is big", "今日は", "42 !", "café µ", "𐎀𐎁", None)
    told = ["Latin", "Cyrillic", "Latin", "Han", "none", "Latin", "other", None]
    assert category("input_script", *texts) == told


def test_the_hour_is_the_local_one_on_a_day_of_25_hours() -> None:
    day = Window.of(date(2026, 10, 25), Grain.DAY, "Europe/Berlin")
    at = [day.start + timedelta(minutes=minute) for minute in (0, 150, 210, 1499)]
    told = categories(FACTS["hour"], Batch({"at": at}), day).to_pylist()
    assert told == ["00", "02", "02", "23"], "two o'clock comes twice"


def test_lengths_are_the_same_in_the_database_and_out_of_it(kept_in: Store, log_url: str) -> None:
    texts = ["", "a", "naïve", "日本", "x" * 5_000, "\U0001f600!"]
    fill(log_url, [row(place, output=text, of=100) for place, text in enumerate(texts)])
    column = FACTS["output_characters"]
    with context_over(kept_in, log_url, drift={"columns": ["output_characters"]}) as context:
        profile_day(DAY, context)
        [[kept]] = read(column, [DAY], context).values()
    here = Numbers()
    here.add(numbers(column, Batch({"output": texts})))
    assert isinstance(kept, Numbers)
    assert (
        (kept.rows, kept.missing, kept.total)
        == (here.rows, here.missing, here.total)
        == (
            6,
            1,
            1 + 5 + 2 + 5_000 + 2,
        )
    )
    assert kept.points()[0].tolist() == here.points()[0].tolist()


def test_a_profile_is_of_all_rows_but_shadows_by_segment(kept_in: Store, log_url: str) -> None:
    rows = [
        row(
            number,
            of=100,
            segment="home" if number % 4 else "work",
            conversation_id=f"c{number // 3}",
            latency_ms=float(number) if number % 10 else None,
            shadow_of="r1" if number >= 90 else None,
        )
        for number in range(100)
    ]
    fill(log_url, rows)
    names = ["latency_ms", "segment", "turns", "hour"]
    with context_over(kept_in, log_url, drift={"columns": names}) as context:
        assert profile_day(DAY, context) == {"rows": 90, "columns": 4}
        latency, segment, turns, hour = (
            read(column, [DAY], context) for column in watched(names, context.source)
        )
    assert [(s.rows, s.missing) for s in latency[WHOLE]] == [(90, 9)]
    assert latency["segment", "work"][0].rows == 23
    [kept] = segment[WHOLE]
    assert isinstance(kept, Categories) and kept.frequent() == {"home": 67, "work": 23}
    assert turns[WHOLE][0].rows == 30 and turns[WHOLE][0].total == 90
    assert sum(turns["segment", value][0].total for value in ("home", "work")) == 90
    [kept] = hour[WHOLE]
    assert isinstance(kept, Categories) and sum(kept.frequent().values()) == 90
    assert kept.frequent()["00"] == 5, "a hundredth of a day is a quarter of an hour"


def test_the_same_rows_are_not_read_twice_and_late_ones_are(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(number) for number in range(5)])

    def kept(context: Context) -> Any:
        profile_day(DAY, context)
        return context.store.rows(select(profile).order_by(profile.c.name))

    with context_over(store, url, drift={"columns": ["input_characters"]}) as context:
        first = kept(context)
        read_again: list[str] = []
        stream = context.source.stream
        context.source.stream = lambda *a, **k: read_again.append("read") or stream(*a, **k)  # type: ignore[assignment,func-returns-value]
        assert kept(context) == first and not read_again
        fill(url, [row(5)])
        assert [each.rows for each in kept(context)] == [6, 6] and read_again
    with context_over(store, url, drift={"columns": ["input_characters", "feature"]}) as context:
        assert len(kept(context)) == 3, "a new column is added"


def test_a_column_of_your_own_and_names_that_are_refused(kept_in: Store, log_url: str) -> None:
    fill(log_url, [row(number) for number in range(60)])
    from sqlalchemy import create_engine, text

    with create_engine(log_url).begin() as log:
        log.execute(text("ALTER TABLE interaction ADD COLUMN basket INTEGER"))
        log.execute(text("ALTER TABLE interaction ADD COLUMN shop TEXT"))
        log.execute(text("UPDATE interaction SET basket = 3, shop = 'ask ada@example.org'"))
    with context_over(kept_in, log_url, drift={"columns": ["basket", "shop"]}) as context:
        profile_day(DAY, context)
        basket, shop = (
            read(c, [DAY], context) for c in watched(["basket", "shop"], context.source)
        )
    assert basket[WHOLE][0].total == 180
    [kept] = shop[WHOLE]
    assert isinstance(kept, Categories) and set(kept.frequent()) == {"ask [EMAIL]"}, "redacted"
    for name, told in (("user_id", "apart"), ("input", "apart"), ("bascet", "there is no column")):
        with (
            context_over(kept_in, log_url, drift={"columns": [name]}) as context,
            pytest.raises(ConfigurationError, match=told),
        ):
            profile_day(DAY, context)


def weeks_reasons(store: Store, url: str, rows: int, **fields: Any) -> dict[str, str]:
    """After three ordinary weeks one of so many rows: column → what is said instead of a number."""
    ordinary = {"segment": "home", "latency_ms": 5.0, "feature": None}
    past = [
        row(place * 1000 + n, day, of=10**5, **{**ordinary, "output": "x" * (n + 1)})
        for place, day in enumerate(days(21))
        for n in range(20)
    ]
    week = Window.of(DAY.first_day, Grain.WEEK).shift(3)
    odd = [
        row(10**6 + n, week.days()[n % 7], of=10**7, **{**ordinary, **fields}) for n in range(rows)
    ]
    fill(url, [*past, *odd])
    columns = ["output_characters", "segment", "latency_ms", "feature"]
    sections = {"reference": {"start": DAY.first_day, "days": 21}, "drift": {"columns": columns}}
    with context_over(store, url, **sections) as context:
        found = [m for m in inputs.measure(week, context) if m.labels["reference"] == "pinned"]
    missing = [m for m in found if m.metric.endswith("missing_share") and (m.value or 0) == 1]
    for each in missing:
        assert each.labels["column"] == "feature" or each.evidence < 1e-6
    return {
        m.labels.get("column", "week"): m.reason or str(m.status)
        for m in found
        if m.metric.endswith(("psi", "rows"))
    }


def test_odd_weeks_have_a_name(tmp_path: Path) -> None:
    def said(number: int, rows: int, **fields: Any) -> dict[str, str]:
        store = Store.open(f"sqlite:///{tmp_path}/{number}-store.db")
        return weeks_reasons(store, f"sqlite:///{tmp_path}/{number}-log.db", rows, **fields)

    assert said(0, 0) == {"week": "empty_window"}
    assert said(1, 1) == {"week": "too_few_rows"}
    fixed = {"week": "complete", "segment": "one_value", "feature": "no_values"}
    equal = said(2, 140, output="same")
    assert equal == {**fixed, "output_characters": "complete", "latency_ms": "one_value"}
    silent = said(3, 140, output="", error_type="x", latency_ms=None, segment=None)
    nothing = dict.fromkeys(("output_characters", "latency_ms", "segment", "feature"), "no_values")
    assert silent == {"week": "complete", **nothing}


def test_ranks_of_a_week_are_within_a_third_of_a_percent() -> None:
    generator = np.random.default_rng(1)
    values = generator.lognormal(5, 1, (7, 50_000))
    week = []
    for day in values:
        week.append(Numbers())
        week[-1].add(day)
    edges = quantiles(*pooled(week), np.arange(1, 10) / 10)
    exact = np.searchsorted(np.sort(values.ravel()), edges) / values.size
    assert np.abs(exact - np.arange(1, 10) / 10).max() < 0.004
    counted = np.cumsum(sum(day.counts(edges) for day in week)) / values.size
    assert np.abs(counted[:-1] - exact).max() < 0.004
