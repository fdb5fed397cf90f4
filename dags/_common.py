"""What every DAG shares: its calendar, its retries, its form, and how a run finds its window.

A task runs exactly what ``tidegauge run`` would: one step of `monitors.jobs`. Nothing heavy is
imported here, because Airflow reads these files every few seconds.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    Asset,
    Connection,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    Param,
    PokeReturnValue,
    RetryAction,
    RetryRule,
    SyncCallback,
    get_current_context,
)
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

from monitors.calendar import resolve_window
from monitors.jobs import JOBS, Facts, run_step, shard_count
from sql.errors import ConfigurationError, LockHeld, NotReady
from sql.window import Grain, Window

# A day that has not landed by then is measured as it is: the gap becomes a finding.
PATIENCE = timedelta(hours=6)
# Airflow's connection → the variables that its password and its extra `base_url` stand for.
ALERT_CONNECTIONS = {
    "slack_alerts": ("SLACK_BOT_TOKEN", "SLACK_API_URL"),
    "slack_webhook": ("SLACK_WEBHOOK_URL", ""),
    "pagerduty_alerts": ("PAGERDUTY_ROUTING_KEY", "PAGERDUTY_API_URL"),
    "webhook_alerts": ("TIDEGAUGE_WEBHOOK_SECRET", ""),
}
# What a task returns: counts and ids, as one XCom. Were it annotated as a dict, Airflow would
# store each key as an XCom of its own.
Report = Any


def configured() -> dict[str, Any]:
    """``tidegauge.toml`` as it is written; empty while there is no file that can be read.

    The file is fully checked when a task runs; a typing mistake in it must not hide the DAGs.
    """
    try:
        file = Path(os.environ.get("TIDEGAUGE_CONFIG") or "tidegauge.toml")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def configured_zone() -> str:
    """The calendar of the windows."""
    return str(configured().get("timezone", "UTC"))


ZONE = configured_zone()

RETRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=ConfigurationError,
            action=RetryAction.FAIL,
            reason="the settings cannot work as written",
        ),
        RetryRule(
            exception=[NotReady, LockHeld],
            action=RetryAction.RETRY,
            retry_delay=timedelta(minutes=5),
            reason="the input or the lock is not there yet",
        ),
    ]
)


def settings_of(job: str, *, params: Mapping[str, Param] | None = None) -> dict[str, Any]:
    """The arguments of ``@dag`` that follow from the job itself."""
    chosen = JOBS[job]
    form = WINDOW_FORM if chosen.grain is not None else {}
    cadence = chosen.schedule and CronDataIntervalTimetable(chosen.schedule, timezone=ZONE)
    return {
        "dag_id": job,
        "description": chosen.doc,
        "schedule": cadence or None,
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "params": {**form, **REPLAY_FORM, **(params or {})},
        "deadline": deadline_of(job),
        "default_args": {
            "owner": "ml-ops",
            "retries": 3,
            "retry_delay": timedelta(minutes=1),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=15),
            "retry_policy": RETRIES,
            "execution_timeout": timedelta(hours=3),
        },
    }


def deadline_of(job: str) -> DeadlineAlert | None:
    """Of a day's job, where ``[alerts] deadline_hours`` asks for it; the callback sends nothing."""
    hours = configured().get("alerts", {}).get("deadline_hours")
    number = isinstance(hours, (int, float)) and not isinstance(hours, bool)
    if JOBS[job].grain is not Grain.DAY or not number or hours <= 0:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=SyncCallback("monitors.deadline.overdue", kwargs={"job": job}),
    )


WINDOW_FORM = {
    "window_start": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Window that holds this day",
        description="Empty: the run's own data interval.",
    ),
    "window_end": Param(
        None,
        type=["null", "string"],
        format="date",
        title="First day after the window",
        description="Only a check: the run is refused when the window ends on another day.",
    ),
}
REPLAY_FORM = {
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Present instant that the job shall see",
        description="For replays of the past. Empty: the real one.",
    ),
}


def window_of(job: str) -> Window | None:
    """The window of the run that is going on; None for jobs without windows."""
    grain = JOBS[job].grain
    if grain is None:
        return None
    context: Mapping[str, Any] = get_current_context()
    params = context["params"]
    interval = context.get("data_interval_start")
    return resolve_window(
        grain,
        ZONE,
        window_start=params["window_start"],
        window_end=params["window_end"],
        interval_start=interval,
        run_after=context["dag_run"].run_after,
    )


def present() -> datetime | None:
    """The instant of a replay; None when time is real."""
    text = get_current_context()["params"]["as_of"]
    return None if text is None else datetime.fromisoformat(text)


def step(job: str, name: str, *, params: Mapping[str, str] | None = None, **shard: int) -> Facts:
    """Do one step of the job in the run's window; what it returns goes to XCom."""
    return run_step(job, name, window_of(job), as_of=present(), params=params, **shard)


def landed(job: str) -> PokeReturnValue:
    """Has the window arrived in the log? If so, into which shards the work is to be split.

    A replay never waits: its clock stands still. Nor is a window waited for that ended more than
    `PATIENCE` ago: what is missing then is measured as missing.
    """
    window, now = window_of(job), present()
    try:
        run_step(job, "ready", window, as_of=now)
    except NotReady:
        waiting = now is None and window is not None and datetime.now(UTC) < window.end + PATIENCE
        if waiting:
            return PokeReturnValue(is_done=False)
    return PokeReturnValue(is_done=True, xcom_value=list(range(shard_count(job))))


def measured(job: str) -> Facts:
    """Do the step ``measure`` and tell those who wait for the asset which window is new."""
    facts = step(job, "measure")
    event = get_current_context()["outlet_events"][measurements_of(job)]
    event.extra = {"window": str(window_of(job)), **facts}
    return facts


def measurements_of(job: str) -> Asset:
    """The asset that a job's published measurements are; other teams' DAGs may wait for it."""
    return Asset(name=f"{job}_measurements", uri=f"tidegauge://measurements/{job}")


@contextmanager
def alert_credentials() -> Iterator[None]:
    """Lend the step the secrets of Airflow's connections, where there are any, for this task."""
    lent: dict[str, str] = {}
    for connection, (secret, address) in ALERT_CONNECTIONS.items():
        try:
            found = Connection.get(connection)
        except (AirflowNotFoundException, AirflowRuntimeError):
            continue
        lent[secret] = found.password or ""
        if address:
            lent[address] = str(found.extra_dejson.get("base_url", ""))
    before = {name: os.environ.get(name) for name in lent}
    os.environ.update({name: value for name, value in lent.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
