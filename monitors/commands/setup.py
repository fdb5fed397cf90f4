"""``tidegauge init`` and ``check``: a store and a configuration, and is all of it right?"""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of


def init(config: Config = None) -> None:
    """Make the store, or bring its schema up to date; write a configuration if there is none."""
    from monitors.settings import find_file

    path = find_file(config)
    if not path.exists():
        default = Path(__file__).resolve().parents[2] / "tidegauge.toml"
        path.write_text(default.read_text(encoding="utf-8"), encoding="utf-8")
        terminal.out.print(f"wrote {path}", markup=False)
    suite = suite_of(path)
    terminal.out.print(f"the store is ready ({suite.store.dialect})")


def check(config: Config = None, as_json: Json = False) -> None:
    """Check configuration, store, source, models and destinations; exit 2 if any is not right."""
    from monitors.check import check as look

    findings = list(look(config))
    if as_json:
        terminal.json_lines(
            {"what": one.what, "good": one.good, "text": one.text} for one in findings
        )
    else:
        for one in findings:
            mark = "[green]ok[/]  " if one.good else "[bold red]bad[/] "
            terminal.out.print(f"{mark} {one.what}: {escape(one.text)}", soft_wrap=True)
    if not all(one.good for one in findings):
        raise typer.Exit(2)
