"""``tidegauge run``, ``replay`` and ``jobs``: what Airflow does, by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from monitors import terminal
from monitors.calendar import due_between
from monitors.commands.options import Config, Json, suite_of
from monitors.jobs import JOBS, find_job
from monitors.jobs import run as run_job
from sql.errors import ConfigurationError
from sql.window import Window

# Jobs in which a person decides: what that is, and the command that asks for it.
BY_HAND = {
    "pin_baseline": ("a pin", "pin"),
    "quarter_decisions": ("a decision", "quarter decide"),
    "retrain_judge": ("a judge", "judge train"),
}


def run(
    job: Annotated[
        str, typer.Argument(help="daily, provider, weekly, monthly, quarterly, relay …")
    ],
    window: Annotated[
        str | None, typer.Option(help="2026-06-01, 2026-W23, 2026-06 or 2026-Q2; default: the last")
    ] = None,
    force: Annotated[bool, typer.Option(help="Do it again although it is done.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Do one job for one window; nothing when that is done already."""
    suite = suite_of(config)
    chosen = find_job(job)
    if chosen.name in BY_HAND:
        what, command = BY_HAND[chosen.name]
        raise ConfigurationError(f"{what} needs a person", mend=f"use `tidegauge {command}`")
    span = None
    if chosen.grain is not None:
        zone = suite.settings.timezone
        span = (
            Window.parse(window, zone)
            if window
            else Window.last_full(suite.clock(), chosen.grain, zone)
        )
    path = str(config) if config else None
    with terminal.err.status(f"{chosen.alias} {span or ''}") as status:
        result = run_job(
            chosen.name,
            span,
            config=path,
            force=force,
            progress=lambda name, step: status.update(f"{name} {span or ''}: {step}"),
        )
    if as_json:
        terminal.json_lines([{"job": result.job, "window": result.window, "facts": result.facts}])
        return
    if result.skipped:
        terminal.out.print(f"{result.job} {result.window}: done already (use --force to repeat)")
        return
    for step, facts in result.facts.items():
        shown = ", ".join(f"{key} {value}" for key, value in facts.items())
        terminal.out.print(f"{step}: {shown or 'ok'}", markup=False)


def replay(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"])],
    config: Config = None,
) -> None:
    """Run all jobs whose windows end in these days, in calendar order, without Airflow."""
    suite = suite_of(config)
    plan = list(due_between(first.date(), last.date(), suite.settings.timezone))
    grace = timedelta(hours=suite.settings.source.grace_hours)
    done = 0
    with terminal.bar() as bar:
        task = bar.add_task("replay", total=len(plan))
        for due in plan:
            bar.update(task, description=f"{due.job} {due.window or ''}")
            result = run_job(
                due.job, due.window, config=str(config) if config else None, as_of=due.at + grace
            )
            done += not result.skipped
            bar.advance(task)
    terminal.out.print(f"{len(plan)} runs due, {done} done now")


def jobs() -> None:
    """The jobs, their steps and schedules."""
    terminal.table(
        "Jobs",
        ["name", "window", "schedule", "what it does"],
        ([j.alias, j.grain or "", j.schedule or "by hand", j.doc] for j in JOBS.values()),
    )
