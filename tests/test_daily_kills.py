"""`kill -9` at any moment of the daily job, and again: the numbers are those of a quiet day."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from monitors.commands.options import suite_of
from sql.store import Store
from sql.tables import incident, measurement, notification
from tests.conftest import ROOT
from tests.logs_kit import days, fill, row

pytestmark = pytest.mark.slow
DAYS_KILLED, ROWS = 5, 400
# As the command does, with a clock that stands still: the same instants in every run.
_RUN = """
from tests.logs_kit import DAY, NOW
from monitors.jobs import run
run("daily_quality", DAY, config="tidegauge.toml", as_of=NOW)
"""


def folder_with_a_log(folder: Path) -> Path:
    """The shipped configuration, sampling everything, over two days of log."""
    folder.mkdir()
    shipped = (ROOT / "tidegauge.toml").read_text().replace("rate = 0.05", "rate = 1\nforce = true")
    (folder / "tidegauge.toml").write_text(shipped)
    (folder / "data").mkdir()
    rows = [
        row(
            place * ROWS + number,
            window,
            of=10**4,
            output=f"answer {number}, ask ada{number}@example.org" if number % 7 == 0 else "yes",
            interaction_type="sync",
            latency_ms=100.0 + number,
            accepted=number % 3 > 0,
        )
        for place, window in enumerate(days(2))
        for number in range(ROWS)
    ]
    fill(f"sqlite:///{folder}/data/log.db", rows)
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def outcome(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that the job publishes."""
    store: Store = suite_of(folder / "tidegauge.toml").store
    return {
        table.name: sorted(map(repr, (tuple(each) for each in store.rows(select(table)))))
        for table in (measurement, incident, notification)
    }


def killed_once(folder: Path, after: float) -> bool:
    """Was it still at work when the kill came?"""
    job = start(folder)
    try:
        job.wait(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
        return True
    job.communicate()
    return False


def test_killed_again_and_again_the_day_comes_out_the_same(tmp_path: Path) -> None:
    quiet = folder_with_a_log(tmp_path / "quiet")
    began = time.monotonic()
    undisturbed = start(quiet)
    _, said = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, said.decode()
    whole, expected = time.monotonic() - began, outcome(quiet)
    assert len(expected["measurement"]) > 50
    chance, kills = random.Random(5), 0
    for place in range(DAYS_KILLED):
        folder = folder_with_a_log(tmp_path / f"killed-{place}")
        # The first third of the time goes into imports; every later moment may be hit.
        kills += killed_once(folder, chance.uniform(0.35, 0.95) * whole)
        kills += killed_once(folder, chance.uniform(0.35, 0.6) * whole)
        last = start(folder)
        _, said = last.communicate(timeout=120)
        assert last.returncode == 0, said.decode()
        assert outcome(folder) == expected
    assert kills >= DAYS_KILLED, "they were killed while they worked"
