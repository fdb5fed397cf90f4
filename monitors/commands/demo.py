"""``tidegauge demo``: thirteen weeks of an imaginary product, and what was found."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitors import terminal
from monitors.commands.options import suite_of

if TYPE_CHECKING:
    from monitors.demo.fill import FillReport
    from monitors.demo.scorecard import Scorecard


def demo(
    rows: Annotated[int, typer.Option(help="Requests a day, when the demo is first made.")] = 2_000,
) -> None:
    """Thirteen weeks of a demo product through the real DAGs, and what of it was found."""
    from monitors.demo.run import scorecard, write_configuration
    from monitors.local import rehearsal
    from monitors.report.overview import summarise
    from monitors.report.page import write_report

    config = write_configuration(Path.cwd(), rows)
    fill = _filled(config)
    with rehearsal.progress_bar() as progress:
        report = rehearsal.rehearse(config, fill.first_day, fill.last_day, progress=progress)
    terminal.out.print(
        f"{report.runs} DAG runs now, {report.skipped} done before, {report.seconds:.0f} s"
    )
    suite = suite_of(config)
    terminal.table(
        "Monitors",
        ["monitor", "each", "windows", "measurements", "without value", "incidents", "last"],
        (astuple(line) for line in summarise(suite)),
    )
    card = scorecard(suite, fill.first_day)
    _tell(card)
    sent = suite.settings.path(suite.alerting.alerts.file)
    terminal.out.print(f"Messages: {sent}", markup=False, soft_wrap=True)
    false = [f"{one.rule} on {one.opened}" for one in card.false]
    page = write_report(suite, card.told(), false)
    terminal.out.print(f"Report:   {page}", markup=False, soft_wrap=True)
    terminal.out.print(f"Look further: tidegauge incidents --all -c {config.name}", markup=False)


def _filled(config: Path) -> FillReport:
    """Make the demo's log, where it is not there yet."""
    from monitors.demo.run import prepare

    suite = suite_of(config)
    with terminal.bar() as bar:
        task = bar.add_task("writing the demo's log", total=7 * suite.settings.demo.weeks)
        fill = prepare(
            config,
            today=suite.clock().date(),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        ).fill
    terminal.out.print(f"log: {fill.rows:,} requests, {fill.first_day} to {fill.last_day}")
    return fill


def _tell(card: Scorecard) -> None:
    terminal.table(
        "Planted",
        ["what", "from", "to", "found by", "after"],
        (
            [one.title, one.first, one.last, one.found_by or "missed", one.after]
            for one in card.told()
        ),
    )
    for one in card.false:
        labels = " ".join(f"{key}={value}" for key, value in one.labels.items())
        terminal.out.print(f"False: {one.rule} {labels} on {one.opened}", markup=False)
    if not card.false:
        terminal.out.print("No incident without a cause.")
