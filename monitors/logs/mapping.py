"""From the configured names to columns that exist: the only way a name reaches a statement."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Double,
    Engine,
    Enum,
    Float,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    and_,
    case,
    cast,
    false,
    inspect,
    literal,
    true,
    type_coerce,
)
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeDecorator

from monitors.logs.interaction import BY_ATTRIBUTE, LOG_FIELDS, REQUIRED, TEXT_FIELDS
from monitors.logs.poison import (
    INTEGER_LIMIT,
    LABEL_LIMIT,
    MAY_BE_NEGATIVE,
    NUMBER_LIMIT,
    TEXT_LIMIT,
)
from monitors.logs.times import time_column
from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from monitors.settings import SourceSettings

EMBEDDED_KEY = "sample_key"


class _LooseFlag(TypeDecorator[bool]):
    """A truth value whose odd contents are read as they are: Python judges them, nothing raises."""

    impl = Boolean
    cache_ok = True

    def result_processor(
        self,
        dialect: Any,
        coltype: object,
    ) -> Callable[[Any], Any]:
        return lambda value: bool(value) if value in (0, 1) else value


class _Cut(FunctionElement[str]):
    """(text, characters, bytes): a text's beginning; no huge value leaves the database."""

    type = String()
    inherit_cache = True


@compiles(_Cut)
def _cut(element: _Cut, compiler: Any, **options: Any) -> str:
    text, characters, _ = (compiler.process(part, **options) for part in element.clauses)
    return f"substr({text}, 1, {characters})"


@compiles(_Cut, "sqlite")
def _cut_on_sqlite(element: _Cut, compiler: Any, **options: Any) -> str:
    # SQLite's substr ends at a NUL, behind which anything could hide from a scan; bytes do not.
    text, _, size = element.clauses
    inner = compiler.process(text, **options)
    return f"CAST(substr(CAST({inner} AS BLOB), 1, {compiler.process(size, **options)}) AS TEXT)"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A reflected table and which of its columns serve which attribute.

    Args:
        columns: attribute → column.
        conditions: from ``[source] where``.
        stored_key: the column said to hold sample keys, if any.
        key_is_configured: a person named it (else it was recognised).
    """

    table: Table
    columns: Mapping[str, Column[Any]]
    conditions: tuple[ColumnElement[bool], ...]
    stored_key: Column[Any] | None
    key_is_configured: bool


def reflect(engine: Engine, settings: SourceSettings) -> Mapped:
    """Read the table's schema and resolve every configured name against it.

    Raises:
        ConfigurationError: a table or column does not exist, a required field has no column, or
            a column holds another kind of thing than its field.
    """
    table = _table(engine, settings.table)
    columns = _mapped(table, settings.column_map())
    for attribute, column in columns.items():
        _check_kind(attribute, column)
    stored = settings.sample_key
    key = table.c.get(EMBEDDED_KEY)
    if stored is not None:
        key = _column(table, stored, "[source] sample_key")
    conditions = tuple(
        _column(table, name, "[source] where") == value for name, value in settings.where.items()
    )
    return Mapped(table, columns, conditions, key, stored is not None)


def expression(attribute: str, column: Column[Any], time_format: str) -> ColumnElement[Any]:
    """The column as its attribute's kind, with what would spoil an aggregate left out as NULL.

    Texts are capped, NaN, infinities and impossible negatives are NULL, flags are true or false.
    """
    kind = BY_ATTRIBUTE[attribute].kind
    if kind == "instant":
        return time_column(column, time_format)
    if kind == "text":
        return _capped(attribute, column, extra=0)
    if kind == "flag":
        if isinstance(column.type, Boolean):
            plain = type_coerce(column, _LooseFlag())
            return type_coerce(
                case((plain.is_(true()), true()), (plain.is_(false()), false())), _LooseFlag()
            )
        number = type_coerce(column, Integer)
        return type_coerce(case((number == 1, true()), (number == 0, false())), _LooseFlag())
    number = type_coerce(column, Double)
    limit = INTEGER_LIMIT if kind == "integer" else NUMBER_LIMIT
    low = -limit if attribute in MAY_BE_NEGATIVE else 0
    sound = and_(number >= literal(low, Double), number <= literal(limit, Double))
    result = case((sound, column))
    return type_coerce(result, Integer if kind == "integer" else Double)


def raw_expression(attribute: str, column: Column[Any], time_format: str) -> ColumnElement[Any]:
    """The column as the log has it, for `poison.clean` to judge; long texts arrive capped, plus one
    character that tells of the cut."""
    kind = BY_ATTRIBUTE[attribute].kind
    if kind == "instant":
        return time_column(column, time_format)
    if kind == "text":
        return _capped(attribute, column, extra=1)
    if kind == "flag" and isinstance(column.type, Boolean):
        return type_coerce(column, _LooseFlag())
    if isinstance(column.type, Numeric | Float):
        return type_coerce(column, Double)
    return type_coerce(column, column.type)


def label_expression(column: Column[Any]) -> ColumnElement[str]:
    """Any column as a short text."""
    return _capped("", column, extra=0)


def identity(column: Column[Any]) -> ColumnElement[str]:
    """The id as text, the very text that the sample key is made of."""
    if isinstance(column.type, String) and not isinstance(column.type, Enum):
        return type_coerce(column, String)
    return cast(column, String)


def _capped(attribute: str, column: Column[Any], extra: int) -> ColumnElement[str]:
    if attribute == "id":
        return identity(column)
    limit = (TEXT_LIMIT if attribute in TEXT_FIELDS else LABEL_LIMIT) + extra
    plain = isinstance(column.type, String) and not isinstance(column.type, Enum)
    if plain and (getattr(column.type, "length", None) or limit + 1) <= limit:
        return type_coerce(column, String)
    text = type_coerce(column, String) if plain else cast(column, Text)
    return _Cut(text, literal(limit, Integer), literal(4 * limit, Integer))


def near(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], 1, 0.5)
    found = [n for n in names if close and n.lower() == close[0]]
    if found:
        return f"did you mean {found[0]!r}?"
    return f"there are {_few(names)}" if names else "there are none"


def _few(names: Iterable[str], count: int = 8) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(listed[:count]) + more


def _table(engine: Engine, name: str) -> Table:
    inspector = inspect(engine)
    schema, _, plain = name.rpartition(".")
    places = [(name, None), (plain, schema or None)] if schema else [(name, None)]
    for table, where in places:
        try:
            return Table(table, MetaData(), schema=where, autoload_with=engine, resolve_fks=False)
        except NoSuchTableError:
            continue
    table, where = places[-1]
    try:
        known = [*inspector.get_table_names(schema=where), *inspector.get_view_names(schema=where)]
    except NoSuchTableError:
        known = []
    raise ConfigurationError(
        f"there is no table or view {name!r}",
        where="[source] table",
        mend=near(table, known) if known else "import a log with `tidegauge import FILE`",
    )


def _mapped(table: Table, wanted: Mapping[str, str]) -> dict[str, Column[Any]]:
    """Columns by attribute: as configured, else of the field's name, ours or OpenTelemetry's."""
    columns = {}
    for field in LOG_FIELDS:
        attribute = field.attribute
        if attribute in wanted:
            if name := wanted[attribute]:
                columns[attribute] = _column(table, name, f"[source.columns] {field.name}")
            continue
        own = next((name for name in (attribute, field.name) if name in table.c), None)
        if own is not None:
            columns[attribute] = table.c[own]
    missing = [BY_ATTRIBUTE[name].name for name in REQUIRED if name not in columns]
    if missing:
        named = ", ".join(map(repr, missing))
        fields = f"field {named} has" if len(missing) == 1 else f"fields {named} have"
        raise ConfigurationError(
            f"the required {fields} no column",
            where="[source.columns]",
            mend=f'add a line such as "{missing[0]}" = "<column>"; '
            f"the table has {_few(table.c.keys())}",
        )
    return columns


def _column(table: Table, name: str, where: str) -> Column[Any]:
    if name not in table.c:
        raise ConfigurationError(
            f"the table {table.name!r} has no column {name!r}",
            where=where,
            mend=near(name, table.c.keys()),
        )
    return table.c[name]


def _check_kind(attribute: str, column: Column[Any]) -> None:
    kind = BY_ATTRIBUTE[attribute].kind
    if isinstance(column.type, NullType) or kind in ("text", "instant"):
        return
    allowed = (Boolean, Integer, Numeric) if kind == "flag" else (Integer, Numeric, Float)
    if not isinstance(column.type, allowed):
        raise ConfigurationError(
            f"the column {column.name!r} is {column.type}, but {attribute} is a {kind}",
            where=f"[source.columns] {BY_ATTRIBUTE[attribute].name}",
            mend="read a view that casts it, or leave the field out",
        )
