"""The embedded source: a table of interactions in its own file, for logs without a database.

Importers and the demo write it; everything else reads it like any other source. It is not part of
the store: it has its own metadata, and deleting the file loses no measurement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from monitors.logs.interaction import ATTRIBUTES, BY_ATTRIBUTE, REQUIRED, TEXT_FIELDS
from sql.engine import compact, safe_errors
from sql.errors import StoreError
from sql.sampling import drawn_by, sample_key
from sql.types import Instant

_TYPES: Mapping[str, Any] = {
    "text": Text,
    "instant": Instant,
    "integer": BigInteger,
    "number": Double,
    "flag": Boolean,
}
_CHUNK = 5_000
_ROWS_PER_LOOKUP = 500
_ID_LENGTH = 255
# What makes two rows of one id the same request: the rest (feedback, cost) may come later.
_CONTENT = ("input", "output", "request_model")
_PERSONAL = (*TEXT_FIELDS, "user_id", "conversation_id", "response_id")
_BLANK = "[ERASED]"

metadata = MetaData()


def _column(attribute: str) -> Column[Any]:
    if attribute == "id":
        return Column("id", String(_ID_LENGTH), primary_key=True, nullable=False)
    field = BY_ATTRIBUTE[attribute]
    required = attribute in REQUIRED
    return Column(attribute, _TYPES[field.kind], nullable=not required, doc=field.doc)


interaction = Table(
    "interaction",
    metadata,
    *(_column(name) for name in ATTRIBUTES),
    Column("sample_key", String(32), nullable=False, doc="see sql.sampling"),
    # A day's sample is a range of this index: its cost is that of the sample, not of the day.
    Index("ix_interaction_at_sample_key", "at", "sample_key"),
)


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What became of the rows.

    Args:
        stored: new rows.
        duplicate: rows that were there already, by id.
        renamed: those of ``stored`` whose id another request had taken; they stand under
            ``<id>~<digest of the content>``.
    """

    stored: int = 0
    duplicate: int = 0
    renamed: int = 0

    def __add__(self, other: WriteReport) -> WriteReport:
        return WriteReport(
            self.stored + other.stored,
            self.duplicate + other.duplicate,
            self.renamed + other.renamed,
        )


def create(engine: Engine) -> None:
    """Make the table and its index where they do not exist."""
    with safe_errors("embedded source"):
        metadata.create_all(engine)


def write_rows(
    engine: Engine, rows: Iterable[Mapping[str, Any]], *, source_name: str, seed: str
) -> WriteReport:
    """Add rows that are not there yet; safe to repeat, and to repeat after a kill.

    Every 5,000 rows are committed together, so memory does not depend on how many come.

    Args:
        engine: from `sql.engine.open_engine`, writable.
        rows: by attribute of `Interaction`; absent attributes are NULL. They must be clean (see
            `monitors.logs.poison`): aware times, finite numbers, no NUL and no lone surrogate.
        source_name, seed: as in ``[source] name`` and ``[sampling] seed``; they make the key.

    Raises:
        StoreError: the database refused.
        ValueError: a time has no zone.
    """
    create(engine)
    total = WriteReport()
    for chunk in _chunks(rows, _CHUNK):
        part = _Part.of(chunk, source_name, seed)
        with safe_errors("embedded source"), engine.connect() as raw:
            connection = raw.execution_options(tidegauge_write=True)
            with connection.begin():
                total += _write(connection, part, source_name, seed)
    return total


def is_embedded(engine: Engine, table: str) -> bool:
    """Is it this module's own table, and not a log that is only read?"""
    if table != interaction.name:
        return False
    with safe_errors("embedded source"):
        names = {column["name"] for column in inspect(engine).get_columns(table)}
    return names == set(interaction.columns.keys())


def blank_rows(engine: Engine, user_id: str) -> int:
    """Take a user's texts, and what points at the user, out of the log; the rows are still counted.

    Returns:
        how many rows there were.

    Raises:
        StoreError: the database refused.
    """
    table = interaction.c
    blank = {name: None if table[name].nullable else _BLANK for name in _PERSONAL}
    with safe_errors("embedded source"), engine.connect() as raw:
        connection = raw.execution_options(tidegauge_write=True)
        with connection.begin():
            mine = update(interaction).where(table.user_id == user_id)
            found = connection.execute(mine.values(**blank)).rowcount
    compact(engine, [interaction.name])
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows as the driver wants them: only columns that some row of the part has."""

    columns: tuple[str, ...]
    records: list[tuple[Any, ...]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], source_name: str, seed: str) -> _Part:
        present = set(_CONTENT).union(*rows)
        names = tuple(name for name in ATTRIBUTES if name in present)
        records = []
        for row in rows:
            values: list[Any] = list(map(row.get, names))
            values[1] = _utc_text(values[1])
            by = drawn_by(values[0], row.get("shadow_of"))
            values.append(sample_key(seed, source_name, by))
            records.append(tuple(values))
        return cls((*names, "sample_key"), records)


def _utc_text(at: datetime | str) -> str:
    """The very text that SQLAlchemy's DateTime writes on SQLite.

    PostgreSQL reads it as UTC, because sessions of `sql.engine` are in UTC.
    """
    if isinstance(at, str):
        return at
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def _write(connection: Connection, part: _Part, source_name: str, seed: str) -> WriteReport:
    stored = _insert(connection, part)
    rows = len(part.records)
    if stored == rows:
        return WriteReport(stored)
    # Some ids were taken: by the same request (a repeat), or by another one (a reused id)?
    renamed = [_renamed(row) for row in _reused(connection, part)]
    added = _insert(connection, _Part.of(renamed, source_name, seed)) if renamed else 0
    return WriteReport(stored + added, rows - stored - added, added)


def _insert(connection: Connection, part: _Part) -> int:
    """Insert what has a new id; how many that were."""
    if connection.dialect.name == "postgresql":
        return _copy(connection, part)
    statement = (
        sqlite.insert(interaction)
        .values(dict.fromkeys(part.columns))
        .on_conflict_do_nothing(index_elements=["id"])
    )
    text = str(statement.compile(dialect=connection.dialect))
    # Past SQLAlchemy's binding, which would cost more than the insert itself.
    return connection.exec_driver_sql(text, part.records).rowcount


def _copy(connection: Connection, part: _Part) -> int:
    """PostgreSQL's COPY into a table of this session, then over what has a new id."""
    columns = ", ".join(f'"{name}"' for name in part.columns)
    staging = '"tidegauge_staging"'
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE interaction) ON COMMIT DELETE ROWS"
    )
    connection.exec_driver_sql(f"TRUNCATE {staging}")
    driver: Any = connection.connection.driver_connection
    try:
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {staging} ({columns}) FROM STDIN") as copy,
        ):
            for record in part.records:
                copy.write_row(record)
    except driver.Error as error:  # not passed through SQLAlchemy: its DETAIL quotes the row
        code = getattr(error, "sqlstate", None) or ""
        raise StoreError(
            f"the database refused a row {code}".rstrip(), where="embedded source"
        ) from None
    # Constants of this module only: the columns are attributes of `Interaction`.
    return connection.exec_driver_sql(
        f"INSERT INTO interaction ({columns}) SELECT {columns} FROM {staging} "  # noqa: S608
        "ON CONFLICT (id) DO NOTHING"
    ).rowcount


def _reused(connection: Connection, part: _Part) -> Iterator[dict[str, Any]]:
    """Rows whose id stands for another content in the table."""
    content = [interaction.c[name] for name in _CONTENT]
    for records in _chunks(part.records, _ROWS_PER_LOOKUP):
        query = select(interaction.c.id, *content).where(
            interaction.c.id.in_([record[0] for record in records])
        )
        standing = {row[0]: tuple(row[1:]) for row in connection.execute(query)}
        for record in records:
            row = dict(zip(part.columns, record, strict=True))
            if standing.get(row["id"]) != tuple(row[name] for name in _CONTENT):
                yield row


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    content = "\x1f".join(str(row[name] or "") for name in _CONTENT)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return {**row, "id": f"{row['id'][: _ID_LENGTH - 13]}~{digest}"}


def _chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
