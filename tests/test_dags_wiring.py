"""Runs of the real DAG files through dag.test, with the steps themselves recorded, not done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sql.errors import ConfigurationError, NotReady
from sql.window import Grain, Window

DAY_END = datetime(2026, 6, 10, tzinfo=UTC)
JUNE, JULY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
Run = Callable[..., Any]


class Steps:
    """Stands in for `monitors.jobs.run_step`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self.failures: dict[str, list[Exception]] = {}
        self.state = "candidate"

    def __call__(self, job: str, step: str, window: Window | None, **more: Any) -> dict[str, Any]:
        self.calls.append((job, step, str(window or "-"), more))
        if self.failures.get(step):
            raise self.failures[step].pop(0)
        return {"rows": 7, "digest": "d1", "report": "2026-Q2.html", "state": self.state}

    @property
    def names(self) -> list[str]:
        return [step for _, step, _, _ in self.calls]


@pytest.fixture
def steps(airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    fake = Steps()
    monkeypatch.setattr("dags._common.run_step", fake)
    monkeypatch.setattr("dags._common.shard_count", lambda job: 3)
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    yield fake


@pytest.fixture
def run(airflow_home: Path, steps: Steps) -> Run:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag()

    def execute(job: str, end: datetime | None = DAY_END, /, **form: Any) -> Any:
        dag = bag.dags[job]
        for task in dag.tasks:
            task.retries = 0
        moment = None if end is None else end + timedelta(seconds=1)
        return dag.test(run_after=end or DAY_END, logical_date=moment, run_conf=form)

    return execute


def test_daily_quality_in_order_with_three_shards(run: Run, steps: Steps) -> None:
    result = run("daily_quality", as_of=DAY_END.isoformat())
    assert result.state == "success"
    assert {window for _, _, window, _ in steps.calls} == {"2026-06-09"}
    assert {more["as_of"] for *_, more in steps.calls} == {DAY_END}
    shards = [
        (more["shard"], more["shards"]) for _, step, _, more in steps.calls if step == "safety"
    ]
    assert sorted(shards) == [(0, 3), (1, 3), (2, 3)]
    order = steps.names
    assert order[0] == "ready"
    assert order.index("sample") < order.index("score") < order.index("measure")
    assert max(place for place, name in enumerate(order) if name == "safety") < order.index(
        "measure"
    )
    assert order[-2:] == ["alert", "late"]


@pytest.mark.parametrize(
    ("name", "end", "window", "order"),
    [
        ("provider_drift", DAY_END, "2026-06-09", ["replay", "measure", "report", "alert"]),
        ("weekly_drift", datetime(2026, 6, 8, tzinfo=UTC), "2026-W23", None),
        (
            "monthly_review",
            datetime(2026, 6, 1, tzinfo=UTC),
            "2026-05",
            ["batch", "measure", "alert"],
        ),
        (
            "quarterly_evaluation",
            datetime(2026, 7, 1, tzinfo=UTC),
            "2026-Q2",
            ["measure", "report", "alert"],
        ),
        ("alert_relay", DAY_END, "-", ["deliver"]),
        ("retention", DAY_END, "-", ["purge"]),
    ],
)
def test_the_other_jobs(
    run: Run, steps: Steps, name: str, end: datetime, window: str, order: list[str] | None
) -> None:
    assert run(name, end).state == "success"
    assert {call[2] for call in steps.calls} == {window}
    if order is None:
        assert steps.names[0] == "measure"
        assert set(steps.names[1:]) == {"report", "alert"}
    else:
        assert steps.names == order


def test_a_window_that_a_person_wishes(run: Run, steps: Steps) -> None:
    assert run("provider_drift", window_start="2026-05-20").state == "success"
    assert {window for _, _, window, _ in steps.calls} == {"2026-05-20"}


def test_a_run_without_interval_takes_the_last_full_window(run: Run, steps: Steps) -> None:
    assert run("provider_drift", None).state == "success"
    assert {window for _, _, window, _ in steps.calls} == {"2026-06-09"}


def test_a_failed_step_stops_what_needs_it(run: Run, steps: Steps) -> None:
    steps.failures["measure"] = [ConfigurationError("planted")]
    assert run("provider_drift").state == "failed"
    assert steps.names == ["replay", "measure"]


def test_xcoms_are_small_json_without_text(run: Run, steps: Steps) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    result = run("monthly_review", datetime(2026, 5, 1, tzinfo=UTC))
    with create_session() as session:
        kept = session.execute(
            select(XComModel.key, XComModel.task_id).where(XComModel.run_id == result.run_id)
        ).all()
    assert sorted(kept) == [("return_value", name) for name in ("alert", "batch", "measure")]


def test_those_who_wait_for_measurements_are_told_the_window(run: Run, steps: Steps) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    result = run("quarterly_evaluation", datetime(2026, 4, 1, tzinfo=UTC))
    with create_session() as session:
        found = session.scalars(
            select(AssetEvent.extra).where(AssetEvent.source_run_id == result.run_id)
        ).all()
    assert [(extra["window"], extra["rows"]) for extra in found] == [("2026-Q1", 7)]


# ── the retry policy ─────────────────────────────────────────────────────────────────────────


def test_which_errors_are_tried_again(airflow_home: Path) -> None:
    from airflow.sdk import RetryAction

    from dags._common import RETRIES
    from sql.errors import LockHeld, StoreError

    def decided(error: Exception) -> RetryAction:
        return RETRIES.evaluate(error, 1, 3).action

    assert decided(ConfigurationError("x")) is RetryAction.FAIL
    assert decided(NotReady("x")) is RetryAction.RETRY
    assert decided(LockHeld("x")) is RetryAction.RETRY
    assert decided(StoreError("x")) is RetryAction.DEFAULT


# ── which window ─────────────────────────────────────────────────────────────────────────────

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("grain", "zone", "given", "label"),
    [
        (Grain.DAY, "UTC", {"window_start": "2026-05-20", "interval_start": DAY_END}, "2026-05-20"),
        (Grain.WEEK, "UTC", {"window_start": "2026-05-20"}, "2026-W21"),
        (Grain.WEEK, "UTC", {"window_start": "2026-05-20", "window_end": "2026-05-25"}, "2026-W21"),
        (Grain.DAY, "UTC", {"interval_start": DAY_END}, "2026-06-10"),
        (Grain.DAY, "Europe/Berlin", {"interval_start": datetime(2026, 3, 28, 23, tzinfo=UTC)},
         "2026-03-29"),
        (Grain.DAY, "UTC", {}, "2026-06-09"),
        (Grain.MONTH, "UTC", {}, "2026-05"),
        (Grain.QUARTER, "UTC", {}, "2026-Q1"),
    ],
)  # fmt: skip
def test_resolving_the_window(
    airflow_home: Path, grain: Grain, zone: str, given: dict[str, Any], label: str
) -> None:
    from dags._common import resolve_window

    assert resolve_window(grain, zone, run_after=NOON, **given).label == label


def test_an_end_that_does_not_fit_is_refused(airflow_home: Path) -> None:
    from dags._common import resolve_window

    with pytest.raises(ConfigurationError, match="leave it empty"):
        resolve_window(
            Grain.DAY, "UTC", window_start="2026-06-01", window_end="2026-06-08", run_after=NOON
        )


def test_the_calendar_is_that_of_the_configuration(
    airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags._common import configured_zone

    file = tmp_path / "tidegauge.toml"
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(file))
    assert configured_zone() == "UTC"
    file.write_text('timezone = "Europe/Berlin"')
    assert configured_zone() == "Europe/Berlin"
    file.write_text("timezone = ")
    assert configured_zone() == "UTC"


# ── waiting for the log ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ended", "replay", "waits"),
    [
        (timedelta(hours=1), False, True),
        (timedelta(hours=1), True, False),  # a replay's clock stands still
        (timedelta(hours=30), False, False),  # what has not come by now is a finding
    ],
)
def test_how_long_a_window_is_awaited(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, ended: timedelta, replay: bool, waits: bool
) -> None:
    from dags._common import landed

    end = datetime.now(UTC) - ended
    window = Window(end - timedelta(days=1), end)
    monkeypatch.setattr("dags._common.window_of", lambda job: window)
    monkeypatch.setattr("dags._common.present", lambda: end if replay else None)
    steps.failures["ready"] = [NotReady("the day has not landed")]
    answer = landed("daily_quality")
    assert bool(answer.is_done) is not waits
    assert answer.xcom_value == (None if waits else [0, 1, 2])


# ── Slack's token ────────────────────────────────────────────────────────────────────────────


def test_the_relay_lends_the_connections_token(
    run: Run, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json
    import os

    seen: list[tuple[str | None, str | None]] = []

    def deliver(*_: Any, **__: Any) -> dict[str, int]:
        seen.append((os.environ.get("SLACK_BOT_TOKEN"), os.environ.get("SLACK_API_URL")))
        return {"sent": 0}

    monkeypatch.setattr("dags._common.run_step", deliver)
    assert run("alert_relay").state == "success"
    found = {
        "conn_type": "slack",
        "password": "xoxb-of-the-connection",
        "extra": {"base_url": "https://gateway.example/api/"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_ALERTS", json.dumps(found))
    assert run("alert_relay").state == "success"
    lent = ("xoxb-of-the-connection", "https://gateway.example/api/")
    assert seen == [(None, None), lent]
    assert not {"SLACK_BOT_TOKEN", "SLACK_API_URL"} & set(os.environ)


# ── a person in between ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "reason", "state", "pinned"),
    [
        ("Approve", "the prompts of June", "success", True),
        ("Approve", " ", "failed", False),
        ("Reject", "", "success", False),
    ],
)
def test_pinning_waits_for_a_persons_reason(
    run: Run, steps: Steps, answer: str, reason: str, state: str, pinned: bool
) -> None:
    begun = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=len(answer), hours=len(reason))
    given = ("pin_baseline", answer, {"reason": reason})
    person = threading.Thread(target=_answer, args=given, daemon=True)
    person.start()
    result = run("pin_baseline", begun, name="main", reason="new prompts", repeats=5)
    person.join(timeout=30)
    assert result.state == state
    asked = [more["params"] for _, step, _, more in steps.calls if step == "pin"]
    form = {"name": "main", "reason": "new prompts", "repeats": "5"}
    assert asked == [{"actor": "pin_baseline", **form}]
    approvals = [more["params"] for _, step, _, more in steps.calls if step == "approve"]
    expected = {"name": "main", "digest": "d1", "actor": "oncall", "reason": reason}
    assert approvals == ([expected] if pinned else [])


@pytest.mark.parametrize(
    ("answer", "reason", "state", "approved"),
    [
        ("Approve", "finds twice as many", "success", True),
        ("Approve", " ", "failed", False),
        ("Reject", "", "success", False),
    ],
)
def test_a_judge_waits_for_a_persons_reason(
    run: Run, steps: Steps, answer: str, reason: str, state: str, approved: bool
) -> None:
    given = ("retrain_judge", answer, {"reason": reason})
    person = threading.Thread(target=_answer, args=given, daemon=True)
    person.start()
    begun = datetime(2026, 7, 3, hour=len(answer), minute=len(reason), tzinfo=UTC)
    result = run("retrain_judge", begun)
    person.join(timeout=30)
    assert result.state == state
    called = [(step, more["params"]) for _, step, _, more in steps.calls]
    expected = {"judge": "d1", "actor": "oncall", "reason": reason}
    assert called == [
        ("train", {"judge": "", "actor": "retrain_judge"}),
        *([("approve", expected)] if approved else []),
    ]


def test_nobody_is_asked_about_the_judge_in_force(run: Run, steps: Steps) -> None:
    steps.state = "in force"
    begun = datetime(2026, 7, 4, tzinfo=UTC)
    assert run("retrain_judge", begun, judge="d1").state == "success"
    assert [(step, more["params"]["judge"]) for _, step, _, more in steps.calls] == [
        ("train", "d1")
    ]


@pytest.mark.parametrize(("reason", "state"), [("read it", "success"), ("", "failed")])
def test_a_quarter_is_decided_by_a_person(run: Run, steps: Steps, reason: str, state: str) -> None:
    form = {"judge": "retrain", "rules": "change", "reason": reason}
    untouched = dict.fromkeys(("anchors", "golden", "rubric", "raters"), "undecided")
    given = ("quarter_decisions", "OK", {**untouched, **form})
    person = threading.Thread(target=_answer, args=given, daemon=True)
    person.start()
    begun = datetime(2026, 7, 2, hour=1 + len(reason), tzinfo=UTC)
    result = run("quarter_decisions", begun, quarter="2026-Q2")
    person.join(timeout=30)
    assert result.state == state
    recorded = [more["params"] for _, step, _, more in steps.calls if step == "record"]
    expected = {"quarter": "2026-Q2", "actor": "oncall", **form}
    assert recorded == ([expected] if reason else [])


def _answer(job: str, choice: str, form: dict[str, str]) -> None:
    """What the page of required actions does when somebody on call answers."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"))
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="oncall", role="op"))
    client.headers["Authorization"] = f"Bearer {token}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        listed = client.get(f"/api/v2/dags/{job}/dagRuns/~/hitlDetails").json()
        for detail in listed.get("hitl_details", []):
            if not detail["response_received"]:
                run_id = detail["task_instance"]["dag_run_id"]
                path = f"/api/v2/dags/{job}/dagRuns/{run_id}/taskInstances/approval/-1"
                body = {"chosen_options": [choice], "params_input": form}
                assert client.patch(f"{path}/hitlDetails", json=body).status_code == 200
                return
        time.sleep(0.3)
