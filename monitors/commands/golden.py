"""``tidegauge golden``: the examples that the judge learns from and is watched by."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, pairs, suite_of

app = typer.Typer(help="The golden set: examples that people have judged.", no_args_is_help=True)


@app.command(
    "import",
    epilog="Example: tidegauge golden import labelled.jsonl --map input=query "
    "--map label=hallucination --good no",
)
def import_(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or Parquet.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="field=column, where the names differ")
    ] = None,
    good: Annotated[
        list[str] | None, typer.Option(help="A value of the label that means good.")
    ] = None,
    provenance: Annotated[str, typer.Option(help="Where it is from; default: the file.")] = "",
    anchors: Annotated[
        int, typer.Option(help="Keep so many as anchors, which never train the judge.")
    ] = 0,
    config: Config = None,
) -> None:
    """Add examples; the same file again changes nothing."""
    from monitors.review.golden import import_golden, list_golden, with_anchors
    from monitors.review.golden_files import read_golden

    context = suite_of(config).context
    found = read_golden(file, pairs(mapping, "--map"), good=good or (), provenance=provenance)
    examples = with_anchors(found.examples, anchors)
    count = import_golden(examples, context)
    whole = list_golden(context)
    terminal.out.print(f"{count:,} examples read, {len(whole):,} in the golden set")
    for reason, number in sorted(found.skipped.items()):
        terminal.out.print(f"  left out: {reason} {number:,}", markup=False)


@app.command("list", epilog="Example: tidegauge golden list")
def list_(config: Config = None) -> None:
    """How many examples there are, by where they are from and what they are about."""
    from monitors.review.golden import list_golden

    counts: Counter[tuple[str, str]] = Counter()
    good: Counter[tuple[str, str]] = Counter()
    anchors: Counter[tuple[str, str]] = Counter()
    for example in list_golden(suite_of(config).context):
        key = (example.provenance, example.feature)
        counts[key] += 1
        good[key] += example.label >= 0.5
        anchors[key] += example.is_anchor
    terminal.table(
        f"Golden set: {sum(counts.values()):,} examples",
        ["from", "feature", "examples", "good", "anchors"],
        ([*key, counts[key], good[key], anchors[key]] for key in sorted(counts)),
    )


@app.command(epilog="Example: tidegauge golden export golden.jsonl")
def export(
    file: Annotated[Path, typer.Argument(help="Where to write JSON lines.")], config: Config = None
) -> None:
    """Write all examples as JSON lines that `import` reads back."""
    from monitors.review.golden import list_golden
    from monitors.review.golden_files import write_golden

    count = write_golden(file, list_golden(suite_of(config).context))
    terminal.out.print(f"{count:,} examples in {file}", markup=False)
