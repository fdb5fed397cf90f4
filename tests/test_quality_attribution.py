"""Why quality fell: the table adds up, planted causes are named, and a quiet week has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.messages import render
from monitors.context import Context
from monitors.lineage import lineage
from monitors.logs.draw import draw_sample
from monitors.quality.attribution import (
    Fall,
    Others,
    attribution,
    cause_of,
    change_text,
    read_attribution,
    rows_of,
)
from monitors.quality.quality import quality
from monitors.quality.scoring import score_sample
from monitors.quality.usefulness import accepted
from monitors.settings import load_settings
from monitors.statistics.contribution import Group, Part, contributions
from monitors.suite import Suite
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import incident, notification
from sql.window import Window
from tests.logs_kit import DAY, context_over, days, fill, row

groups = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(Group, st.floats(0.01, 1e4), st.floats(0, 1), st.floats(0, 0.25), st.floats(1, 1e5)),
    min_size=1,
)


def mean(side: dict[str, Group]) -> float:
    return sum(g.weight * g.mean for g in side.values()) / sum(g.weight for g in side.values())


@given(groups, groups)
def test_the_parts_are_the_change_and_nothing_is_left(
    before: dict[str, Group], now: dict[str, Group]
) -> None:
    found = contributions(before, {**{name: Group(0, 0.5) for name in before}, **now})
    assert sum(part.total for part in found.values()) == pytest.approx(mean(now) - mean(before))
    found = contributions(before, now)
    assert set(found) == set(before) | set(now)
    assert sum(part.total for part in found.values()) == pytest.approx(mean(now) - mean(before))
    back = contributions(now, before)
    for name, part in found.items():
        assert back[name].mix == pytest.approx(-part.mix)
        assert back[name].within == pytest.approx(-part.within)


def test_the_textbook() -> None:
    """Half of the rows move to the worse slice; the better one gets worse by a tenth, too."""
    before = {"a": Group(80, 0.9), "b": Group(20, 0.5)}
    found = contributions(before, {"a": Group(4, 0.8), "b": Group(6, 0.5), "c": Group(0.001, 0.5)})
    assert found["a"].within == pytest.approx(-0.1 * 0.6, abs=1e-4)
    assert found["b"].within == 0 == found["c"].within
    assert found["a"].mix + found["b"].mix == pytest.approx(-0.4 * (0.85 - 0.5), abs=1e-3)
    with pytest.raises(ValueError, match="rows"):
        contributions(before, {})


# ── the decision ─────────────────────────────────────────────────────────────────────────────


def part(mix: float, within: float, share: float = 0.3) -> Part:
    return Part(share, share, 0.9, 0.9, mix, within, 0.005)


SHIFTED = {"x": part(-0.05, 0.0), "y": part(-0.04, -0.005)}
# The good slice gives way to a worse one: the worse one is named.
GAVE_WAY = {"gone": Part(0.5, 0.1, 0.95, 0.95, -0.06, 0, 0.005)} | {
    "came": Part(0.5, 0.9, 0.8, 0.8, -0.04, 0, 0.005)
}
SPREAD = {name: part(0.0, -0.025) for name in "abcd"}
ONE = {"x": part(0.0, -0.09), "y": part(0.0, -0.01)}


@pytest.mark.parametrize(
    ("tables", "others", "high", "cause"),
    [
        ({"segment": SHIFTED}, Others(), 0.01, ""),
        ({"segment": SHIFTED}, Others(), -0.02, "inputs segment=x"),
        ({"prompt_version": SHIFTED}, Others(), -0.02, "version prompt_version=x"),
        ({"segment": GAVE_WAY}, Others(), -0.02, "inputs segment=came"),
        ({"segment": SPREAD}, Others(provider="main"), -0.02, "provider main"),
        ({"segment": SPREAD}, Others(judge="judge"), -0.02, "judge: the anchors of judge fell"),
        (
            {"segment": SHIFTED, "request_model": SHIFTED},
            Others("judge", "main"),
            -0.02,
            "judge: the anchors of judge fell; version request_model=x; inputs segment=x; "
            "provider main",
        ),
        ({"segment": ONE}, Others(), -0.02, "slice segment=x"),
        (
            {"segment": SPREAD},
            Others(),
            -0.02,
            "unknown: inputs, versions, provider and judge did not move",
        ),
        ({}, Others(), -0.02, "unknown: inputs, versions, provider and judge did not move"),
    ],
)
def test_the_cause(tables: Any, others: Others, high: float, cause: str) -> None:
    assert cause_of(Fall(7, -0.1, -0.2, high, 0.0, tables), others, tolerance=0.01) == cause


# ── through the monitors ─────────────────────────────────────────────────────────────────────

REFERENCE, AFTER, ROWS = 14, 10, 150
# Days after the reference before anything falls.
CALM = 5
Made = Callable[[int, Random], dict[str, Any]]


def usual(after: int, random: Random) -> dict[str, Any]:
    home = random.random() < 0.8
    chance = 0.9 if home else 0.5
    return {
        "segment": "home" if home else "work",
        "prompt_version": "v1",
        "accepted": random.random() < chance,
    }


def other_inputs(after: int, random: Random) -> dict[str, Any]:
    home = random.random() < (0.3 if after > CALM else 0.8)
    chance = 0.9 if home else 0.5
    return {**usual(after, random), "segment": "home" if home else "work"} | {
        "accepted": random.random() < chance
    }


def new_version(after: int, random: Random) -> dict[str, Any]:
    new = after > CALM and random.random() < 0.5
    made = usual(after, random)
    if new:
        made |= {"prompt_version": "v2", "accepted": random.random() < 0.35}
    return made


def worse(after: int, random: Random) -> dict[str, Any]:
    made = usual(after, random)
    return made | {"accepted": made["accepted"] and (after <= CALM or random.random() < 0.7)}


def worse_under_a_good_version(after: int, random: Random) -> dict[str, Any]:
    """A version is rolled out and is as good; days later all that it answers gets worse."""
    return worse(after, random) | {"prompt_version": "v2" if after else "v1"}


@contextmanager
def weeks(store: Store, folder: Path, made: Made) -> Iterator[tuple[Context, Window]]:
    """Two weeks of reference, and ten days after; scored and measured day by day."""
    url, random, number = f"sqlite:///{folder}/log.db", Random(3), 0
    windows = days(REFERENCE + AFTER)
    for place, window in enumerate(windows):
        rows = []
        for _ in range(ROWS):
            rows.append(row(number, window, **made(max(0, place - REFERENCE + 1), random)))
            number += 1
        fill(url, rows)
    sections: dict[str, Any] = {
        "sampling": {"rate": 1, "force": True},
        "reference": {"start": DAY.first_day.isoformat(), "days": REFERENCE},
    }
    with context_over(store, url, **sections) as context:
        context = replace(context, scorers=(accepted,))
        for window in windows:
            draw_sample(window, context)
            score_sample(window, context)
            publish(store, window, "quality", quality.measure(window, context))
        yield context, windows[-1]


def publish(store: Store, window: Window, monitor: str, found: list[Measurement]) -> None:
    with store.begin() as connection:
        store.publish(connection, monitor, window, found)


def said(window: Window, context: Context) -> tuple[Measurement, Measurement]:
    change, cause, *parts = attribution.measure(window, context)
    assert (change.metric, cause.metric) == ("quality.change", "quality.cause")
    assert {part.metric for part in parts} == ({"quality.contribution"} if cause.value else set())
    taken = [part.value for part in parts]
    assert taken == sorted(taken) and all(value < 0 for value in taken) and len(taken) <= 3
    return change, cause


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (other_inputs, "inputs segment=work"),
        (new_version, "version prompt_version=v2"),
        (worse, "unknown: inputs, versions, provider and judge did not move"),
        (worse_under_a_good_version, "unknown: inputs, versions, provider and judge did not move"),
        (usual, "no_fall"),
    ],
)
def test_a_planted_cause_is_named(made: Made, cause: str, store: Store, tmp_path: Path) -> None:
    with weeks(store, tmp_path, made) as (context, last):
        change, found = said(last, context)
        assert said(last, context) == (change, found), "measured again it is the same"
        (fall, kept) = read_attribution(last, context)["accepted"]
        first = attribution.measure(DAY, context)
        empty = attribution.measure(last.next(), context)
    assert found.reason == cause
    assert found.value == (cause != "no_fall") == (change.high < 0)
    assert kept == ("" if cause == "no_fall" else cause)
    for table in fall.tables.values():
        total = sum(each.total for each in table.values())
        assert total == pytest.approx(fall.change, abs=1e-9), "the table is exact"
    assert set(fall.tables) == {"feature", "segment", "prompt_version", "request_model"}
    assert [(m.status, m.reason) for m in first] == [(Status.INSUFFICIENT, "reference_period")]
    assert [(m.status, m.reason) for m in empty] == [(Status.NO_DATA, "no_scores")]


def test_the_provider_is_named_and_so_it_stands_in_the_message(
    store: Store, tmp_path: Path
) -> None:
    rules = [
        {
            "name": "acceptance",
            "metric": "usefulness.score",
            "match": {"scorer": "accepted"},
            "decision": "interval",
            "direction": "below",
            "consecutive": 1,
        }
    ]
    with weeks(store, tmp_path, worse) as (context, last):
        moved = Measurement(
            monitor="provider",
            metric="provider.drift",
            labels={"pin": "main"},
            window=last.shift(-2),
            value=1.0,
            n=50,
            unit="fact",
        )
        publish(store, last.shift(-2), "provider", [moved])
        publish(store, last, "attribution", attribution.measure(last, context))
        alerting = parse(rules, {"source": "log"}, {})
        now = last.end + timedelta(hours=1)
        evaluate(store, alerting, last, ["quality", "attribution"], now=now)
        kept = read_attribution(last, context)
    (told,) = [row.payload for row in store.rows(notification.select())]
    assert told["cause"] == "provider main"
    (fall, _) = kept["accepted"]
    most = min(
        part.total for table in fall.tables.values() if len(table) > 1 for part in table.values()
    )
    assert 1 <= len(told["parts"]) <= 3 and told["parts"][0][1] == pytest.approx(most)
    assert "*Of the change:* `" in str(render("root", told).blocks)
    assert "*Likely cause:* provider main" in str(render("root", told).blocks)


def test_the_lineage_of_an_incident_holds_who_took_part_in_the_fall(tmp_path: Path) -> None:
    """``explain`` shows the parts of its last breached day; after the recovery, too."""
    (tmp_path / "store").mkdir()
    url = f"sqlite:///{tmp_path}/store/t.db"
    rule = {"name": "acceptance", "metric": "usefulness.score", "match": {"scorer": "accepted"}}
    rule |= {"decision": "interval", "direction": "below", "consecutive": 1}
    with weeks(Store.open(url), tmp_path, other_inputs) as (context, last):
        publish(context.store, last, "attribution", attribution.measure(last, context))
        now = last.end + timedelta(hours=1)
        alerting = parse([rule], {"source": "log"}, {})
        evaluate(context.store, alerting, last, ["quality", "attribution"], now=now)
        fall, _ = read_attribution(last, context)["accepted"]
    (tmp_path / "tidegauge.toml").write_text(
        f'[store]\nurl = "{url}"\n[source]\nurl = "sqlite:///{tmp_path}/log.db"\n'
    )
    suite = Suite(load_settings(tmp_path / "tidegauge.toml"))
    (row,) = suite.store.rows(incident.select())
    found = lineage(suite, row.fingerprint)
    (sheet,) = [one for one in found.sheets if one.title == "contributions"]
    assert list(sheet.rows) == rows_of(fall) and len(sheet.rows) >= 5
    facts = dict(found.facts)
    assert "inputs segment=work" in facts["likely cause"]
    assert facts["change of the mean"] == change_text(fall, last)
    assert facts["rule version now"] == "the rule is gone from the configuration"
    suite.store.close()


def test_the_command_prints_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from monitors.cli import app

    (tmp_path / "store").mkdir()
    url = f"sqlite:///{tmp_path}/store/t.db"
    with weeks(Store.open(url), tmp_path, other_inputs) as (context, last):
        attribution.measure(last, context)
    config = tmp_path / "tidegauge.toml"
    config.write_text(f'[store]\nurl = "{url}"\n[source]\nurl = "sqlite:///{tmp_path}/log.db"\n')
    monkeypatch.setenv("COLUMNS", "200")
    asked = ["attribution", "--config", str(config), "--window", str(last)]
    plain = CliRunner().invoke(app, asked)
    assert plain.exit_code == 0 and "likely cause: inputs segment=work" in plain.output
    assert "80." in plain.output and "→" in plain.output
    lines = CliRunner().invoke(app, [*asked, "--json"]).output.splitlines()
    assert len(lines) >= 5 and '"mix"' in lines[0]
    missing = CliRunner().invoke(app, [*asked, "--scorer", "nobody"])
    assert missing.exit_code != 0 and "nothing is known of nobody" in str(missing.exception)
