"""``tidegauge explain``: everything that decided an incident, for whoever must answer for it."""

from __future__ import annotations

from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of


def explain(
    incident: Annotated[str, typer.Argument(help="Its id, as the message shows it.")],
    generation: Annotated[int, typer.Option(help="Which of its times; 0 is the latest.")] = 0,
    as_html: Annotated[bool, typer.Option("--html", help="Write a page, print its path.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """The whole lineage of an incident: rule, windows, who contributed what to a fall, versions,
    digests, baselines, messages and people."""
    from monitors.lineage import lineage
    from monitors.report.lineage import write_page

    suite = suite_of(config)
    found = lineage(suite, incident, generation)
    if as_html:
        terminal.out.print(str(write_page(suite, found)), markup=False, soft_wrap=True)
        return
    if as_json:
        terminal.json_lines([found.record()])
        return
    terminal.out.print(f"Incident {found.name}", markup=False)
    for name, value in found.facts:
        terminal.out.print(f"  {name:<18}{value}", markup=False, soft_wrap=True)
    for sheet in found.sheets:
        if sheet.rows:
            terminal.table(sheet.title.capitalize(), list(sheet.columns), sheet.rows)
