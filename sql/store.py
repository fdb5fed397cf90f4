"""The store: one place that writes, in explicit transactions, under named locks."""

from __future__ import annotations

import json
import os
import socket
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, delete, select, text
from sqlalchemy.dialects import postgresql, sqlite

from sql.engine import compact, open_engine, safe_errors
from sql.errors import LockHeld, StoreError
from sql.measurement import Measurement, Status, labels_key
from sql.tables import measurement as measurement_table
from sql.tables import metadata, work_lock
from sql.window import Grain, Window

_LOCK_TTL = timedelta(hours=2)
# Well below the parameter limits of SQLite (32,766) and PostgreSQL (65,535) for 25 columns.
_ROWS_PER_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lock. `check` inside the publishing transaction proves that it is still ours."""

    name: str
    token: int

    def check(self, connection: Connection) -> None:
        """Refuse to go on when a later holder has taken the lock over.

        Raises:
            LockHeld: the fencing token has moved on.
        """
        current = connection.scalar(select(work_lock.c.token).where(work_lock.c.name == self.name))
        if current != self.token:
            raise LockHeld("a later run took over this work", where=self.name, mend="let it finish")


class Store:
    """Tidegauge's own database (SQLite or PostgreSQL).

    Args:
        engine: from `sql.engine.open_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect and bring the schema up to date.

        Raises:
            ConfigurationError: the URL is unusable. StoreError: the database refused.
        """
        from sql.migrations import upgrade

        store = cls(open_engine(url))
        with safe_errors("store"):
            upgrade(store.engine)
        return store

    def close(self) -> None:
        self.engine.dispose()

    def compact(self) -> None:
        """Leave nothing of what was deleted or overwritten in the database's files."""
        compact(self.engine, [table.name for table in metadata.sorted_tables])

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: committed at the end, rolled back on any exception."""
        with safe_errors("store"), self.engine.connect() as raw:
            connection = raw.execution_options(tidegauge_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A consistent read."""
        with safe_errors("store"), self.engine.connect() as connection:
            yield connection

    def rows(self, query: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """All rows of a small result."""
        with self.connect() as connection:
            return connection.execute(query).all()

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def upsert(
        self,
        connection: Connection,
        table: Table,
        rows: Iterable[Mapping[str, Any]],
        *,
        keep: bool = False,
    ) -> None:
        """Insert rows by the table's primary key; an existing row is overwritten, or kept.

        Args:
            rows: dicts with the same keys; NaN must have been removed.
            keep: leave an existing row as it is.
        """
        dialect: Any = postgresql if self.dialect == "postgresql" else sqlite
        key = [column.name for column in table.primary_key]
        batch: list[dict[str, Any]] = []

        def flush() -> None:
            if not batch:
                return
            statement = dialect.insert(table)
            changed = [name for name in batch[0] if name not in key]
            if keep or not changed:
                statement = statement.on_conflict_do_nothing(index_elements=key)
            else:
                statement = statement.on_conflict_do_update(
                    index_elements=key, set_={name: statement.excluded[name] for name in changed}
                )
            connection.execute(statement, batch)
            batch.clear()

        for row in rows:
            batch.append(dict(row))
            if len(batch) >= _ROWS_PER_STATEMENT:
                flush()
        flush()

    def publish(
        self,
        connection: Connection,
        monitor: str,
        window: Window,
        measurements: Iterable[Measurement],
    ) -> int:
        """Replace all that ``monitor`` says of ``window``; readers see old or new, never half.

        Returns:
            how many measurements now stand.

        Raises:
            ValueError: a measurement belongs to another monitor or window, or two share a key.
        """
        rows, seen = [], set()
        for item in measurements:
            if item.monitor != monitor or item.window != window:
                raise ValueError(f"{item.metric} is not of {monitor} in {window}")
            key = (item.metric, item.labels_key)
            if key in seen:
                raise ValueError(f"{item.metric} {item.labels_key} is measured twice in {window}")
            seen.add(key)
            rows.append(_measurement_row(item))
        table = measurement_table.c
        connection.execute(
            delete(measurement_table).where(
                table.monitor == monitor,
                table.grain == window.grain.value,
                table.window_start == window.start,
            )
        )
        if rows:
            connection.execute(measurement_table.insert(), rows)
        return len(rows)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def measurements(
        self,
        *,
        metric: str | None = None,
        monitor: str | None = None,
        labels: Mapping[str, str] | None = None,
        grain: Grain | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        connection: Connection | None = None,
    ) -> list[Measurement]:
        """Measurements in the order of window, metric and labels.

        Args:
            labels: exactly this slice.
            since, until: windows that start in ``since <= start < until``.
        """
        table = measurement_table.c
        query = select(measurement_table)
        for column, wanted in ((table.metric, metric), (table.monitor, monitor)):
            if wanted is not None:
                query = query.where(column == wanted)
        if labels is not None:
            query = query.where(table.labels == labels_key(labels))
        if grain is not None:
            query = query.where(table.grain == grain.value)
        if since is not None:
            query = query.where(table.window_start >= since)
        if until is not None:
            query = query.where(table.window_start < until)
        query = query.order_by(table.window_start, table.monitor, table.metric, table.labels)
        if connection is not None:
            return [measurement_from(row) for row in connection.execute(query)]
        return [measurement_from(row) for row in self.rows(query)]

    # ── locks ────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def lock(self, name: str) -> Iterator[Lease]:
        """Hold the named piece of work alone, across processes and machines.

        PostgreSQL: a session advisory lock, gone when the process dies. SQLite: a row with a
        fencing token; a holder that died on this host is taken over at once, one elsewhere
        after two hours.

        Raises:
            LockHeld: somebody else works on it.
        """
        if self.dialect == "postgresql":
            with self._advisory_lock(name):
                yield self._take_row(name, contested=False)
            return
        lease = self._take_row(name, contested=True)
        try:
            yield lease
        finally:
            with self.begin() as connection:
                connection.execute(
                    work_lock.update()
                    .where(work_lock.c.name == name, work_lock.c.token == lease.token)
                    .values(owner="", expires_at=datetime.now(UTC))
                )

    @contextmanager
    def _advisory_lock(self, name: str) -> Iterator[None]:
        key = zlib.crc32(name.encode()) | (zlib.adler32(name.encode()) & 0x7FFFFFFF) << 32
        with self.connect() as connection:
            taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
            connection.commit()
            if not taken:
                raise _held(name, "another session")
            try:
                yield
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
                connection.commit()

    def _take_row(self, name: str, *, contested: bool) -> Lease:
        now = datetime.now(UTC)
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        with self.begin() as connection:
            row = connection.execute(select(work_lock).where(work_lock.c.name == name)).first()
            if contested and row is not None and _is_live(row.owner, row.expires_at, now):
                raise _held(name, row.owner.rsplit(":", 1)[0])
            token = 1 if row is None else row.token + 1
            record = {"name": name, "owner": owner, "token": token, "expires_at": now + _LOCK_TTL}
            self.upsert(connection, work_lock, [record])
        return Lease(name, token)


def _held(name: str, owner: str) -> LockHeld:
    return LockHeld(
        f"{owner} is working on this already", where=name, mend="wait for it to end, then try again"
    )


def _is_live(owner: str, expires_at: datetime, now: datetime) -> bool:
    if not owner or expires_at <= now:
        return False
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _measurement_row(item: Measurement) -> dict[str, Any]:
    return {
        "monitor": item.monitor,
        "metric": item.metric,
        "labels": item.labels_key,
        "grain": item.window.grain.value,
        "window_start": item.window.start,
        "window_end": item.window.end,
        "zone": item.window.zone,
        "value": item.value,
        "low": item.low,
        "high": item.high,
        "n": item.n,
        "baseline": item.baseline,
        "evidence": item.evidence,
        "detectable": item.detectable,
        "unit": item.unit,
        "method": item.method,
        "status": item.status.value,
        "reason": item.reason,
    }


def measurement_from(row: Row[Any]) -> Measurement:
    """The `Measurement` that a row of table ``measurement`` holds."""

    return Measurement(
        monitor=row.monitor,
        metric=row.metric,
        labels=json.loads(row.labels),
        window=Window(row.window_start, row.window_end, row.zone, Grain(row.grain)),
        value=row.value,
        low=row.low,
        high=row.high,
        n=row.n,
        baseline=row.baseline,
        evidence=row.evidence,
        detectable=row.detectable,
        unit=row.unit,
        method=row.method,
        status=Status(row.status),
        reason=row.reason,
    )


__all__ = ["Lease", "Store", "StoreError", "measurement_from"]
