"""``tidegauge silence`` and ``tidegauge ack``: what people say back to the alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.errors import ConfigurationError

app = typer.Typer(help="Silences: what shall not be said for a while.", no_args_is_help=True)
By = Annotated[str, typer.Option("--by", help="Who says so.", envvar="USER")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command(epilog="Example: tidegauge silence add feature=answer --for 4h --comment 'known'")
def add(
    matchers: Annotated[
        list[str] | None, typer.Argument(help="label=value, label!=value or label=~pattern.")
    ] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long: 30m, 4h, 2d, 1w.")] = "4h",
    comment: Annotated[str, typer.Option(help="Why; it is shown to others.")] = "",
    by: By = "",
    everything: Annotated[bool, typer.Option("--all", help="Silence everything.")] = False,
    config: Config = None,
) -> None:
    """Say nothing of the incidents that all matchers fit; they live on and are told afterwards."""
    from alerts import silences

    suite = suite_of(config)
    now = suite.clock()
    made = silences.add(
        suite.store,
        [silences.matcher(text) for text in matchers or ()],
        starts=now,
        ends=now + _span(lasts),
        author=by,
        comment=comment,
        everything=everything,
        now=now,
    )
    terminal.out.print(f"silence {made.key} until {made.ends:%Y-%m-%d %H:%M} UTC", markup=False)


@app.command("list", epilog="Example: tidegauge silence list --all")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """The silences that go on."""
    from alerts import silences

    suite = suite_of(config)
    found = silences.read(suite.store, at=None if every else suite.clock())
    if as_json:
        terminal.json_lines(
            {
                "silence": each.key,
                "matchers": silences.written(each.matchers),
                "starts": each.starts,
                "ends": each.ends,
                "author": each.author,
                "comment": each.comment,
            }
            for each in found
        )
        return
    terminal.table(
        "Silences",
        ["id", "what", "from", "until", "by", "why"],
        (
            [
                each.key,
                silences.written(each.matchers),
                f"{each.starts:%Y-%m-%d %H:%M}",
                f"{each.ends:%Y-%m-%d %H:%M}",
                each.author,
                each.comment,
            ]
            for each in found
        ),
    )


@app.command("end", epilog="Example: tidegauge silence end 1f9c0a3b7d")
def end_(
    silence: Annotated[str, typer.Argument(help="Its id.")], by: By = "", config: Config = None
) -> None:
    """End a silence now: what it held back and is still going on is told."""
    from alerts import silences

    suite = suite_of(config)
    silences.end(suite.store, silence, author=by, now=suite.clock())
    terminal.out.print(f"silence {silence} has ended", markup=False)


def acknowledge(
    incident: Annotated[str, typer.Argument(help="Its id, as the message shows it.")],
    by: By = "",
    comment: Annotated[str, typer.Option(help="What you do about it.")] = "",
    real: Annotated[
        bool | None,
        typer.Option("--real/--false-alarm", help="What it was; also once it is over."),
    ] = None,
    config: Config = None,
) -> None:
    """Say that you look after an incident, or what it was: kept, and told in its thread."""
    from alerts import acknowledgements

    suite = suite_of(config)
    found = acknowledgements.find_incident(suite.store, incident)
    verdict = {None: "", True: "real", False: "false"}[real]
    new = acknowledgements.acknowledge(
        suite.store,
        found,
        actor=by,
        comment=comment,
        action="cli",
        now=suite.clock(),
        verdict=verdict,
    )
    name = f"{found.rule} {found.fingerprint[:10]}"
    told = f"{by} {'looks after' if new else 'looked after'} {name}"
    if verdict:
        told = f"{by} says of {name}: {acknowledgements.VERDICTS[verdict]}"
    terminal.out.print(told, markup=False)


def _span(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in _UNITS:
        raise ConfigurationError(
            f"{text!r} is no length of time", where="--for", mend="write 30m, 4h, 2d or 1w"
        )
    return timedelta(**{_UNITS[unit]: int(number)})
