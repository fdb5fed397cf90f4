"""A rehearsal: the real DAG files, run through Airflow in this one process, in calendar order.

It fills Airflow's history for ``make up`` and the store for the report. Windows that are covered
already are not run again, so that a second rehearsal does nothing and does not even load Airflow.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitors.calendar import Due, due_between
from monitors.jobs import is_done, run
from monitors.local.home import Home, dags_folder
from monitors.local.server import running
from monitors.settings import load_settings
from sql.errors import ConfigurationError, TidegaugeError

if TYPE_CHECKING:
    from airflow.sdk import DAG

Progress = Callable[[int, int, Due], None]
# Airflow allows one run of a DAG for each logical date. At the window's very end it would stand in
# the way of the scheduler's own run of the next window.
_AFTER_THE_END = timedelta(seconds=1)


class RehearsalError(TidegaugeError):
    """A DAG run ended red; what came before it is kept and is not run again."""


@dataclass(frozen=True, slots=True)
class RehearsalReport:
    """What a rehearsal did.

    Args:
        runs: DAG runs that were executed.
        skipped: jobs that had nothing to do.
        airflow_seconds: time before the first run (importing, migrating, reading the DAG files).
        seconds: all of it.
        log: where Airflow's own words went.
    """

    runs: int
    skipped: int
    airflow_seconds: float
    seconds: float
    log: Path


def rehearse(
    config: str | Path | None,
    first: date,
    last: date,
    *,
    progress: Progress | None = None,
) -> RehearsalReport:
    """Run every job whose window ends within the local days ``first`` to ``last``.

    Args:
        config: the configuration file; None finds it as the command line does.
        progress: called before each run with (runs done, runs to do, what comes now).

    Raises:
        RehearsalError: a run ended red; the next rehearsal goes on from there.
        ConfigurationError: no usable configuration, or Airflow is up in the same home.
    """
    home = Home.beside(config)
    began = time.monotonic()
    settings = load_settings(home.config)
    grace = timedelta(hours=settings.source.grace_hours)
    plan = list(due_between(first, last, settings.timezone))
    todo = unfinished(plan, lambda job, window: is_done(job, window, config=str(home.config)))
    if not todo:
        if plan:  # a message may be left from a rehearsal that was cut off before its last relay
            run("alert_relay", config=str(home.config), as_of=plan[-1].at + grace)
        return RehearsalReport(0, len(plan), 0.0, time.monotonic() - began, home.run_log)
    if running(home):
        raise ConfigurationError(
            "Airflow is up and uses the same history", where=str(home.folder), mend="make down"
        )
    home.make()
    with _quiet(home.run_log), _within(home.environment()):
        dags = _load(home)
        loaded = time.monotonic() - began
        try:
            for count, due in enumerate(todo):
                if progress:
                    progress(count, len(todo), due)
                _execute(dags[due.job], due, due.at + grace, home)
        finally:
            _tell_true_durations()
    seconds = time.monotonic() - began
    return RehearsalReport(len(todo), len(plan) - len(todo), loaded, seconds, home.run_log)


def unfinished(plan: Sequence[Due], done: Callable[[str, Any], bool]) -> list[Due]:
    """What of the plan is still to be done; the relay and retention only follow other work.

    Args:
        plan: in calendar order.
        done: has this job finished this window?
    """
    todo: list[Due] = []
    for due in plan:
        if due.window is None:
            needed = bool(todo) and todo[-1].at == due.at
        else:
            needed = not done(due.job, due.window)
        if needed:
            todo.append(due)
    return todo


def _execute(dag: DAG, due: Due, as_of: datetime, home: Home) -> None:
    """Run one DAG as if it were ``as_of``: by then a window has landed in the log."""
    heard: list[str | BaseException | None] = []
    for task in dag.tasks:
        task.retries = 0
        task.on_failure_callback = [lambda context: heard.append(context["exception"])]
    result = dag.test(
        run_after=due.at,
        logical_date=due.at + _AFTER_THE_END,
        run_conf={"as_of": as_of.isoformat()},
    )
    if str(result.state) == "success":
        return
    first = heard[0] if heard else None
    # Only our own errors are known to hold no text of a user; of others the type is told.
    what = first.what if isinstance(first, TidegaugeError) else type(first).__name__
    raise RehearsalError(
        f"{due.job} failed in {due.window or due.at.date()}: {what}",
        where=str(home.run_log),
        mend=(isinstance(first, TidegaugeError) and first.mend) or "read the end of that file",
    )


def _load(home: Home) -> dict[str, DAG]:
    """Migrate the metadata database and read the DAG files, once."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.utils.db import upgradedb

    upgradedb()
    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    bundle = next(iter(manager.get_all_dag_bundles()))
    bundle.initialize()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    if bag.import_errors:
        raise RehearsalError(
            f"{len(bag.import_errors)} DAG files cannot be read: {', '.join(bag.import_errors)}",
            where=str(dags_folder()),
            mend=f"see {home.run_log}",
        )
    sync_bag_to_db(bag, bundle.name, bundle.version)
    # dag.test reads and stores the bundle anew at each call, half of its time. All is stored now,
    # so for the rest of this process the bundle has nothing left to read.
    nothing = home.folder / "nothing"
    nothing.mkdir(exist_ok=True)
    place = "airflow.dag_processing.bundles.local.LocalDagBundle"
    settled = {"name": bundle.name, "classpath": place, "kwargs": {"path": str(nothing)}}
    os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps([settled])
    return dict(bag.dags)


def _tell_true_durations() -> None:
    """dag.test lets a run begin at its logical date, so that it would seem to have taken months."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import func, select, update

    began = (
        select(func.min(TaskInstance.start_date))
        .where(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id)
        .scalar_subquery()
    )
    rehearsed = DagRun.triggered_by == DagRunTriggeredByType.TEST
    with create_session() as session:
        session.execute(
            update(DagRun)
            .where(rehearsed)
            .values(start_date=func.coalesce(began, DagRun.start_date))
            .execution_options(synchronize_session=False)
        )


@contextlib.contextmanager
def _within(environment: dict[str, str]) -> Iterator[None]:
    """The environment of this process while Airflow runs in it; as before afterwards."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send what Airflow prints to a file; the terminal belongs to the progress bar."""
    with (
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on the terminal with the job and the window of the run that goes on."""
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)  # held now: a rehearsal redirects both streams
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("starting Airflow".ljust(34), total=None)

        def show(done: int, total: int, due: Due) -> None:
            text = f"{due.job} {due.window or due.at.date()}"
            bar.update(task, completed=done, total=total, description=text.ljust(34))

        yield show
        total = bar.tasks[task].total
        words = "done" if total else "done before: nothing to do"
        bar.update(task, completed=total or 1, total=total or 1, description=words.ljust(34))
