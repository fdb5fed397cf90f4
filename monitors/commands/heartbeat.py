"""``tidegauge check-heartbeat``: for cron, Nagios or Kubernetes, from outside of Airflow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import func, select

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from monitors.jobs import run

if TYPE_CHECKING:
    from monitors.heart import Outbox
    from monitors.suite import Suite


def check(
    hours: Annotated[float, typer.Option(help="So long after its end a window may come.")] = 8,
    fill: Annotated[int, typer.Option(min=0, help="Do at most so many missing windows now.")] = 0,
    ping: Annotated[str, typer.Option(help="Call this address when all is well.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Exit 0: all windows are there; 1: a hole, or a message that waits; 2: a job has stopped,
    or messages were given up; 3: nothing ever ran."""
    from monitors.heart import Exit, Pulse, pulse
    from monitors.watch import covered_windows

    suite = suite_of(config)
    patience = timedelta(hours=hours)
    zone = suite.settings.timezone

    def look() -> Pulse:
        covered, outbox = covered_windows(suite.store), _outbox(suite)
        return pulse(covered, outbox, suite.clock(), zone, patience=patience)

    found = look()
    for job, window in found.missed[:fill]:
        with terminal.err.status(f"{job} {window}"):
            run(job, window, config=None if config is None else str(config))
    if found.missed[:fill]:
        found = look()
    if as_json:
        missed = [f"{job} {window}" for job, window in found.missed]
        terminal.json_lines([{"status": found.code.name, "missed": missed, "lines": found.lines}])
    else:
        terminal.out.print(found.code.name)
        for line in found.lines:
            terminal.out.print(f"  {line}", markup=False)
    if found.code is Exit.OK and ping:
        _ping(ping)
    raise typer.Exit(int(found.code))


def _outbox(suite: Suite) -> Outbox:
    from alerts.outbox import SILENCED
    from monitors.heart import Outbox
    from sql.tables import notification

    table = notification.c
    waiting = select(func.min(table.created_at)).where(
        table.state.in_(("pending", "inflight")), table.last_error != SILENCED
    )
    dead = select(func.count()).select_from(notification).where(table.state == "dead")
    return Outbox(suite.store.rows(waiting)[0][0], int(suite.store.rows(dead)[0][0]))


def _ping(address: str) -> None:
    """A watcher elsewhere notices when this call does not come; its failure is no failure here."""
    import httpx

    try:
        httpx.get(address, timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        answer = getattr(error, "response", None)
        why = type(error).__name__ if answer is None else f"HTTP {answer.status_code}"
        terminal.err.print(f"the ping did not arrive ({why})", markup=False)
