"""The report: true to the store, whole by itself, and readable in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from monitors.report.overview import Planted
from monitors.report.page import write_report
from monitors.suite import Suite, open_suite
from monitors.web.drawing import Axis, chart, ticks
from sql.measurement import Measurement, Status
from sql.tables import coverage, incident
from sql.window import Grain, Window
from tests.browser import Browser, browser, chromium
from tests.conftest import unavailable

FIRST = date(2026, 6, 1)
DAYS = 40
HOSTILE = '"><img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(1)</script>'
CONFIG = """
[store]
url = "sqlite:///store.db"

[monitors.safety]
use = "monitors.quality.safety:safety"

[[rules]]
name = "safety_pii"
metric = "safety.pass_rate"
match = { scorer = "pii" }
decision = "sequential"
direction = "below"
first_step = "Look at what leaks."
"""


def day(number: int) -> Window:
    return Window.of(FIRST + timedelta(days=number), Grain.DAY)


def measured(number: int, value: float | None, **labels: str) -> Measurement:
    missing = value is None
    return Measurement(
        monitor="safety",
        metric="safety.pass_rate",
        labels=labels,
        window=day(number),
        n=0 if missing else 900,
        value=value,
        low=None if value is None else value - 0.004,
        high=value,
        baseline=None if missing else 0.999,
        status=Status.NO_DATA if missing else Status.COMPLETE,
    )


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    path = tmp_path / "tidegauge.toml"
    path.write_text(CONFIG)
    suite = open_suite(path)
    yield suite
    suite.store.close()


def fill(suite: Suite, label: str = "pii") -> None:
    """Forty days, of which one is missing and the last ten are bad."""
    with suite.store.begin() as connection:
        for number in range(DAYS):
            value = None if number == 12 else 0.97 if number >= 30 else 0.999
            items = [measured(number, value, scorer=label)]
            suite.store.publish(connection, "safety", day(number), items)
            row = {
                "job": "daily_quality",
                "grain": "day",
                "window_start": day(number).start,
                "window_end": day(number).end,
                "status": "no_data" if value is None else "complete",
                "config_digest": "d",
                "code_version": "v",
                "finished_at": day(number).end,
            }
            suite.store.upsert(connection, coverage, [row])
        opened = {
            "fingerprint": "f" * 64,
            "generation": 1,
            "rule": "safety_pii",
            "metric": "safety.pass_rate",
            "labels": measured(30, 0.9, scorer=label).labels_key,
            "grain": "day",
            "state": "open",
            "severity": "critical",
            "group_key": "g",
            "opened_window": day(30).start,
            "last_window": day(39).start,
            "windows": 10,
            "body": {},
            "updated_at": day(39).end,
        }
        suite.store.upsert(connection, incident, [opened])


def test_an_empty_store_says_what_to_do(suite: Suite) -> None:
    text = write_report(suite).read_text()
    assert "Nothing has been measured yet" in text
    assert "tidegauge import" in text


def test_it_says_what_the_store_says(suite: Suite) -> None:
    fill(suite)
    text = write_report(suite).read_text()
    assert "1 open incident" in text and "All quiet" not in text
    assert "Look at what leaks." in text
    assert "2026-06-01 to 2026-07-10" in text
    assert "97.0 %" in text
    assert 'class="breach"' in text
    assert "2026-06-13: no data" in text, "the missing day is to be seen in the ledger"


def test_the_same_store_gives_the_same_page(suite: Suite) -> None:
    fill(suite)
    first = write_report(suite).read_bytes()
    assert write_report(suite).read_bytes() == first
    assert len(first) < 1_000_000
    assert [path.name for path in suite.settings.path("reports").iterdir()] == ["index.html"]


def test_it_stands_by_itself(suite: Suite) -> None:
    fill(suite)
    text = write_report(suite).read_text()
    assert not re.search(r"(src|href)\s*=|url\(|@import|<script", text)


def test_what_was_planted_stands_beside_what_was_found(suite: Suite) -> None:
    fill(suite)
    planted = [
        Planted("A leak", "…", date(2026, 7, 1), date(2026, 7, 10), "safety_pii", "the same day"),
        Planted("A ghost", "…", date(2026, 6, 3), date(2026, 6, 4), "", ""),
    ]
    text = write_report(suite, planted, ["volume on 2026-06-05"]).read_text()
    assert "A leak" in text and "missed" in text
    assert "volume on 2026-06-05" in text


def test_labels_are_text(suite: Suite) -> None:
    fill(suite, HOSTILE)
    text = write_report(suite).read_text()
    assert HOSTILE not in text and "<img" not in text and "<script" not in text


# ── drawing ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [1e-9, 2e-9], [0.0, 1e6], [-3.0, 4.0]])
def test_the_scale_holds_every_value(values: list[float]) -> None:
    history = [
        Measurement(monitor="m", metric="x", window=day(n), n=5, value=value, unit="ms")
        for n, value in enumerate(values)
    ]
    scale = ticks(history)
    assert scale == sorted(scale) and len(set(scale)) == len(scale)
    assert 2 <= len(scale) <= 7
    assert scale[0] <= min(values) and max(values) <= scale[-1]


def test_a_gap_breaks_the_line() -> None:
    history = [measured(n, None if n == 3 else 0.99) for n in range(7)]
    axis = Axis(day(0).start, day(6).end, 60.0, 420.0)
    drawn = chart(history, axis)
    assert len(drawn.points) == len(drawn.baseline) == len(drawn.bands) == 2
    alone = chart([measured(2, 0.99)], axis)
    assert len(alone.dots) == 1


# ── in a browser ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    if chromium() is None:
        unavailable("Chromium", "apt-get install chromium")
    with browser() as tab:
        yield tab


@pytest.mark.parametrize("label", ["pii", HOSTILE])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_can_be_read_in_a_browser(suite: Suite, tab: Browser, label: str, width: int) -> None:
    fill(suite, label)
    page = write_report(suite).as_uri()
    tab.size(width, 800)
    tab.requests.clear()
    tab.open(page)
    assert tab.requests == [page], "the page asked for something else"
    assert tab.faults == []
    assert tab.run("document.documentElement.scrollWidth") <= width
    box = tab.run(
        "(() => { const lines = [...document.querySelectorAll('.chart .value')];"
        " const b = lines.at(-1).getBoundingClientRect(); return [b.width, b.height]; })()"
    )
    assert box[0] > 150 and box[1] > 20, "the line of the chart is not drawn"
    assert tab.run("document.querySelectorAll('.calendar rect').length") == DAYS
