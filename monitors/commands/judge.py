"""``tidegauge judge``: train the judge, and what is known of the one in force."""

from __future__ import annotations

from typing import Any

import typer
from sqlalchemy import select

from monitors import terminal
from monitors.commands.options import Config, suite_of
from sql.errors import NotReady

app = typer.Typer(help="The trained judge.", no_args_is_help=True)


@app.command(epilog="Example: tidegauge judge train")
def train(config: Config = None) -> None:
    """Train a judge on the golden set and put it in force; the same examples, the same judge."""
    from monitors.quality.judge_training import train_judge

    suite = suite_of(config)
    with terminal.err.status("training"):
        judge = train_judge(suite.context)
    terminal.out.print(f"judge {judge.digest[:12]} is in force")
    _figures(_cards(suite)[-1].card)


@app.command(epilog="Example: tidegauge judge show")
def show(config: Config = None) -> None:
    """The judges so far and how good each was, out of fold, on its golden set."""
    cards = _cards(suite_of(config))
    if not cards:
        raise NotReady("there is no judge yet", mend="import a golden set, then judge train")
    terminal.table(
        "Judges, the last in force",
        ["judge", "trained", "examples", "auc", "agreement", "always good", "kappa", "recall"],
        ([row.digest[:12], f"{row.created_at:%Y-%m-%d %H:%M}", *_row(row.card)] for row in cards),
    )


def _cards(suite: Any) -> Any:
    from monitors.quality.judge import NAME
    from sql.tables import model_artifact

    table = model_artifact.c
    return suite.store.rows(
        select(table.digest, table.created_at, table.card)
        .where(table.name == NAME)
        .order_by(table.created_at, table.digest)
    )


def _row(card: dict[str, Any]) -> list[object]:
    found = card["cross_validated"]
    names = ("auc", "agreement", "always_good", "kappa", "recall_of_bad")
    return [card["examples"], *(f"{found[name]:.3f}" for name in names)]


def _figures(card: dict[str, Any]) -> None:
    found = card["cross_validated"]
    terminal.out.print(
        f"out of fold on {card['examples']:,} examples: agreement {found['agreement']:.1%} "
        f"(always good: {found['always_good']:.1%}), AUC {found['auc']:.3f}, "
        f"kappa {found['kappa']:.3f}, recall of bad answers {found['recall_of_bad']:.1%}"
    )
