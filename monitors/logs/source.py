"""A production log: any table or view that SQLAlchemy reaches, only ever read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Numeric,
    Row,
    Select,
    String,
    Table,
    event,
    func,
    select,
    type_coerce,
)

from monitors.logs.interaction import BY_ATTRIBUTE, TEXT_FIELDS, Batch
from monitors.logs.mapping import (
    Mapped,
    expression,
    identity,
    label_expression,
    raw_expression,
    reflect,
)
from monitors.logs.poison import LABEL_LIMIT, TEXT_LIMIT, scrub_column
from monitors.logs.times import complaint, readable, within
from sql.engine import open_engine, safe_errors
from sql.errors import ConfigurationError, StoreError
from sql.sampling import (
    drawn_by,
    drawn_by_expression,
    rate_bound,
    sample_key,
    sample_key_expression,
)
from sql.window import Window

if TYPE_CHECKING:
    from monitors.settings import SourceSettings

_WHERE = "[source] url"
_FETCH = 1_000
# A chunk is handed out early when its texts are long: memory follows characters, not rows.
_CHARACTERS = 32_000_000
_PROBE = 20


class Source:
    """The log, as its fields.

    What is read is already fit for use: texts capped and scrubbed, numbers finite, times UTC.
    `monitors.logs.draw` counts what had to be mended.
    """

    def __init__(self, settings: SourceSettings, engine: Engine) -> None:
        self.settings = settings
        self.name = settings.name
        self.engine = engine
        self._mapped: Mapped | None = None
        self._keys: dict[tuple[str, bool], ColumnElement[str]] = {}

    @classmethod
    def open(cls, settings: SourceSettings) -> Source:
        """Nothing is connected before the first question.

        Raises:
            ConfigurationError: the URL cannot be read, or its driver is not installed.
        """
        engine = open_engine(settings.url, read_only=True, where=_WHERE)
        if engine.dialect.name == "sqlite":

            @event.listens_for(engine, "connect")
            def lenient(connection: Any, _record: Any) -> None:
                # One text that is not UTF-8 must not stop a window; scrubbing marks it.
                connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")

        return cls(settings, engine)

    def close(self) -> None:
        self.engine.dispose()

    # ── what there is ────────────────────────────────────────────────────────────────────────

    @property
    def attributes(self) -> frozenset[str]:
        """Attributes of `Interaction` that the log can serve."""
        return frozenset(self._schema().columns)

    def count(self, window: Window) -> int:
        """Rows of the window."""
        query = select(func.count()).select_from(self._schema().table).where(*self.within(window))
        return int(self.rows(query)[0][0])

    def count_by(
        self,
        window: Window,
        attributes: Sequence[str | ColumnElement[Any]],
        *conditions: ColumnElement[bool],
    ) -> dict[tuple[Any, ...], int]:
        """Rows of the window by combination of values; NULL is None.

        Args:
            attributes: or expressions made of them.
            conditions: further ones, made of `column` and `key`.
        """
        if not attributes:
            query = select(func.count()).select_from(self._schema().table)
            total = int(self.rows(query.where(*self.within(window), *conditions))[0][0])
            return {(): total} if total else {}
        columns = [self.column(a) if isinstance(a, str) else a for a in attributes]
        grouped = select(*columns, func.count()).group_by(*columns)
        found = self.rows(grouped.where(*self.within(window), *conditions))
        return {tuple(row[:-1]): int(row[-1]) for row in found}

    def first_instant(self) -> datetime | None:
        """The time of the log's first row; None when it is empty."""
        return self._extreme(func.min)

    def last_instant(self) -> datetime | None:
        """The time of the log's last row; None when it is empty."""
        return self._extreme(func.max)

    # ── building blocks of statements ────────────────────────────────────────────────────────

    def column(self, attribute: str) -> ColumnElement[Any]:
        """The SQL expression of an attribute, safe in aggregates (see `mapping.expression`).

        Raises:
            ConfigurationError: the log does not have it.
        """
        columns = self._schema().columns
        if attribute not in columns:
            raise ConfigurationError(
                f"the log has no field {attribute!r}",
                where="[source.columns]",
                mend="map it to a column, or do not ask for it",
            )
        return expression(attribute, columns[attribute], self.settings.time_format)

    def own_kind(self, name: str) -> str | None:
        """``number`` or ``text``: what a column of the table holds that is no field of ours; None
        when there is no such column."""
        column = self._schema().table.c.get(name)
        if column is None:
            return None
        number = isinstance(column.type, Numeric | Integer) and not isinstance(column.type, Boolean)
        return "number" if number else "text"

    def own_column(self, name: str) -> ColumnElement[Any]:
        """The SQL expression of a column that `own_kind` knows; texts are cut short."""
        column = self._schema().table.c[name]
        return column if self.own_kind(name) == "number" else label_expression(column)

    def within(self, window: Window) -> list[ColumnElement[bool]]:
        """Conditions for the rows of the window, those of ``[source] where`` included."""
        schema = self._schema()
        bounds = within(schema.columns["at"], self.settings.time_format, window.start, window.end)
        return [*bounds, *schema.conditions]

    def select(self, window: Window, attributes: Sequence[str]) -> Select[Any]:
        """The window's rows, columns labelled by attribute; push aggregates down onto it."""
        columns = [self.column(name).label(name) for name in attributes]
        return select(*columns).where(*self.within(window))

    def raw_select(self, window: Window, *extra: ColumnElement[Any]) -> Select[Any]:
        """The window's rows with all attributes as the log has them, for `poison.clean`."""
        columns = [
            raw_expression(name, column, self.settings.time_format).label(name)
            for name, column in self._schema().columns.items()
        ]
        return select(*columns, *extra).where(*self.within(window))

    def shadow_of(self, *, plain: bool = False) -> ColumnElement[str] | None:
        """The id of the request that a row shadows, NULL where it shadows none; None where the log
        does not have the field.

        Args:
            plain: without the table's name, for the definition of a column.
        """
        column = self._schema().columns.get("shadow_of")
        if column is None:
            return None
        return func.nullif(identity(Column(column.name, column.type) if plain else column), "")

    def key(self, seed: str, window: Window, *, shadows: bool = False) -> ColumnElement[str]:
        """The rows' sample keys: the stored ones where they are right, else computed in SQL.

        Args:
            shadows: the window has some; their stored keys are looked at, too.

        Raises:
            ConfigurationError: ``[source] sample_key`` names a column with other keys.
        """
        schema = self._schema()
        identifier = identity(schema.columns["id"])
        by = drawn_by_expression(identifier, self.shadow_of())
        computed = sample_key_expression(seed, self.name, by)
        if schema.stored_key is None:
            return computed
        stored = type_coerce(schema.stored_key, String)
        known = (seed, shadows)
        if known not in self._keys:
            among = self.within(window) if shadows else None
            right = self._keys_are_right(schema, seed, among)
            self._keys[known] = stored if right else computed
        if self._keys[known] is computed or not schema.stored_key.nullable:
            return self._keys[known]
        gaps = select(schema.stored_key).where(*self.within(window), stored.is_(None)).limit(1)
        return func.coalesce(stored, computed) if self.rows(gaps) else self._keys[known]

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def rows(self, query: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """All rows of a small result."""
        with self.connect() as connection:
            return connection.execute(query).all()

    def flow(self, query: Select[Any], fetch: int = _FETCH) -> Iterator[Sequence[Row[Any]]]:
        """The rows of any result, ``fetch`` at a time, through a cursor of the server."""
        with self.connect() as connection:
            options = {"stream_results": True, "yield_per": fetch}
            yield from connection.execute(query, execution_options=options).partitions()

    def stream(
        self,
        window: Window,
        attributes: Sequence[str],
        *,
        chunk: int = 20_000,
        shard: int = 0,
        shards: int = 1,
        extra: Mapping[str, ColumnElement[Any]] | None = None,
        conditions: Sequence[ColumnElement[bool]] = (),
    ) -> Iterator[Batch]:
        """The window's rows in batches of at most ``chunk``, in flat memory and no certain order.

        Args:
            shard, shards: only the rows whose sample key falls into this part of as many.
            extra: further columns by name, made of `column` and `own_column`, that the database
                computes.
            conditions: further ones, made of `column` and `key`.

        Rows whose time cannot be read are left out; a missing input or output is an empty text.
        """
        more = extra or {}
        query = self.select(window, attributes).where(*conditions)
        query = query.add_columns(*(made.label(name) for name, made in more.items()))
        names = [*attributes, *more]
        if shards > 1:
            key = self._shard_key()
            if shard > 0:
                query = query.where(key >= rate_bound(shard / shards))
            if shard < shards - 1:
                query = query.where(key < rate_bound((shard + 1) / shards))
        held: list[Sequence[Any]] = []
        characters = 0
        texts = [place for place, name in enumerate(attributes) if name in TEXT_FIELDS]
        for part in self.flow(query, min(_FETCH, chunk)):
            held.extend(part)
            characters += sum(len(row[place] or "") for place in texts for row in part)
            if len(held) >= chunk or characters > _CHARACTERS:
                yield _batch(names, held[:chunk])
                held, characters = held[chunk:], 0
        if held:
            yield _batch(names, held)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A read-only connection whose errors hold no content.

        Raises:
            ConfigurationError: the file or server is not there. StoreError: it refused.
        """
        _file_exists(self.engine)
        with safe_errors("source"), self.engine.connect() as connection:
            yield connection

    # ── checking ─────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Can this log be read as configured?

        Raises:
            ConfigurationError: one sentence and its mend: the server or file, the table, a column,
                the time format, the sample key, or an empty table.
        """
        from monitors.logs.checking import check

        check(self)

    def probe(self, attribute: str) -> list[Any]:
        """A few values of a column, as the driver gives them."""
        column = self._schema().columns[attribute]
        raw = type_coerce(column, String) if self.engine.dialect.name == "sqlite" else column
        return [row[0] for row in self.rows(select(raw).where(column.is_not(None)).limit(_PROBE))]

    def place(self) -> tuple[Table, Column[Any], Column[Any]]:
        """The table, and its columns of the id and the time."""
        schema = self._schema()
        return schema.table, schema.columns["id"], schema.columns["at"]

    def complaint(self) -> str:
        """What is wrong with the time column, in words; empty when nothing is."""
        dialect = self.engine.dialect.name
        return complaint(self.probe("at"), self.settings.time_format, dialect)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _schema(self) -> Mapped:
        if self._mapped is None:
            _file_exists(self.engine)
            with safe_errors("source"):
                self._mapped = reflect(self.engine, self.settings)
        return self._mapped

    def _extreme(self, function: Any) -> datetime | None:
        schema = self._schema()
        at = schema.columns["at"]
        time_format = self.settings.time_format
        typed = expression("at", at, time_format)
        query = select(function(typed, type_=typed.type)).where(
            *readable(at, time_format, self.engine.dialect.name), *schema.conditions
        )
        found: datetime | None = self.rows(query)[0][0]
        return found

    def _shard_key(self) -> ColumnElement[str]:
        # Any evenly spread key will do, so a stored one of any seed does; but none may be NULL.
        schema = self._schema()
        if schema.stored_key is not None and not schema.stored_key.nullable:
            return type_coerce(schema.stored_key, String)
        return sample_key_expression("shard", self.name, identity(schema.columns["id"]))

    def _keys_are_right(
        self, schema: Mapped, seed: str, among: Sequence[ColumnElement[bool]] | None
    ) -> bool:
        """Of a few rows, and of a few shadows ``among`` some where there are any."""
        stored, shadow = schema.stored_key, self.shadow_of()
        if stored is None:
            return False
        columns = [identity(schema.columns["id"]), stored]
        query = select(*columns, *([] if shadow is None else [shadow])).where(stored.is_not(None))
        found = list(self.rows(query.limit(_PROBE)))
        if among is not None and shadow is not None:
            found += self.rows(query.where(*among, shadow.is_not(None)).limit(_PROBE))
        right = all(
            row[1] == sample_key(seed, self.name, drawn_by(row[0], row[2] if row[2:] else None))
            for row in found
        )
        if not right and schema.key_is_configured:
            raise ConfigurationError(
                f"the column {stored.name!r} holds keys of another seed or source name, or of its "
                "shadows' own ids",
                where="[source] sample_key",
                mend="make it anew with `tidegauge source ddl`, or leave sample_key out",
            )
        return right


def _file_exists(engine: Engine) -> None:
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or database == ":memory:":
        return
    if not database.startswith("file:") and not Path(database).exists():
        raise ConfigurationError(
            f"there is no file {database}",
            where=_WHERE,
            mend="correct the path, or import a log with `tidegauge import FILE`",
        )


def _batch(attributes: Sequence[str], rows: Sequence[Sequence[Any]]) -> Batch:
    if "at" in attributes:
        place = attributes.index("at")
        rows = [row for row in rows if row[place] is not None]
    columns: dict[str, Sequence[Any]] = {}
    for name, values in zip(attributes, zip(*rows, strict=True), strict=True) if rows else ():
        kind = BY_ATTRIBUTE[name].kind if name in BY_ATTRIBUTE else ""
        if kind == "text":
            limit = TEXT_LIMIT if name in TEXT_FIELDS else LABEL_LIMIT
            texts = scrub_column(values, limit)
            required = name in ("input", "output")
            columns[name] = [text or "" for text in texts] if required else texts
        elif kind == "flag":
            columns[name] = [None if value is None else bool(value) for value in values]
        else:
            columns[name] = list(values)
    return Batch(columns or {name: [] for name in attributes})


__all__ = ["Source", "StoreError"]
