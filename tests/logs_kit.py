"""A context over a small log, for the tests of reading, drawing and intake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from monitors.context import Context
from monitors.logs.embedded import write_rows
from monitors.logs.source import Source
from monitors.settings import Settings
from sql.engine import open_engine
from sql.store import Store
from sql.window import Grain, Window

DAY = Window.of(date(2026, 6, 1), Grain.DAY)
NOW = datetime(2026, 6, 2, 6, tzinfo=UTC)


def row(number: int, window: Window = DAY, of: int = 10_000, **other: Any) -> dict[str, Any]:
    """A clean row somewhere in the window."""
    return {
        "id": f"r{number}",
        "at": window.start + (window.end - window.start) * ((number % of) / of),
        "input": f"question {number}",
        "output": f"answer {number}",
        "feature": "chat",
        **other,
    }


def fill(url: str, rows: Iterable[Mapping[str, Any]], seed: str = "tidegauge") -> None:
    """Write rows into the embedded source at ``url``."""
    engine = open_engine(url)
    write_rows(engine, rows, source_name="log", seed=seed)
    engine.dispose()


@contextmanager
def context_over(
    store: Store, source_url: str, *, now: datetime = NOW, **sections: Mapping[str, Any]
) -> Iterator[Context]:
    """A context; ``sections`` are tables of the configuration."""
    sections = {**sections, "source": {"url": source_url, **sections.get("source", {})}}
    settings = Settings.model_validate(sections)
    source = Source.open(settings.source)

    def no_model() -> Any:
        raise AssertionError("no model is needed here")

    try:
        yield Context(settings, store, source, (), lambda: now, no_model)
    finally:
        source.close()


def days(count: int, first: Window = DAY) -> list[Window]:
    return [first.shift(number) for number in range(count)]


__all__ = ["DAY", "NOW", "context_over", "days", "fill", "row", "timedelta"]
