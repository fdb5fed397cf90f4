"""Airflow's home on one machine, its processes, and the plan of a rehearsal."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from monitors.calendar import Due, due_between
from monitors.local import server
from monitors.local.home import Home
from monitors.local.rehearsal import rehearse, unfinished
from sql.errors import ConfigurationError
from sql.window import Window


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "tidegauge.toml"
    file.write_text('[store]\nurl = "sqlite:///store.db"\n')
    return file


def test_passwords_are_made_once_and_for_the_owner_alone(config: Path) -> None:
    home = Home.beside(config)
    first = home.make()
    assert home.make() == first
    assert {"admin", "oncall", "eva"} <= set(first)
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((home.folder / "passwords.json").stat().st_mode) == 0o600


def test_a_new_evaluator_gets_a_password_and_others_keep_theirs(config: Path) -> None:
    before = Home.beside(config).make()
    config.write_text(config.read_text() + '[review]\nevaluators = ["eva", "zoe"]\n')
    after = Home.beside(config).make()
    assert "zoe" in after
    assert after["eva"] == before["eva"]


def test_the_environment_listens_on_this_machine_only(config: Path) -> None:
    environment = Home.beside(config).environment(port=8123)
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith(
        "http://127.0.0.1:8123/"
    )
    assert environment["TIDEGAUGE_CONFIG"] == str(config)
    assert (Path(environment["AIRFLOW__CORE__DAGS_FOLDER"]) / "daily_quality.py").exists()


# ── processes ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    yield process
    process.kill()
    process.wait()


def test_down_stops_what_up_started(config: Path, sleeper: subprocess.Popen[bytes]) -> None:
    home = Home.beside(config)
    home.make()
    server._write_down(home, {"scheduler": sleeper}, 8080)
    assert server.running(home) == {"scheduler": sleeper.pid}
    assert server.down(config) == ["scheduler"]
    assert sleeper.wait(timeout=10) != 0
    assert server.running(home) == {}
    assert server.down(config) == []


def test_down_needs_no_sound_configuration(config: Path, sleeper: subprocess.Popen[bytes]) -> None:
    home = Home.beside(config)
    home.make()
    server._write_down(home, {"scheduler": sleeper}, 8080)
    config.write_text("no = [toml")
    assert server.down(config) == ["scheduler"]


def test_a_stranger_with_a_recycled_id_is_left_alone(
    config: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    home = Home.beside(config)
    home.make()
    entry = {"pid": sleeper.pid, "born": 1.0}
    home.processes.write_text(json.dumps({"port": 8080, "components": {"scheduler": entry}}))
    assert server.down(config) == []
    assert sleeper.poll() is None


def test_a_taken_port_is_said_in_one_line(config: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigurationError, match=r"is taken .* --port"):
            server.up(config, port=other.getsockname()[1])


def test_a_rehearsal_does_not_share_the_history_with_a_live_airflow(
    config: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.beside(config)
    home.make()
    server._write_down(home, {"scheduler": sleeper}, 8080)
    monkeypatch.setattr("monitors.local.rehearsal.is_done", lambda *_, **__: False)
    with pytest.raises(ConfigurationError, match="make down"):
        rehearse(config, date(2026, 6, 1), date(2026, 6, 2))
    assert "AIRFLOW_HOME" not in os.environ or os.environ["AIRFLOW_HOME"] != str(home.folder)


# ── the plan ─────────────────────────────────────────────────────────────────────────────────

PLAN = list(due_between(date(2026, 6, 1), date(2026, 6, 14)))


def names(todo: list[Due]) -> list[str]:
    return [f"{due.job} {due.window or due.at.date()}" for due in todo]


def test_all_of_it_in_calendar_order() -> None:
    todo = unfinished(PLAN, lambda job, window: False)
    assert todo == PLAN
    assert [due.at for due in todo] == sorted(due.at for due in todo)
    assert names(todo)[:3] == [
        "daily_quality 2026-06-01",
        "provider_drift 2026-06-01",
        "alert_relay 2026-06-02",
    ]
    week = names(todo).index("weekly_drift 2026-W23")
    assert week > names(todo).index("daily_quality 2026-06-07")


def test_nothing_when_everything_is_done() -> None:
    assert unfinished(PLAN, lambda job, window: True) == []


def test_one_gap_is_followed_by_one_relay() -> None:
    gap = Window.parse("2026-06-03")
    todo = unfinished(PLAN, lambda job, window: (job, window) != ("daily_quality", gap))
    assert names(todo) == ["daily_quality 2026-06-03", "alert_relay 2026-06-04"]
