"""A provider in trouble: partial with a reason, nothing said of drift, and somebody is told."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitors.jobs import run, run_step
from monitors.provider.prompts import write_prompts
from monitors.provider.recorded import Answer, Answered, Asked, RecordedProvider
from monitors.suite import open_suite
from sql.tables import incident, notification
from sql.tables import measurement as measurements
from sql.window import Grain, Window
from tests.conftest import ROOT
from tests.provider_kit import questions, right

pytest.importorskip("openai")

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
PROVIDER = """
[providers.p]
base_url = "{url}"
model = "gpt-1"
pin = "main"
prompts = "prompts.jsonl"
repeats = 2
attempts = 1
timeout_s = {timeout}
compare_meaning = false
usd_per_million_input_tokens = 1
usd_per_million_output_tokens = 1
budget_usd_per_day = {budget}
"""
PERSON = {"name": "p", "actor": "ada", "reason": "start"}


def said(asked: Asked) -> Answered:
    return Answered(right(asked.trace["prompt"]), model="gpt-1", fingerprint="fp", input_tokens=20)


def days(folder: Path, answer: Answer, *, budget: float = 5, timeout: float = 5) -> dict[str, Any]:
    """Pin a sound model, then replay two days against ``answer``, by the jobs and default rules."""
    config = folder / "tidegauge.toml"
    # Without a log nobody can read in it who answered.
    shipped = re.sub(
        r"\[monitors\.served_model\].*\n.*\n", "", (ROOT / "tidegauge.toml").read_text()
    )
    write_prompts(folder / "prompts.jsonl", questions(40))
    noon = FIRST.start + timedelta(hours=12)
    with RecordedProvider(said) as server:
        config.write_text(shipped + PROVIDER.format(url=server.base_url, budget=5, timeout=5))
        made = run_step("pin_baseline", "pin", config=str(config), as_of=noon, params=PERSON)
        given = {**PERSON, "digest": str(made["digest"])}
        run_step("pin_baseline", "approve", config=str(config), as_of=noon, params=given)
    facts: list[Any] = []
    with RecordedProvider(answer) as server:
        config.write_text(
            shipped + PROVIDER.format(url=server.base_url, budget=budget, timeout=timeout)
        )
        for window in (FIRST, FIRST.shift(1)):
            late = window.end + timedelta(hours=2)
            result = run("provider_drift", window, config=str(config), as_of=late)
            facts.append(result.facts["replay"])
    store = open_suite(config).store
    return {
        "replays": [(each["p_status"], each["p_reason"]) for each in facts],
        "drift": [
            (row.status, row.reason, row.value)
            for row in store.rows(
                select(measurements)
                .where(measurements.c.metric == "provider.drift")
                .order_by(measurements.c.window_start)
            )
        ],
        "incidents": {row.rule for row in store.rows(select(incident))},
        "messages": len(store.rows(select(notification))),
    }


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("server_error", "server_error"),
        ("rate_limit", "rate_limited"),
        ("half", "malformed"),
        ("cut", "unreachable"),
        ("other_shape", "malformed"),
        ("unauthorized", "refused"),
        ("not_json", "malformed"),
    ],
)
def test_a_fault_is_told_as_a_fault_of_the_monitor(tmp_path: Path, fault: Any, reason: str) -> None:
    found = days(tmp_path, lambda _asked: Answered(fault=fault))
    assert found["replays"] == [("partial", reason)] * 2
    assert [(status, why) for status, why, _ in found["drift"]] == [("error", reason)] * 2
    assert found["incidents"] and not {"provider_drift", "provider_slide"} & found["incidents"]
    assert "provider_unanswered" in found["incidents"]
    assert found["messages"] >= 1


def test_a_slow_provider_is_a_fault_of_the_monitor(tmp_path: Path) -> None:
    found = days(tmp_path, lambda asked: replace(said(asked), delay_s=1), timeout=0.2)
    assert found["replays"] == [("partial", "timeout")] * 2
    assert found["drift"] == [("error", "timeout", None)] * 2
    assert "provider_unanswered" in found["incidents"]
    assert "provider_drift" not in found["incidents"]


def test_a_spent_budget_is_a_fault_of_the_monitor(tmp_path: Path) -> None:
    """A call may cost 120 to 200 millionths and costs 21: the day has money for seven."""
    found = days(tmp_path, said, budget=0.0003)
    assert found["replays"] == [("partial", "over_budget")] * 2
    assert [(status, value) for status, _, value in found["drift"]] == [("insufficient", None)] * 2
    assert "provider_unanswered" in found["incidents"]
    assert "provider_drift" not in found["incidents"]


def test_a_third_of_the_answers_missing_is_partial_and_still_a_verdict(tmp_path: Path) -> None:
    def two_of_three(asked: Asked) -> Answered:
        return replace(said(asked), fault="server_error" if asked.number % 3 == 0 else None)

    found = days(tmp_path, two_of_three)
    assert {status for status, _ in found["replays"]} == {"partial"}
    assert found["drift"] == [("partial", "server_error", 0.0)] * 2
    assert found["incidents"] == set()


def test_wrong_answers_of_a_provider_that_fails_mostly_are_no_drift(tmp_path: Path) -> None:
    def mostly_down(asked: Asked) -> Answered:
        return Answered("[Maybe]", fault=None if asked.number % 4 == 0 else "server_error")

    found = days(tmp_path, mostly_down)
    assert [value for _, _, value in found["drift"]] == [None, None]
    assert "provider_drift" not in found["incidents"]
