"""Fill the embedded source with the demo's traffic, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from monitors.demo.traffic import days_of, rows_on, traffic
from monitors.logs.embedded import create, interaction, write_rows
from monitors.settings import Settings
from sql.engine import open_engine, safe_errors
from sql.errors import ConfigurationError

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FillReport:
    """The demo's days, its rows, and whether they were written now."""

    first_day: date
    last_day: date
    rows: int
    written: bool


def fill_log(settings: Settings, *, today: date, progress: Progress | None = None) -> FillReport:
    """Write all days of the demo; a log that holds them already keeps its dates and is left alone.

    Args:
        today: the demo ends with the month before, unless ``[demo] end`` says otherwise; so it
            holds whole months to review, and the end of a quarter.

    Raises:
        ConfigurationError: the source holds another log; the demo never mixes with real rows.
    """
    demo = settings.demo
    engine = open_engine(settings.source.url, where="[source] url")
    with safe_errors("[source] url"):
        create(engine)
        end = demo.end or today.replace(day=1) - timedelta(days=1)
        first = _existing(engine) or end - timedelta(days=7 * demo.weeks - 1)
        days = days_of(first, demo.weeks)
        wanted = sum(rows_on(day, demo, first) for day in days)
        if _count(engine) == wanted:
            return FillReport(first, days[-1], wanted, False)

        def rows() -> Iterator[dict[str, Any]]:
            for number, day in enumerate(days):
                if progress:
                    progress(number, len(days))
                yield from traffic(day, demo, first)

        write_rows(engine, rows(), source_name=settings.source.name, seed=settings.sampling.seed)
        found = _count(engine)
    engine.dispose()
    if found != wanted:
        raise ConfigurationError(
            f"the log holds {found:,} rows where the demo has {wanted:,}",
            where="[source] url",
            mend="give the demo a log of its own, or delete the old demo's data folder",
        )
    return FillReport(first, days[-1], wanted, True)


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(interaction)) or 0


def _existing(engine: Engine) -> date | None:
    """The first day of a demo log that is there already, whole or cut short."""
    with engine.connect() as connection:
        first = connection.scalar(select(func.min(interaction.c.at)))
    return first.date() if first else None
