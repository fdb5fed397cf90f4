"""Schema migrations (Alembic), run against an engine without any configuration file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

VERSION_TABLE = "tidegauge_schema"


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's, made here, so that no file of it has to be installed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest version; a no-op when it is there already."""
    with engine.connect() as connection:
        if current(connection) == head():
            return
        connection.rollback()
        writer = connection.execution_options(tidegauge_write=True)
        with writer.begin():
            command.upgrade(configuration(writer), "head")


def head() -> str | None:
    """The newest version of the schema that the code knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def current(connection: Connection) -> str | None:
    """The database's version of the schema; None before the first."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()
