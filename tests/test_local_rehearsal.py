"""A rehearsal through Airflow in a process of its own, with the steps recorded instead of done."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Steps and the ledger are replaced by a file; all else is real: plan, DAG files, Airflow.
PROGRAM = """
import json, sys
from datetime import date
from pathlib import Path
import monitors.jobs as jobs
from sql.errors import ConfigurationError

done, config, failing = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def run_step(job, step, window=None, *, as_of=None, **_):
    if f"{job}/{step}/{window}" == failing:
        raise ConfigurationError("a planted failure", mend="mend it")
    with done.open("a") as file:
        file.write(f"{job}/{step}/{window}/{as_of:%Y-%m-%dT%H}\\n")
    return {"rows": 1}

def is_done(job, window, config=None):
    last = jobs.JOBS[job].steps[-1].name
    return done.exists() and f"{job}/{last}/{window}/" in done.read_text()

jobs.run_step, jobs.is_done, jobs.shard_count = run_step, is_done, lambda *_: 1
jobs.run = lambda job, **_: None
from monitors.local.rehearsal import RehearsalError, rehearse

seen = []
try:
    report = rehearse(config, date(2026, 6, 1), date(2026, 6, 7),
                      progress=lambda *now: seen.append(now[:2]))
    told = [report.runs, report.skipped]
except RehearsalError as error:
    told = str(error)
print(json.dumps({"told": told, "airflow": "airflow" in sys.modules, "seen": seen}))
"""


def rehearsed(folder: Path, failing: str = "") -> dict[str, Any]:
    """Run the program; its standard output must be its own one line."""
    config = folder / "tidegauge.toml"
    config.write_text('[store]\nurl = "sqlite:///store.db"\n')
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "done.txt"), str(config), failing],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == "", "Airflow's own words belong in the log"
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsal")


def test_a_failure_is_one_line_and_the_next_rehearsal_goes_on(folder: Path) -> None:
    first = rehearsed(folder, "provider_drift/measure/2026-06-05")
    assert first["told"] == (
        f"provider_drift failed in 2026-06-05: a planted failure "
        f"[{folder}/.airflow/run.log] — mend it"
    )
    log = (folder / ".airflow" / "run.log").read_text()
    assert "a planted failure" in log

    second = rehearsed(folder)
    # Of 7 days × (2 jobs + relay), 1 week and 1 retention, 4 days and a job were done before.
    assert second["told"] == [10, 13]
    assert second["seen"] == [[count, 10] for count in range(10)]

    lines = (folder / "done.txt").read_text().splitlines()
    assert lines[0] == "daily_quality/ready/2026-06-01/2026-06-02T02"
    assert lines[-1] == "retention/purge/None/2026-06-08T02"
    assert [line for line in lines if line.startswith("weekly_drift/measure")] == [
        "weekly_drift/measure/2026-W23/2026-06-08T02"
    ]
    days = [line.split("/")[2] for line in lines if line.startswith("daily_quality/alert")]
    assert days == [f"2026-06-0{day}" for day in range(1, 8)]


def test_when_all_is_done_airflow_is_not_even_loaded(folder: Path) -> None:
    third = rehearsed(folder)
    assert third == {"told": [0, 23], "airflow": False, "seen": []}


def test_the_history_is_true(folder: Path) -> None:
    """Runs stand at the instant they were due, and lasted as long as they lasted."""
    with sqlite3.connect(folder / ".airflow" / "airflow.db") as database:
        rows = database.execute(
            "SELECT run_after, julianday(end_date) - julianday(start_date), state FROM dag_run "
            "WHERE dag_id = 'daily_quality' ORDER BY run_after"
        ).fetchall()
    assert [run_after[:10] for run_after, _, _ in rows] == [f"2026-06-0{d}" for d in range(2, 9)]
    assert all(0 <= days * 86400 < 120 and state == "success" for _, days, state in rows)
