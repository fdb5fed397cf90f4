"""``tidegauge reference``: which days inputs are compared with, who chose them and who agreed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, suite_of

app = typer.Typer(help="The pinned reference of input drift.", no_args_is_help=True)
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]


@app.command("list", epilog="Example: tidegauge reference list")
def list_(config: Config = None) -> None:
    """All references and candidates; the one in force, and whether it is what it was."""
    from monitors.drift.pinned import complaint_about, listed, pinned

    context = suite_of(config).context
    current = pinned(context)
    terminal.table(
        "References",
        ["digest", "days", "made", "by", "approved by", ""],
        (
            [
                each.digest[:12],
                each.label,
                f"{each.made_at:%Y-%m-%d}",
                each.made_by,
                each.approved_by,
                (complaint_about(each, context) or "in force")
                if current is not None and each.digest == current.digest
                else ("" if each.approved_at else "candidate"),
            ]
            for each in listed(context)
        ),
    )


@app.command(
    epilog="Example: tidegauge reference propose --from 2026-06-01 --to 2026-06-28 --reason calm"
)
def propose(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")],
    reason: Reason,
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Offer days as the reference; another person approves them."""
    from monitors.drift.pinned import propose as propose_days

    made = propose_days(first.date(), last.date(), actor, reason, suite_of(config).context)
    terminal.out.print(f"{made.digest[:12]}: {made.label}, {len(made.profiles)} columns")
    terminal.out.print(f"to approve: tidegauge reference approve {made.digest[:12]} --reason …")


@app.command(epilog="Example: tidegauge reference approve 3fa1 --reason 'looked at the report'")
def approve(
    digest: Annotated[str, typer.Argument(help="The first characters of a digest.")],
    reason: Reason,
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Make a candidate the reference; those before it stay on record."""
    from monitors.drift.pinned import approve as approve_days

    made = approve_days(digest, actor, reason, suite_of(config).context)
    terminal.out.print(f"{made.digest[:12]} ({made.label}) is the reference now")
