"""Is everything in place? Each finding is one line in plain words, with its mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monitors.settings import Settings, load_settings
from monitors.suite import Suite
from sql.engine import open_engine, safe_errors
from sql.errors import TidegaugeError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, whether it is in order, and what was seen."""

    what: str
    good: bool
    text: str


def check(config: str | Path | None = None) -> Iterator[Finding]:
    """Look at everything in turn; what rests on a broken part is not looked at."""
    settings, finding = _settings(config)
    yield finding
    if settings is None:
        return
    store = _tried("store", lambda: _store(settings))
    yield store
    if not store.good:
        return
    suite = Suite(settings)
    yield _tried("source", lambda: _source(suite))
    yield _tried("scorers", lambda: f"{len(suite.scorers)} scorers")
    yield _tried("monitors", lambda: f"{len(suite.monitors)} monitors")
    yield _tried("rules", lambda: f"{len(suite.alerting.rules)} rules")
    yield _tried("embedding model", lambda: f"weights {suite.context.embedder().digest[:12]}")
    yield _tried("alerts", lambda: "to " + ", ".join(sorted(suite.channels())))


def _settings(config: str | Path | None) -> tuple[Settings | None, Finding]:
    try:
        settings = load_settings(config)
    except TidegaugeError as error:
        return None, Finding("configuration", False, str(error))
    return settings, Finding("configuration", True, f"digest {settings.digest[:12]}")


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except TidegaugeError as error:
        return Finding(what, False, str(error))


def _store(settings: Settings) -> str:
    engine = open_engine(settings.store.url)
    with safe_errors("[store] url"), engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    return engine.dialect.name


def _source(suite: Suite) -> str:
    suite.source.check()
    first, last = suite.source.first_instant(), suite.source.last_instant()
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" if first and last else "empty"
