"""Airflow's deadline: configured, kept in the real Airflow's tables, told through the outbox."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from sql.store import Store
from sql.tables import coverage, incident, notification
from sql.window import Grain, Window
from tests.conftest import ROOT

# Its own Airflow in its own process: what it writes into the metadata is nobody else's.
PROGRAM = """
import json, os, sys
from datetime import datetime
from pathlib import Path
from tests.airflow_env import prepare

home, first, last = Path(sys.argv[1]), *map(datetime.fromisoformat, sys.argv[2:])
prepare(home)
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagbundle import DagBundleModel
from airflow.models.deadline import Deadline
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk.execution_time.callback_supervisor import execute_callback
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
import structlog

bag = DagBag()
assert not bag.import_errors, bag.import_errors
with create_session() as session:
    session.add(DagBundleModel(name="tidegauge"))
    session.commit()
    sync_bag_to_db(bag, "tidegauge", None, session=session)
    for name in sorted(bag.dags):
        kept = SerializedDagModel.get_dag(name, session=session)
        kept.create_dagrun(
            run_id="scheduled", logical_date=last, data_interval=(first, last), run_after=last,
            run_type=DagRunType.SCHEDULED, triggered_by=DagRunTriggeredByType.TIMETABLE,
            state=DagRunState.QUEUED, session=session,
        )
    session.commit()
    found = []
    for one in session.scalars(select(Deadline)):
        one.handle_miss(session)
        session.commit()
        data = one.callback.data
        hours = (one.deadline_time - one.dagrun.queued_at).total_seconds() / 3600
        done = execute_callback(
            data["path"], data["kwargs"], "", None, structlog.get_logger()
        )
        found.append([one.dagrun.dag_id, hours, *done])
print(json.dumps(sorted(found)))
"""
CONFIGURATION = '[store]\nurl = "sqlite:///store.db"\n[source]\nurl = "sqlite:///log.db"\n'


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def missed(folder: Path, monkeypatch: pytest.MonkeyPatch, window: Window) -> list[list[Any]]:
    """(job, hours, ran, why not) of each deadline that a run of every DAG has, all missed."""
    (folder / "airflow").mkdir()
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(folder / "tidegauge.toml"))
    span = [window.start.isoformat(), window.end.isoformat()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "airflow"), *span],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_missed_deadline_is_an_incident_in_the_outbox(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two daily jobs one has finished its window: nothing is said of it."""
    (tmp_path / "tidegauge.toml").write_text(CONFIGURATION + "[alerts]\ndeadline_hours = 7\n")
    yesterday = Window.last_full(datetime.now(UTC), Grain.DAY, "UTC")
    row = {
        "job": "provider_drift", "grain": "day", "window_start": yesterday.start,
        "window_end": yesterday.end, "status": "complete", "reason": "", "rows": 0,
        "measurements": 0, "seconds": 0.0, "config_digest": "", "code_version": "",
        "finished_at": yesterday.end,
    }  # fmt: skip
    with store.begin() as connection:
        store.upsert(connection, coverage, [row])
    found = missed(tmp_path, monkeypatch, yesterday)
    assert found == [["daily_quality", 7.0, True, None], ["provider_drift", 7.0, True, None]]
    (made,) = store.rows(select(incident))
    assert (made.rule, made.state, json.loads(made.labels)) == (
        "missed_window", "open", {"job": "daily_quality"}
    )  # fmt: skip
    (told,) = store.rows(select(notification))
    assert (told.kind, told.channel, told.state) == ("root", "file", "pending"), "the relay tells"
    assert told.payload["window"] == yesterday.label


def test_without_the_setting_there_is_no_deadline(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tidegauge.toml").write_text(CONFIGURATION)
    yesterday = Window.last_full(datetime.now(UTC), Grain.DAY, "UTC")
    assert missed(tmp_path, monkeypatch, yesterday) == []
    assert not store.rows(select(incident))


@pytest.mark.parametrize("wrong", ['"soon"', "0", "-1", "true"])
def test_a_mistake_in_the_setting_hides_no_dag(
    wrong: str, airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags._common import deadline_of

    (tmp_path / "tidegauge.toml").write_text(f"[alerts]\ndeadline_hours = {wrong}\n")
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(tmp_path / "tidegauge.toml"))
    assert deadline_of("daily_quality") is None
