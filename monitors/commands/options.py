"""What the commands share: options, the suite, and how ``key=value`` is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from monitors.suite import Suite

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration file.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Actor = Annotated[str, typer.Option("--actor", help="Who does it, for the audit.", envvar="USER")]


def suite_of(config: Path | None) -> Suite:
    """The suite of a configuration; what it needs is imported only now, so that help is quick."""
    from monitors.suite import open_suite

    return open_suite(config)


def pairs(values: Sequence[str] | None, option: str) -> dict[str, str]:
    """``["a=b"]`` as ``{"a": "b"}``.

    Raises:
        ConfigurationError: a value has no equals sign.
    """
    found = {}
    for value in values or ():
        key, equals, rest = value.partition("=")
        if not equals:
            raise ConfigurationError(
                f"{value!r} is not a pair", where=option, mend=f"write {option} field=value"
            )
        found[key.strip()] = rest.strip()
    return found
