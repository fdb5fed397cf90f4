"""The statements that give a log a stored, indexed sample key: a draw then costs what it draws."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, String
from sqlalchemy.dialects import mysql, postgresql

from monitors.logs.mapping import identity
from monitors.logs.source import Source
from sql.errors import ConfigurationError
from sql.sampling import drawn_by_expression, sample_key_expression

_DIALECTS: dict[str, Any] = {
    "postgresql": postgresql.dialect,
    "mysql": mysql.dialect,
    "mariadb": mysql.dialect,
}


def sample_key_ddl(source: Source, seed: str, name: str = "sample_key") -> list[str]:
    """Statements for a person to read and run in the source's database; nothing is run here.

    Args:
        seed: as in ``[sampling] seed``.
        name: of the new column; put it into ``[source] sample_key`` afterwards.

    Raises:
        ConfigurationError: the database has no generated columns with md5, or the log is a view.
    """
    dialect_name = source.engine.dialect.name
    if dialect_name not in _DIALECTS:
        raise ConfigurationError(
            f"{dialect_name} cannot compute a stored key by itself",
            where="[source] url",
            mend="let the program that writes the log store it: md5 of 'seed:source:id' as text; "
            "a shadow's is that of the request it shadows",
        )
    dialect = _DIALECTS[dialect_name](paramstyle="named")  # pyformat would double each %
    table, identifier, at = source.place()
    preparer = dialect.identifier_preparer
    plain: Column[str] = Column(identifier.name, identifier.type)
    shadow = source.shadow_of(plain=True)
    key = sample_key_expression(seed, source.name, drawn_by_expression(identity(plain), shadow))
    text = key.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    column, where = preparer.quote(name), preparer.format_table(table)
    length = String(32).compile(dialect=dialect)
    return [
        f"ALTER TABLE {where} ADD COLUMN {column} {length} GENERATED ALWAYS AS ({text}) STORED;",
        f"CREATE INDEX {preparer.quote(f'ix_{table.name}_{name}'[:60])} ON {where} "
        f"({preparer.quote(at.name)}, {column});",
    ]
