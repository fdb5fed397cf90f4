"""``tidegauge erase``: one person's texts, out of everything that is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, Json, suite_of


def erase(
    subject: Annotated[str, typer.Option(help="The user's id, as the log writes it.")],
    actor: Actor = "cli",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove a user's texts, vectors, and what was derived from them; ids and scores stay."""
    from monitors.erasure import erase as remove

    suite = suite_of(config)
    with suite.store.lock("erase"):
        facts = remove(subject, actor, suite.context)
    if as_json:
        terminal.json_lines([facts])
        return
    terminal.out.print("  ".join(f"{name} {count:,}" for name, count in facts.items()))
    if facts["log_rows_left"]:
        terminal.out.print("the log is only read: remove the rows that are left there yourself")
