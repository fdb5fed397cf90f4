"""Is the log readable as configured? Every answer is one sentence with its mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal, select

from sql.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from monitors.logs.source import Source

_IMPATIENT_MS = 1_000


def check(source: Source) -> None:
    """See `Source.check`."""
    try:
        _answers(source)
        _reads(source)
    except StoreError as error:
        raise ConfigurationError(
            _sentence(error.what), where="[source] url", mend=error.mend or "see the server's log"
        ) from None


def _answers(source: Source) -> None:
    """Connect, and do not wait half a minute for a locked file."""
    with source.connect() as connection:
        if source.engine.dialect.name != "sqlite":
            connection.execute(select(literal(1)))
            return
        patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_IMPATIENT_MS}")
        try:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(patience or 0)}")


def _reads(source: Source) -> None:
    if not source.probe("at"):
        raise ConfigurationError(
            "the table is empty" if not source.probe("id") else "the time column is empty",
            where="[source] table",
            mend="import a log with `tidegauge import FILE`, or name the table that is written",
        )
    complaint = source.complaint()
    if complaint:
        raise ConfigurationError(
            f"the column of the timestamp {complaint}",
            where="[source] time_format",
            mend="see the comments in the default tidegauge.toml",
        )


def _sentence(what: str) -> str:
    if "OperationalError" in what:
        return "the server does not answer or does not let us in"
    return what
