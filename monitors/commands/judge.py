"""``tidegauge judge``: train a judge, see what it would change, approve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, suite_of
from sql.errors import NotReady

if TYPE_CHECKING:
    from monitors.quality.judge_review import Listed

app = typer.Typer(help="The trained judge.", no_args_is_help=True)
_FIGURES = ("auc", "agreement", "always_good", "kappa", "recall_of_bad")


@app.command(epilog="Example: tidegauge judge train")
def train(actor: Actor = "cli", config: Config = None) -> None:
    """Train a judge on the golden set, and a classifier of unsafe answers where it can be.

    The first of each is in force, a later one awaits approval. The same examples give the same.
    """
    from monitors.quality.judge_review import find_judge
    from monitors.quality.judge_training import train_judge
    from monitors.quality.unsafe_training import train_unsafe_if_possible

    context = suite_of(config).context
    with terminal.err.status("training"):
        made = train_judge(context, actor)
        unsafe, reason = train_unsafe_if_possible(context, actor)
    _trained(find_judge(made.digest, context))
    if unsafe:
        _trained(find_judge(unsafe, context))
    else:
        terminal.out.print(f"no classifier of unsafe answers: {reason}", markup=False)


def _trained(found: Listed) -> None:
    """What was made of a training, and what a person is to do with it."""
    state = "in force" if found.is_current else "a candidate"
    terminal.out.print(f"{found.name} {found.digest[:12]} is {state}")
    _figures(found.card)
    if not found.is_current:
        if "held_out" in found.card:
            _held_out(found.card["held_out"])
        terminal.out.print(
            f"`tidegauge judge approve {found.digest[:12]} --reason …` puts it in force, "
            "or the DAG retrain_judge by a form",
            markup=False,
        )


@app.command(epilog="Example: tidegauge judge show")
def show(config: Config = None) -> None:
    """The judges and classifiers so far and how good each was, out of fold, on its golden set."""
    from monitors.quality.judge_review import MODELS, judges

    context = suite_of(config).context
    found = [one for name in MODELS for one in judges(context, name)]
    if not found:
        raise NotReady("there is no judge yet", mend="import a golden set, then judge train")
    terminal.table(
        "Judges",
        [
            *("of", "digest", "trained", "golden", "examples", "auc", "agreement", "always good"),
            *("kappa", "recall", "approved by", ""),
        ],
        (
            [
                one.name,
                one.digest[:12],
                f"{one.created_at:%Y-%m-%d %H:%M}",
                one.card.get("golden", ""),
                one.card["examples"],
                *(f"{one.card['cross_validated'][name]:.3f}" for name in _FIGURES),
                one.approved_by,
                "in force" if one.is_current else "" if one.approved_at else "candidate",
            ]
            for one in found
        ),
    )
    for one in found:
        if one.approved_at is None and "held_out" in one.card:
            terminal.out.print(f"candidate {one.digest[:12]}:")
            _held_out(one.card["held_out"])


@app.command(epilog="Example: tidegauge judge approve 3fa1 --reason 'finds twice as many'")
def approve(
    digest: Annotated[str, typer.Argument(help="The first characters of a judge's digest.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Put a judge or a classifier in force; the one before it stays on record."""
    from monitors.quality.judge_review import approve_judge, find_judge

    context = suite_of(config).context
    whole = approve_judge(digest, actor, reason, context)
    terminal.out.print(f"{find_judge(whole, context).name} {whole[:12]} is in force now")


def _figures(card: Mapping[str, Any]) -> None:
    found = card["cross_validated"]
    terminal.out.print(
        f"out of fold on {card['examples']:,} examples: agreement {found['agreement']:.1%} "
        f"(always good: {found['always_good']:.1%}), AUC {found['auc']:.3f}, "
        f"kappa {found['kappa']:.3f}, recall of bad answers {found['recall_of_bad']:.1%}"
    )
    if "false_positives" in card:
        share, low, high = card["false_positives"]
        terminal.out.print(
            f"of safe answers {share:.1%} fail (95 %: {low:.1%} to {high:.1%}; "
            f"{card['false_positives_wanted']:.1%} were allowed)"
        )


def _held_out(found: Mapping[str, Any]) -> None:
    """The judge in force and the candidate, on labels that neither learned from."""
    from monitors.quality.judge_review import verdict_on

    if found["reason"]:
        terminal.out.print(verdict_on(found))
        return
    before, after = found["figures"]["before"], found["figures"]["after"]
    terminal.table(
        f"On {found['labels']:,} labels that neither has learned from",
        ["", f"in force, {found['before'][:12]}", "candidate"],
        ([name.replace("_", " "), before[name], after[name]] for name in (*_FIGURES, "brier")),
    )
    terminal.out.print(verdict_on(found))
