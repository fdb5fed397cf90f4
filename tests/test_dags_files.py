"""The DAG files: whole, uniform, light, and on the right calendar."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitors.jobs import JOBS

HEAVY = ("torch", "evidently", "pandas", "sentence_transformers", "sklearn", "matplotlib", "scipy")


@pytest.fixture(scope="module")
def bag(airflow_home: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag()


def test_every_job_has_a_dag_and_every_dag_a_job(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == set(JOBS)


@pytest.mark.parametrize("name", sorted(JOBS))
def test_conventions(bag: Any, name: str) -> None:
    from airflow.sdk import CronDataIntervalTimetable

    dag, job = bag.dags[name], JOBS[name]
    if job.schedule is None:
        assert dag.timetable.can_be_scheduled is False
    else:
        assert isinstance(dag.timetable, CronDataIntervalTimetable), (
            "a cron string has empty data intervals in Airflow 3: use CronDataIntervalTimetable"
        )
        assert dag.timetable.expression == job.schedule
    assert dag.catchup is False
    assert dag.max_active_runs == 1, "windows of one job build on each other"
    assert "tidegauge" in dag.tags
    assert "When it is red" in dag.doc_md, "tell ML ops in doc_md what to do when the DAG is red"
    assert dag.description == job.doc
    assert [part.name for part in job.steps if part.name not in dag.task_dict] == []
    for task in dag.tasks:
        if task.task_id == "approval":
            assert task.retries == 0, "a person is asked once"
            continue
        assert task.retries >= 1
        assert task.has_retry_policy, "settings_of() gives each task the retry policy"
        assert getattr(task, "multiple_outputs", False) is False, "one XCom for each task"


@pytest.mark.parametrize("name", sorted(JOBS))
def test_serialised_dags_come_back_whole(bag: Any, name: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = bag.dags[name]
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    back = DagSerialization.from_dict(stored)
    assert set(back.task_dict) == set(dag.task_dict)
    assert {t.task_id: t.downstream_task_ids for t in back.tasks} == {
        t.task_id: t.downstream_task_ids for t in dag.tasks
    }


@pytest.mark.parametrize(
    ("name", "due", "start"),
    [
        ("daily_quality", "2026-06-10", "2026-06-09"),
        ("provider_drift", "2026-06-10", "2026-06-09"),
        ("weekly_drift", "2026-06-08", "2026-06-01"),
        ("monthly_review", "2026-06-01", "2026-05-01"),
        ("quarterly_evaluation", "2026-07-01", "2026-04-01"),
    ],
)
def test_a_run_covers_one_whole_calendar_period(bag: Any, name: str, due: str, start: str) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable

    timetable = coerce_to_core_timetable(bag.dags[name].timetable)
    end = datetime.fromisoformat(due).replace(tzinfo=UTC)
    interval = timetable.infer_manual_data_interval(run_after=end + timedelta(seconds=1))
    assert (interval.start, interval.end) == (
        datetime.fromisoformat(start).replace(tzinfo=UTC),
        end,
    )


def test_dag_files_are_light() -> None:
    """< 0.5 s of processor time beyond Airflow's own, and none of the heavy libraries."""
    program = f"""
import json, sys, time
import airflow.sdk, airflow.providers.standard.operators.hitl
began = time.process_time()
for name in {sorted(JOBS)!r}:
    __import__("dags." + name)
seconds = time.process_time() - began
print(json.dumps([seconds, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, loaded = json.loads(result.stdout.splitlines()[-1])
    assert loaded == [], "import it inside the step that needs it"
    assert seconds < 0.5
