"""The jobs by hand: ``tidegauge …``. Everything that Airflow runs can be typed here."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable

import typer
from rich.markup import escape

from monitors import terminal
from monitors.commands import (
    attribution,
    baselines,
    demo,
    erase,
    explain,
    golden,
    heartbeat,
    judge,
    local,
    log,
    metrics,
    outbox,
    provider,
    quarter,
    reference,
    review,
    rules,
    running,
    setup,
    silence,
    slack,
    standing,
)
from sql.errors import LockHeld, NotReady, TidegaugeError

app = typer.Typer(
    name="tidegauge",
    help="Drift monitoring for LLM features: notices first, says what changed, else is quiet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


# Python's own thresholds look through all that torch and Airflow have made, again and again.
_COLLECT_AFTER = (50_000, 20, 50)


def main() -> None:
    """The console script: explained errors, no traceback unless TIDEGAUGE_DEBUG is set."""
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        app(standalone_mode=True)
    except TidegaugeError as error:
        terminal.err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(3 if isinstance(error, (LockHeld, NotReady)) else 2)
    except Exception as error:
        if os.environ.get("TIDEGAUGE_DEBUG"):
            raise
        terminal.err.print(
            f"[bold red]error:[/] Tidegauge broke ({type(error).__name__}) — run again with "
            "TIDEGAUGE_DEBUG=1 and report what it prints",
            soft_wrap=True,
        )
        sys.exit(1)


def _command(name: str, function: Callable[..., None], example: str) -> None:
    app.command(name, epilog=f"Example: tidegauge {name} {example}".rstrip())(function)


_command("init", setup.init, "")
_command("check", setup.check, "")
_command("import", log.import_files, "log.jsonl --map input=user_query --map output=answer")
_command("run", running.run, "daily --window 2026-06-01")
_command("replay", running.replay, "--from 2026-06-01 --to 2026-06-30")
_command("status", standing.status, "")
_command("measurements", standing.measurements, "--metric safety.pass_rate --last 7")
_command("incidents", standing.incidents, "--all")
_command("jobs", running.jobs, "")
_command("pin", provider.pin, "main --reason 'first pin' --repeats 5")
_command("candidate", provider.candidate, "main --model gpt-5-mini")
_command("demo", demo.demo, "")
_command("report", standing.report, "")
_command("up", local.up, "")
_command("down", local.down, "")
_command("metrics", metrics.show, "--json")
_command("check-heartbeat", heartbeat.check, "--fill 3")
_command("explain", explain.explain, "1f9c0a3b7d --html")
_command("attribution", attribution.show, "--scorer judge")
_command("erase", erase.erase, "--subject user-1734")
_command("ack", silence.acknowledge, "1f9c0a3b7d --by ada")
app.add_typer(rules.app, name="rules")
app.add_typer(silence.app, name="silence")
app.add_typer(outbox.app, name="outbox")
app.add_typer(slack.app, name="slack")
app.add_typer(baselines.app, name="baselines")
app.add_typer(reference.app, name="reference")
app.add_typer(golden.app, name="golden")
app.add_typer(judge.app, name="judge")
app.add_typer(quarter.app, name="quarter")
app.add_typer(review.app, name="review")
app.add_typer(log.app, name="source")


if __name__ == "__main__":
    main()
