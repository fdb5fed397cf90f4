"""``tidegauge golden``: the examples that the judge learns from and is watched by."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, pairs, suite_of

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
    reason: Annotated[str, typer.Option(help="Why, kept with the version.")] = "",
    change_verdicts: Annotated[
        bool,
        typer.Option("--change-verdicts", help="Known examples may get another verdict."),
    ] = False,
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Add examples and make a version of it; the same file again changes nothing."""
    from monitors.review.golden import import_golden, list_golden, with_anchors
    from monitors.review.golden_files import read_golden

    context = suite_of(config).context
    found = read_golden(file, pairs(mapping, "--map"), good=good or (), provenance=provenance)
    examples = with_anchors(found.examples, anchors)
    done = import_golden(
        examples,
        context,
        actor=actor,
        reason=reason or f"import of {file.name}",
        change_verdicts=change_verdicts and bool(reason.strip()),
    )
    whole = list_golden(context)
    terminal.out.print(
        f"{done.examples:,} examples read, {len(whole):,} in the golden set, version {done.version}"
    )
    if done.verdicts:
        terminal.out.print(f"  {len(done.verdicts):,} known examples have another verdict now")
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


@app.command(epilog="Example: tidegauge golden versions")
def versions(config: Config = None) -> None:
    """The versions so far: when, by whom, why."""
    from monitors.review.golden_versions import versions as all_versions

    terminal.table(
        "Versions of the golden set",
        ["version", "digest", "made", "by", "examples", "reason"],
        (
            [
                one.number,
                one.digest[:12],
                f"{one.made_at:%Y-%m-%d %H:%M}",
                one.made_by,
                len(one.members),
                one.reason,
            ]
            for one in all_versions(suite_of(config).context)
        ),
    )


@app.command(epilog="Example: tidegauge golden diff 1 2")
def diff(
    old: Annotated[int, typer.Argument(help="The number of a version.")],
    new: Annotated[int, typer.Argument(help="The number of a later one.")],
    config: Config = None,
) -> None:
    """What two versions do not share: examples, verdicts, texts, anchors; by id, never a text."""
    from monitors.review.golden_versions import difference, load

    context = suite_of(config).context
    found = difference(load(old, context), load(new, context))
    for name, ids in (
        ("added", found.added),
        ("removed", found.removed),
        ("reworded", found.reworded),
        ("anchor or not", found.anchors),
        ("other verdict", [f"{key} {was:g} → {now:g}" for key, was, now in found.verdicts]),
    ):
        few = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        terminal.out.print(f"{name:<15}{len(ids):>5}  {few}", markup=False, soft_wrap=True)


@app.command(epilog="Example: tidegauge golden restore 3 --reason 'the import of May was wrong'")
def restore(
    version: Annotated[int, typer.Argument(help="The number of a version.")],
    reason: Annotated[str, typer.Option(help="Why, kept with the new version.")],
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Bring a version back, as a new one; what has been erased since stays away."""
    from monitors.review import golden_versions

    done = golden_versions.restore(version, actor, reason, suite_of(config).context)
    terminal.out.print(
        f"version {done.version} is as version {version} was: {done.added:,} examples added, "
        f"{done.changed:,} changed, {done.removed:,} removed"
    )
    if done.missing:
        terminal.out.print(
            f"  {len(done.missing):,} stay away: their texts have been erased, or were reworded "
            "before texts were kept"
        )


@app.command(epilog="Example: tidegauge golden check")
def check(config: Config = None) -> None:
    """Size, near-duplicates, contradictions, and golden questions in anchors and prompts.

    Exits with 1 when something was found.
    """
    from monitors.review.golden_check import check_golden

    with terminal.err.status("reading"):
        found = check_golden(suite_of(config).context)
    for one in found:
        terminal.out.print(
            f"{one.kind.replace('_', ' ')}: {one.what}", markup=False, soft_wrap=True
        )
        if few := ", ".join(key[:12] for key in one.ids[:8]):
            more = f" and {len(one.ids) - 8} more" if len(one.ids) > 8 else ""
            terminal.out.print(f"  {few}{more}", markup=False, soft_wrap=True)
    if found:
        raise typer.Exit(1)
    terminal.out.print("nothing to be mended")
