"""Engines that behave: explicit transactions, bounded waits, errors without a row's content."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from sql.errors import ConfigurationError, StoreError

_SQLITE_WAIT_MS = 30_000


def open_engine(
    url: str,
    *,
    read_only: bool = False,
    where: str = "[store] url",
    patience_ms: int = _SQLITE_WAIT_MS,
) -> Engine:
    """An engine for ``url``; nothing is connected yet.

    Args:
        url: a SQLAlchemy URL; for PostgreSQL the driver must be written (``postgresql+psycopg``).
        read_only: refuse writes at the session level (SQLite ``query_only``, PostgreSQL
            ``default_transaction_read_only``).
        where: the setting to name in an error.
        patience_ms: how long to wait for a SQLite file that another program holds.

    Raises:
        ConfigurationError: the URL cannot be read or names a driver that is not installed.
    """
    parsed = _parse(url, where)
    try:
        match parsed.get_backend_name():
            case "sqlite":
                return _sqlite(parsed, read_only, patience_ms)
            case "postgresql":
                return _postgresql(parsed, read_only)
            case _:
                return create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"no driver is installed for {parsed.drivername!r}",
            where=where,
            mend="write postgresql+psycopg://… and pip install 'tidegauge[postgres]', or install "
            "the package of your database's dialect",
        ) from error


@contextmanager
def safe_errors(where: str) -> Iterator[None]:
    """Turn a driver's error into a `StoreError` that names codes and places but no content.

    PostgreSQL's DETAIL quotes whole rows and SQLAlchemy's message the statement, so neither
    is kept, not even as the cause.
    """
    try:
        yield
    except DBAPIError as error:
        raise _describe(error, where) from None
    except SQLAlchemyError as error:
        raise StoreError(
            f"the database layer refused: {type(error).__name__}", where=where
        ) from None


def compact(engine: Engine, tables: Sequence[str]) -> None:
    """Give the room of deleted and overwritten rows back: their bytes lie in the files until then.

    Raises:
        StoreError: another program holds the database; what was deleted stays deleted.
    """
    with (
        safe_errors("store"),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        if engine.dialect.name == "sqlite":
            raw: Any = connection.connection.driver_connection
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            for name in tables:
                connection.exec_driver_sql(f'VACUUM "{name}"')


def _parse(url: str, where: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "the database URL cannot be read",
            where=where,
            mend="write it as sqlite:///path/to/file.db or postgresql+psycopg://user@host/name",
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def _sqlite(url: URL, read_only: bool, patience_ms: int) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own implicit BEGIN would come too late to be IMMEDIATE (see Store.begin).
        connection.isolation_level = None
        connection.create_function("md5", 1, _md5, deterministic=True)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {patience_ms:d}")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        immediate = connection.get_execution_options().get("tidegauge_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgresql(url: URL, read_only: bool) -> Engine:
    # client_connection_check_interval: a killed client's locks go within half a second.
    options = "-c client_connection_check_interval=500 -c timezone=UTC -c lock_timeout=60000"
    if read_only:
        options += " -c default_transaction_read_only=on -c statement_timeout=1800000"
    arguments: dict[str, Any] = {
        "options": options,
        "connect_timeout": 10,
        "keepalives": 1,
        "keepalives_idle": 30,
        "application_name": "tidegauge",
    }
    return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=arguments)


def _md5(value: str | bytes | None) -> str | None:
    if value is None:
        return None
    data = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _describe(error: DBAPIError, where: str) -> StoreError:
    original = error.orig
    diagnostic = getattr(original, "diag", None)
    code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None) or ""
    names = [getattr(diagnostic, part, None) for part in ("table_name", "constraint_name")]
    place = " ".join([where, *(str(name) for name in names if name)])
    # SQLite's texts name tables and columns, never values; only known shapes of it are repeated.
    text = str(original) if isinstance(original, sqlite3.Error) else ""
    known = re.match(
        r"database is locked|no such table: \S+|no such column: \S+|unable to open database file"
        r"|attempt to write a readonly database|disk I/O error|database or disk is full"
        r"|file is not a database|UNIQUE constraint failed|NOT NULL constraint failed",
        text,
    )
    what = known[0] if known else f"the database refused ({type(original).__name__})"
    return StoreError(f"{what}{f' {code}' if code else ''}", where=place, mend=_mend(what, code))


def _mend(what: str, code: str) -> str:
    if what == "database is locked":
        return "another program holds the file; close it, or use PostgreSQL for shared work"
    if what.startswith("no such table") or code == "42P01":
        return "run `tidegauge init`, or correct the table's name"
    if what == "unable to open database file" or what == "file is not a database":
        return "check the path and its permissions"
    if code.startswith(("08", "28", "3D")) or "OperationalError" in what:
        return "check that the server runs and that the URL's host, user and database are right"
    return ""
