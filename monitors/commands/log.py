"""``tidegauge import`` and ``source``: the production log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, pairs, suite_of

app = typer.Typer(help="The production log.", no_args_is_help=True)


def import_files(
    files: Annotated[list[Path], typer.Argument(help="Log files; the kind is detected.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="field=column, where the names differ; a.b reaches into objects, latency*1000 "
            "scales, model+id joins, 'day|%d.%m.%Y' reads a time; may be repeated",
        ),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", help="field=value for every row; may be repeated")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="jsonl, csv, parquet, otlp …")
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day, for logs without times"),
    ] = None,
    per_day: Annotated[int | None, typer.Option(help="Rows a day, with --start")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Read log files into the embedded source: JSONL, CSV, Parquet, OTLP, Langfuse, LiteLLM."""
    from monitors.logs import importing

    settings = suite_of(config).settings
    with terminal.bar() as bar:
        task = bar.add_task("importing", total=1)
        report = importing.import_files(
            files,
            settings.source.url,
            format=kind,
            mapping=pairs(mapping, "--map"),
            constants=pairs(constants, "--set"),
            start=start.date() if start else None,
            per_day=per_day,
            progress=lambda _read, done, total: bar.update(task, completed=done, total=total),
            source_name=settings.source.name,
            seed=settings.sampling.seed,
        )
    facts = {
        "read": report.read,
        "stored": report.stored,
        "duplicate": report.duplicate,
        "renamed": report.renamed,
        "skipped": report.skipped,
        "quarantined": sum(report.quarantined.values()),
    }
    if as_json:
        terminal.json_lines([{**facts, "reasons": dict(report.quarantined)}])
        return
    terminal.out.print("  ".join(f"{name} {count:,}" for name, count in facts.items()))
    for title, counted in (("quarantined", report.quarantined), ("mended", report.mended)):
        for reason, count in counted.most_common():
            terminal.out.print(f"  {title}: {reason} {count:,}", markup=False)


@app.command(epilog="Example: tidegauge source ddl")
def ddl(config: Config = None) -> None:
    """Print the statements that give the log a stored, indexed sample key."""
    from monitors.logs.ddl import sample_key_ddl

    suite = suite_of(config)
    for statement in sample_key_ddl(suite.source, suite.settings.sampling.seed):
        terminal.out.print(f"{statement};", markup=False, soft_wrap=True)
