"""``tidegauge quarter``: what the quarter's evaluation asks, and what people decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, suite_of
from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from monitors.suite import Suite
    from sql.window import Window

app = typer.Typer(help="The quarter's questions and decisions.", no_args_is_help=True)
Quarter = Annotated[str, typer.Argument(help="The quarter, as 2026-Q2.")]


@app.command(epilog="Example: tidegauge quarter report 2026-Q2")
def report(quarter: Quarter, config: Config = None) -> None:
    """Write the page with each question, its evidence, and who decided; prints its path."""
    from monitors.review.quarter_page import write_quarter

    suite = suite_of(config)
    with terminal.err.status("reading"):
        path, laid = write_quarter(_window(quarter, suite), suite.context)
    terminal.out.print(str(path), markup=False, soft_wrap=True)
    terminal.table(
        f"Asked by {quarter}",
        ["question", "choices", "suggested"],
        ([one.question.name, ", ".join(one.question.choices), one.suggested] for one in laid),
    )


@app.command(epilog="Example: tidegauge quarter decide 2026-Q2 judge keep --reason 'bar passed'")
def decide(
    quarter: Quarter,
    question: Annotated[str, typer.Argument(help="judge, anchors, golden, rubric, raters, rules")],
    choice: Annotated[str, typer.Argument(help="One of the question's choices.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Record a decision by name and reason; the audit keeps every one, the last stands."""
    from monitors.review.decisions import decide as record

    suite = suite_of(config)
    record(_window(quarter, suite), question, choice, actor, reason, suite.context)
    terminal.out.print(f"{quarter}: {question}, {choice}", markup=False)


@app.command(epilog="Example: tidegauge quarter show 2026-Q2")
def show(quarter: Quarter, config: Config = None) -> None:
    """What was decided of a quarter, and what is still open."""
    from monitors.review.decisions import decisions
    from monitors.review.questions import QUESTIONS

    suite = suite_of(config)
    found = decisions(_window(quarter, suite), suite.context)
    terminal.table(
        f"Decided of {quarter}",
        ["question", "decision", "by", "at", "reason"],
        (
            [one.question, one.choice, one.actor, f"{one.at:%Y-%m-%d %H:%M}", one.reason]
            if (one := found.get(question.name))
            else [question.name, "open", "", "", ""]
            for question in QUESTIONS
        ),
    )


def _window(quarter: str, suite: Suite) -> Window:
    from sql.window import Grain, Window

    window = Window.parse(quarter, suite.settings.timezone)
    if window.grain is not Grain.QUARTER:
        raise ConfigurationError(f"{quarter!r} is not a quarter", mend="write 2026-Q2")
    return window
