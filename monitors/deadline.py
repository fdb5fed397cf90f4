"""A day's run has passed its deadline: what Airflow calls where ``[alerts] deadline_hours`` is set.

It sends nothing: the window counts as missed from now on (`monitors.watch`), its incident goes
through the outbox, and the relay says it once. An extra beside `monitors.heart`, for it cannot
speak while Airflow is down. Light to import: the scheduler reads its name with each DAG.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def overdue(context: Mapping[str, Any], job: str) -> None:
    """Called once a run, by an executor of Airflow.

    Args:
        context: Airflow's; its ``dag_run`` is the run as Airflow's REST API writes it.
        job: whose run it is.

    Raises:
        TidegaugeError: explained to a person; Airflow logs it.
    """
    from monitors.calendar import resolve_window
    from monitors.jobs import find_job
    from monitors.suite import open_suite
    from monitors.watch import watch

    run, grain = context["dag_run"], find_job(job).grain
    if grain is None:
        return
    suite, form, begins = open_suite(), run.get("conf") or {}, run["data_interval_start"]
    window = resolve_window(
        grain,
        suite.settings.timezone,
        window_start=form.get("window_start"),
        interval_start=datetime.fromisoformat(begins) if begins else None,
        run_after=datetime.fromisoformat(run["run_after"]),
    )
    zone = suite.settings.timezone
    watch(suite.store, suite.alerting, zone, suite.clock(), late=[(job, window)])
