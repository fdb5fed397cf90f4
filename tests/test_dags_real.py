"""The real DAG files doing their real work on a small log, under the configuration that ships."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitors.jobs import JOBS
from sql.store import Store
from sql.tables import coverage
from sql.window import Grain, Window
from tests.conftest import ROOT

FIRST, DAYS, ROWS = date(2026, 5, 1), 31, 60
EMPTY = Window.of(FIRST + timedelta(days=DAYS), Grain.DAY)
RunDag = Callable[..., str]


def interactions() -> Iterator[dict[str, Any]]:
    """A quiet month of a support assistant, the same at each call."""
    topics = ("invoice", "delivery", "password", "refund", "subscription")
    for number in range(DAYS * ROWS):
        day, place = divmod(number, ROWS)
        mark = int(hashlib.sha256(str(number).encode()).hexdigest()[:8], 16)
        topic = topics[mark % len(topics)]
        at = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
        yield {
            "id": f"r{number}",
            "at": at + timedelta(days=day, minutes=20 * place + 5),
            "input": f"How do I change the {topic} of order {mark % 977}?",
            "output": f"Open your account, choose {topic}, and confirm the change for that order.",
            "request_model": "gpt-4.1",
            "response_model": "gpt-4.1-2025-04-14",
            "feature": ("chat", "search")[mark % 2],
            "segment": ("free", "pro")[mark % 3 == 0],
            "prompt_version": "v1",
            "input_tokens": 12 + mark % 5,
            "output_tokens": 15 + mark % 7,
            "latency_ms": 400.0 + mark % 300,
            "cost_usd": 0.001 + (mark % 10) / 1e5,
        }


@pytest.fixture(scope="module")
def project(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from monitors.logs.embedded import write_rows
    from monitors.suite import open_suite
    from sql.engine import open_engine

    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "tidegauge.toml", folder)
    before = dict(os.environ)
    for name in ("TIDEGAUGE_STORE_URL", "TIDEGAUGE_SOURCE_URL", "SLACK_BOT_TOKEN"):
        os.environ.pop(name, None)
    os.environ["TIDEGAUGE_CONFIG"] = str(folder / "tidegauge.toml")
    settings = open_suite().settings
    engine = open_engine(settings.source.url)
    write_rows(
        engine, interactions(), source_name=settings.source.name, seed=settings.sampling.seed
    )
    engine.dispose()
    yield folder
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    from monitors.settings import load_settings

    store = Store.open(load_settings().store.url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def run(project: Path) -> RunDag:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag()

    def execute(job: str, window: Window | None, at: datetime | None = None) -> str:
        end = at or (window.end if window else EMPTY.end)
        for task in bag.dags[job].tasks:
            task.retries = 0
        result = bag.dags[job].test(
            run_after=end,
            logical_date=end + timedelta(seconds=1),
            run_conf={"as_of": end.isoformat()},
        )
        return str(result.state)

    return execute


def covered(store: Store, job: str, window: Window) -> str:
    """The ledger's word for the window; empty when the job has not finished it."""
    rows = store.rows(
        coverage.select().where(
            coverage.c.job == job,
            coverage.c.grain == window.grain.value,
            coverage.c.window_start == window.start,
        )
    )
    return rows[0].status if rows else ""


def test_a_month_of_days_and_what_follows(run: RunDag, store: Store) -> None:
    """Days after the reference, one of them without rows, then week, month, quarter and relay."""
    days = [
        *Window.between(FIRST + timedelta(days=21), FIRST + timedelta(days=DAYS - 1), Grain.DAY)
    ]
    for day in [*days[-3:], EMPTY]:
        assert run("daily_quality", day) == "success"
        assert run("provider_drift", day) == "success"
    assert covered(store, "daily_quality", days[-1]) in ("complete", "partial")
    assert covered(store, "daily_quality", EMPTY) == "no_data", "an empty day is a result"
    for window in (
        Window.of(days[-1].first_day - timedelta(days=7), Grain.WEEK),
        Window.of(FIRST, Grain.MONTH),
        Window.of(FIRST, Grain.QUARTER),
    ):
        job = next(job.name for job in JOBS.values() if job.grain is window.grain)
        assert run(job, window) == "success"
        assert covered(store, job, window) != ""
    assert run("alert_relay", None) == "success"
    assert run("retention", None) == "success"


def test_a_second_run_changes_nothing(run: RunDag, store: Store) -> None:
    day = Window.of(FIRST + timedelta(days=DAYS - 1), Grain.DAY)
    assert run("daily_quality", day) == "success"
    before = store.measurements(grain=Grain.DAY)
    assert any(item.value is not None for item in before)
    assert run("daily_quality", day) == "success"
    assert store.measurements(grain=Grain.DAY) == before
