"""A pin in a live Airflow: asked for by a person, made by a task, approved by another person."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitors.local.server import down, up
from monitors.provider.baselines import current
from monitors.provider.prompts import write_prompts
from monitors.provider.recorded import RecordedProvider
from monitors.suite import open_suite
from sql.tables import audit
from tests.provider_kit import questions
from tests.test_provider_replay import said

CONFIG = """
[store]
url = "sqlite:///store.db"

[providers.p]
base_url = "{url}"
model = "gpt-1"
pin = "main"
prompts = "prompts.jsonl"
repeats = 2
usd_per_million_input_tokens = 1
usd_per_million_output_tokens = 1
"""
RUNS = "/api/v2/dags/pin_baseline/dagRuns"
Call = Callable[..., dict[str, Any]]


def caller(url: str, name: str, password: str) -> Call:
    """A person's access to Airflow's API."""

    def call(method: str, path: str, body: object = None, token: str = "") -> dict[str, Any]:
        request = urllib.request.Request(
            url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    who = {"username": name, "password": password}
    token = call("POST", "/auth/token", who)["access_token"]
    return lambda method, path, body=None: call(method, path, body, token)


def until(look: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(1)
    raise AssertionError("it did not happen in time")


def settled(call: Call) -> None:
    """Wait until the scheduler has been round once more.

    Airflow 3.3 takes an answer that comes before its scheduler has read "this task has lain down"
    for a task that was killed, and fails it. People are slower than that.
    """
    asked = datetime.now(UTC)

    def round_again() -> bool:
        beat = call("GET", "/api/v2/monitor/health")["scheduler"]["latest_scheduler_heartbeat"]
        return datetime.fromisoformat(beat) > asked + timedelta(seconds=2)

    until(round_again)


def test_a_person_approves_in_a_live_airflow(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    config = tmp_path / "tidegauge.toml"
    write_prompts(tmp_path / "prompts.jsonl", questions(20))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with RecordedProvider(said) as provider:
        config.write_text(CONFIG.format(url=provider.base_url))
        try:
            started = up(config, port=port)
            call = caller(started.url, "oncall", started.users["oncall"][1])
            call("PATCH", "/api/v2/dags/pin_baseline", {"is_paused": False})
            asked = {"logical_date": None, "conf": {"name": "p"}}
            run = call("POST", RUNS, asked)["dag_run_id"]
            # An answer that comes before the task has lain down to wait is none.
            waiting = f"{RUNS}/{run}/taskInstances/approval"
            until(lambda: call("GET", waiting)["state"] == "awaiting_input")
            settled(call)
            context = open_suite(config).context
            assert current("main", context) is None, "a candidate is no pin"
            answer = {"chosen_options": ["Approve"], "params_input": {"reason": "looked at it"}}
            call("PATCH", f"{RUNS}/{run}/taskInstances/approval/-1/hitlDetails", answer)
            state = until(
                lambda: (
                    found
                    if (found := call("GET", f"{RUNS}/{run}")["state"]) in ("success", "failed")
                    else ""
                )
            )
        finally:
            down(config)
    assert state == "success", "\n".join(
        log.read_text()[-4_000:] for log in sorted(tmp_path.rglob("dag_id=pin_baseline/**/*.log"))
    )
    made = current("main", context)
    assert made is not None and len(made.prompts) == 20 and made.repeats == 2

    entries = {row.action: row for row in context.store.rows(select(audit))}
    approval = entries["approve_baseline"]
    assert approval.actor == "oncall"
    assert approval.detail["reason"] == "looked at it"
