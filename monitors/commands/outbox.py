"""``tidegauge outbox``: messages that wait or were given up, and sending them after all."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import select, update

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.audit import append
from sql.errors import ConfigurationError
from sql.tables import notification

app = typer.Typer(no_args_is_help=True, help="Messages that wait, or were given up.")
_WAITING = ("pending", "inflight", "dead")


@app.command("list", epilog="Example: tidegauge outbox list")
def list_(config: Config = None, as_json: Json = False) -> None:
    """What is not sent: since when, why, and when it is tried next."""
    table = notification.c
    rows = suite_of(config).store.rows(
        select(notification).where(table.state.in_(_WAITING)).order_by(table.created_at)
    )
    if as_json:
        terminal.json_lines(
            {
                "message": row.delivery_key[:10],
                "place": row.channel,
                "kind": row.kind,
                "state": row.state,
                "reason": row.last_error,
                "attempts": row.attempts,
                "since": row.created_at,
                "next": row.next_at,
            }
            for row in rows
        )
        return
    terminal.table(
        "Outbox",
        ["id", "place", "kind", "state", "why", "tries", "since", "next"],
        (
            [
                row.delivery_key[:10],
                row.channel,
                row.kind,
                row.state,
                row.last_error,
                str(row.attempts),
                f"{row.created_at:%Y-%m-%d %H:%M}",
                "" if row.state == "dead" else f"{row.next_at:%Y-%m-%d %H:%M}",
            ]
            for row in rows
        ),
    )


@app.command("retry", epilog="Example: tidegauge outbox retry 1f9c0a3b7d --by ada")
def retry(
    message: Annotated[
        str, typer.Argument(help="Its id; all that were given up without one.")
    ] = "",
    by: Annotated[str, typer.Option(envvar="USER", help="Who you are.")] = "",
    config: Config = None,
) -> None:
    """Let the relay try again, at its next run, what was given up.

    It is looked for first: what had landed after all is not said twice.
    """
    suite = suite_of(config)
    table, now = notification.c, suite.clock()
    chosen = (table.state == "dead", table.delivery_key.startswith(message, autoescape=True))
    with suite.store.begin() as connection:
        keys = connection.scalars(select(table.delivery_key).where(*chosen)).all()
        if not keys:
            raise ConfigurationError(
                f"no message that was given up begins with {message!r}"
                if message
                else "no message was given up",
                where="tidegauge outbox retry",
                mend="`tidegauge outbox list` shows them",
            )
        connection.execute(
            update(notification)
            .where(table.delivery_key.in_(keys))
            # Seven days begin anew. As in flight, because nobody knows of its last attempt.
            .values(state="inflight", first_attempt_at=now, next_at=now)
        )
        for key in keys:
            append(connection, by, "retry_message", key[:10], {}, now)
    terminal.out.print(f"{len(keys)} messages will be tried again", markup=False)
