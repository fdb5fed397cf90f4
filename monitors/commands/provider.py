"""``tidegauge pin`` and ``candidate``: the provider is asked the regression prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, suite_of


def pin(
    provider: Annotated[str, typer.Argument(help="Name under [providers].")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    prompts: Annotated[
        Path | None, typer.Option(help="Regression prompts; default: the provider's own.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Answers for each prompt; default: the provider's.")
    ] = None,
    actor: Actor = "cli",
    approve: Annotated[bool, typer.Option(help="Make it the pin at once.")] = False,
    config: Config = None,
) -> None:
    """Ask the provider the regression prompts and store the answers as a candidate baseline."""
    suite = suite_of(config)
    params = {"name": provider, "reason": reason, "actor": actor}
    if prompts is not None:
        params["prompts"] = str(prompts.resolve())
    if repeats is not None:
        params["repeats"] = str(repeats)
    with terminal.err.status(f"asking {provider}"), suite.recorded_provider():
        facts = suite.pin(params)
    digest = str(facts["digest"])
    terminal.out.print(f"candidate {digest[:12]}, {facts['prompts']} prompts", markup=False)
    if approve:
        suite.approve({**params, "digest": digest})
        terminal.out.print("approved: it is the pin now")
    else:
        name = suite.settings.providers[provider].pin
        terminal.out.print(f"to approve: tidegauge baselines approve {name} {digest[:12]}")


def candidate(
    provider: Annotated[str, typer.Argument(help="Name under [providers].")],
    model: Annotated[str, typer.Option(help="The model that might take over.")],
    base_url: Annotated[str, typer.Option(help="Another address; default: the provider's.")] = "",
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Ask another model the pinned prompts: go or no-go before a switch; exit 1 on no-go."""
    from monitors.provider.candidate import try_candidate

    suite = suite_of(config)
    with terminal.err.status(f"asking {model}"), suite.recorded_provider():
        found = try_candidate(provider, suite.context, model=model, base_url=base_url, actor=actor)
    terminal.out.print(found.verdict, markup=False, soft_wrap=True)
    terminal.out.print(str(found.page), markup=False, soft_wrap=True)
    if not found.go:
        raise typer.Exit(1)
