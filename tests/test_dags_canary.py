"""A word that only users wrote goes through the weekly DAG, and stands nowhere that it must not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from monitors.logs.draw import draw_sample
from monitors.suite import Suite, open_suite
from sql.measurement import Status
from sql.tables import metadata
from sql.window import Grain, Window
from tests.conftest import ROOT
from tests.logs_kit import days, fill, row

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
WEEK = Window.of(date(2026, 6, 22), Grain.WEEK)
CANARY = "quetzalcoatl"
# A topic's page shows redacted examples: that is what it is for. The sample holds the texts.
_MAY_HOLD = {"sample"}


@pytest.fixture
def suite(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """Three usual weeks, and one in which a sixth of the requests is about something new."""
    for name in [name for name in os.environ if name.startswith(("TIDEGAUGE_", "SLACK_"))]:
        monkeypatch.delenv(name)
    shipped = (ROOT / "tidegauge.toml").read_text().replace("rate = 0.05", "rate = 1\nforce = true")
    (tmp_path / "tidegauge.toml").write_text(shipped)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(tmp_path / "tidegauge.toml"))
    rows = []
    for place, window in enumerate(days(28, FIRST)):
        for number in range(30):
            new = place >= 21 and number % 6 == 0
            subject = f"the {CANARY} of temple" if new else ("order", "tent", "refund")[number % 3]
            asked = f"tell me of {subject} {number}, I am {CANARY}{number}@example.org"
            rows.append(
                row(place * 30 + number, window, of=10**4, input=asked, output=f"{CANARY}: yes")
            )
    fill(f"sqlite:///{tmp_path}/data/log.db", rows)
    suite = open_suite(as_of=WEEK.end)
    for window in days(28, FIRST):
        draw_sample(window, suite.context)
    yield suite
    suite.store.close()


def run(job: str, at: Window) -> str:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag().dags[job]
    for task in dag.tasks:
        task.retries = 0
    result = dag.test(
        run_after=at.end,
        logical_date=at.end + timedelta(seconds=1),
        run_conf={"as_of": at.end.isoformat()},
    )
    return str(result.state)


def tables_with_it(url: str) -> set[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        names = inspect(engine).get_table_names()
        found = {
            name
            for name in names
            for each in connection.execute(text(f'SELECT * FROM "{name}"'))
            if CANARY in str(tuple(each))
        }
    engine.dispose()
    assert len(names) > 20
    return found


def files_with_it(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    }


@pytest.mark.parametrize("breaks", [False, True], ids=["all is well", "a monitor breaks"])
def test_no_word_of_a_user_in_logs_xcom_or_messages(
    breaks: bool,
    suite: Suite,
    airflow_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if breaks:

        def quoting(*_: object) -> None:
            raise ValueError(f"cannot do with {CANARY}")

        monkeypatch.setattr("monitors.drift.topics.regions", quoting)
    with caplog.at_level(logging.INFO):
        assert run("weekly_drift", WEEK) == "success"
        assert run("alert_relay", WEEK) == "success"
    printed = capfd.readouterr()
    found = suite.store.measurements(monitor="topics")
    root = suite.settings.root
    message = (root / suite.alerting.alerts.file).read_text()
    if breaks:
        assert [(one.status, one.reason) for one in found] == [(Status.ERROR, "ValueError")]
    else:
        assert "new" in {one.reason for one in found}, "else nothing was put to the test"
        assert "A new topic" in message
    assert CANARY not in caplog.text + printed.out + printed.err
    assert CANARY not in message
    assert tables_with_it(str(suite.store.engine.url)) == _MAY_HOLD
    assert set(metadata.tables) >= _MAY_HOLD
    assert tables_with_it(f"sqlite:///{airflow_home}/airflow.db") == set()
    assert files_with_it(airflow_home) == set()
    pages = {name for name in files_with_it(root) if not name.startswith("data/")}
    # The words of the new topic stand in the map's "other", too: thirty-five texts have them.
    shown = {f"reports/drift/{WEEK}-{name}.html" for name in ("topics", "map")}
    assert pages - {f"reports/drift/{WEEK}-map.html"} == (
        set() if breaks else {f"reports/drift/{WEEK}-topics.html"}
    )
    assert pages <= shown
