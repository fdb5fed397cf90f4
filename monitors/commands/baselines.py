"""``tidegauge baselines``: what was pinned, by whom, and what is new in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, suite_of
from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from monitors.context import Context
    from monitors.provider.baselines import Baseline

app = typer.Typer(help="Pinned baselines of providers.", no_args_is_help=True)
Digest = Annotated[str, typer.Argument(help="The first characters of a digest.")]


@app.command("list", epilog="Example: tidegauge baselines list")
def list_(config: Config = None) -> None:
    """All baselines, the newest first; one stands for its name."""
    from monitors.provider.baselines import baselines

    terminal.table(
        "Baselines",
        ["digest", "pin", "provider", "made", "by", "approved", ""],
        (
            [
                row.digest[:12],
                row.name,
                row.provider,
                f"{row.created_at:%Y-%m-%d %H:%M}",
                row.created_by,
                f"{row.pinned_at:%Y-%m-%d %H:%M}" if row.pinned_at else "",
                "in force" if row.is_current else "" if row.pinned_at else "candidate",
            ]
            for row in baselines(suite_of(config).context)
        ),
    )


@app.command(epilog="Example: tidegauge baselines show 3fa1")
def show(digest: Digest, config: Config = None) -> None:
    """One baseline: model, prompts, answers, and how many pass their checks."""
    from monitors.provider.checks import judge

    found = _load(digest, suite_of(config).context)
    scores = [
        verdict.value
        for prompt in found.prompts
        for answer in found.answers[prompt.id]
        if (verdict := judge(prompt.check, answer.text).correct).value is not None
    ]
    served = sorted({answer.model for side in found.answers.values() for answer in side})
    lines = {
        "digest": found.digest,
        "pin": found.name,
        "provider": f"{found.provider} ({found.sdk})",
        "model": f"{found.model}, answered by {', '.join(served)}",
        "prompts": f"{len(found.prompts)}, {found.repeats} answers each",
        "features": ", ".join(sorted({prompt.feature or "-" for prompt in found.prompts})),
        "checks": f"{sum(scores) / len(scores):.1%} of {len(scores)} answers are right"
        if scores
        else "none",
    }
    for name, text in lines.items():
        terminal.out.print(f"{name:<10}{text}", markup=False, soft_wrap=True)


@app.command(epilog="Example: tidegauge baselines diff 3fa1 90bc")
def diff(old: Digest, new: Digest, config: Config = None) -> None:
    """What two baselines do not share: model, prompts, answers."""
    from monitors.provider.baselines import difference

    context = suite_of(config).context
    found = difference(_load(old, context), _load(new, context))
    before, after = found.model
    terminal.out.print(f"model     {before}" + (f" → {after}" if before != after else ""))
    for name, ids in (
        ("added", found.added),
        ("removed", found.removed),
        ("reworded", found.changed_prompts),
        ("answered otherwise", found.changed_answers),
    ):
        few = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        terminal.out.print(f"{name:<20}{len(ids):>5}  {few}", markup=False, soft_wrap=True)


@app.command(epilog="Example: tidegauge baselines approve main 3fa1 --reason 'new model, reviewed'")
def approve(
    name: Annotated[str, typer.Argument(help="The pin's name.")],
    digest: Digest,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Make a candidate the pin; the one before it stays on record."""
    from monitors.provider.baselines import approve as approve_baseline

    context = suite_of(config).context
    made = approve_baseline(name, _load(digest, context).digest, actor, reason, context)
    terminal.out.print(f"{made.digest[:12]} is the pin of {name} now")


def _load(start: str, context: Context) -> Baseline:
    """The one baseline whose digest begins so.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    from monitors.provider.baselines import baselines, load

    found = [row.digest for row in baselines(context) if row.digest.startswith(start)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} baselines begin with {start!r}",
            mend="see `tidegauge baselines list`, and give more of the digest",
        )
    return load(found[0], context)
