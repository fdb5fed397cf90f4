"""Alembic's environment: the connection is handed in by `sql.migrations`, never made here."""

from typing import Any, Literal

from alembic import context

from sql.migrations import VERSION_TABLE
from sql.tables import metadata
from sql.types import Instant, Json


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Our own column types by their plain names."""
    return f"types.{item!r}" if kind == "type" and isinstance(item, (Instant, Json)) else False


connection = context.config.attributes["connection"]
if connection is None:
    raise SystemExit("migrations run through `tidegauge init`, which hands in the connection")
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    compare_type=True,
    render_item=render_item,
    transactional_ddl=False,
)
context.run_migrations()
