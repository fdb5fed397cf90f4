"""``tidegauge explain``: who contributed what to a change of quality, and the likely cause."""

from __future__ import annotations

from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.errors import ConfigurationError
from sql.window import Grain, Window
from sql.words import between, number


def explain(
    scorer: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    window: Annotated[str | None, typer.Option(help="A day; default: the last.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """The exact table of a change: each slice's part by its share (mix) and by its own mean."""
    from monitors.quality.attribution import read_attribution
    from monitors.quality.slices import label_text

    suite = suite_of(config)
    zone = suite.settings.timezone
    day = Window.parse(window, zone) if window else Window.last_full(suite.clock(), Grain.DAY, zone)
    found = read_attribution(day, suite.context)
    chosen = {name: each for name, each in found.items() if scorer in (None, name)}
    if not chosen:
        raise ConfigurationError(
            f"nothing is known of {scorer or 'any scorer'} on {day}",
            mend=f"run `tidegauge run daily --window {day}`; the reference's days have no table",
        )
    lines = []
    for name, (fall, cause) in sorted(chosen.items()):
        for field, table in fall.tables.items():
            for value, part in sorted(table.items(), key=lambda one: one[1].total):
                lines.append((name, field, label_text(value), part))
        if not as_json:
            change = f"{number(fall.change, 'ratio')} ({between(fall.low, fall.high, 'ratio')})"
            said = f"{name}, {day} and {fall.days - 1} days before: {change}"
            terminal.out.print(f"{said}{f'; likely cause: {cause}' if cause else ''}", markup=False)
    if as_json:
        terminal.json_lines(
            {
                "scorer": name,
                "cause": chosen[name][1],
                "field": field,
                "slice": value,
                "mix": part.mix,
                "within": part.within,
                "share": [part.share0, part.share1],
                "mean": [part.mean0, part.mean1],
            }
            for name, field, value, part in lines
        )
        return
    terminal.table(
        "Contributions",
        ["scorer", "field", "slice", "share", "mean", "by share", "by itself", "together"],
        (
            [
                name,
                field,
                value,
                f"{number(part.share0, 'ratio')} → {number(part.share1, 'ratio')}",
                f"{number(part.mean0, 'ratio')} → {number(part.mean1, 'ratio')}",
                *(number(each, "ratio") for each in (part.mix, part.within, part.total)),
            ]
            for name, field, value, part in lines
        ),
    )
