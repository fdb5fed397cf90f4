"""``tidegauge up`` and ``down``: Airflow on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config


def up(
    port: Annotated[int, typer.Option(help="of Airflow's pages")] = 8080, config: Config = None
) -> None:
    """Start Airflow on this machine over the same store and history."""
    from monitors.local import server

    with terminal.err.status("starting Airflow") as status_line:
        started = server.up(
            config,
            port=port,
            progress=lambda what, ready, of: status_line.update(f"{what} ({ready}/{of})"),
        )
    terminal.out.print(f"Airflow: {started.url}" + ("" if started.started else " (ran already)"))
    users = ([name, role, password] for name, (role, password) in started.users.items())
    terminal.table("Users", ["user", "role", "password"], users)
    terminal.out.print("All DAGs are paused: unpause what you want scheduled. Stop: make down")


def down(config: Config = None) -> None:
    """Stop what `tidegauge up` started."""
    from monitors.local import server

    stopped = server.down(config)
    terminal.out.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
