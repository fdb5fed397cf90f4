"""``tidegauge attribution``: who contributed what to a day's change of quality, incident or not."""

from __future__ import annotations

from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.errors import ConfigurationError
from sql.window import Grain, Window


def show(
    scorer: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    window: Annotated[str | None, typer.Option(help="A day; default: the last.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """The exact table of a change: each slice's part by its share (mix) and by its own mean."""
    from monitors.quality import attribution
    from monitors.quality.slices import label_text

    suite = suite_of(config)
    zone = suite.settings.timezone
    day = Window.parse(window, zone) if window else Window.last_full(suite.clock(), Grain.DAY, zone)
    found = attribution.read_attribution(day, suite.context)
    chosen = {name: each for name, each in found.items() if scorer in (None, name)}
    if not chosen:
        raise ConfigurationError(
            f"nothing is known of {scorer or 'any scorer'} on {day}",
            mend=f"run `tidegauge run daily --window {day}`; the reference's days have no table",
        )
    if as_json:
        terminal.json_lines(
            {
                "scorer": name,
                "cause": cause,
                "field": field,
                "slice": label_text(value),
                "mix": part.mix,
                "within": part.within,
                "share": [part.share0, part.share1],
                "mean": [part.mean0, part.mean1],
            }
            for name, (fall, cause) in sorted(chosen.items())
            for field, value, part in attribution.parts_of(fall)
        )
        return
    rows: list[tuple[str, ...]] = []
    for name, (fall, cause) in sorted(chosen.items()):
        said = f"{name}: {attribution.change_text(fall, day)}"
        terminal.out.print(f"{said}{f'; likely cause: {cause}' if cause else ''}", markup=False)
        rows += [(name, *row) for row in attribution.rows_of(fall)]
    terminal.table("Contributions", ["scorer", *attribution.COLUMNS], rows)
