"""``python -m sql.migrations.draft "what changes"``: draft the next migration from sql/tables.py.

The draft is compared with an empty SQLite database that has run all migrations so far; read it
before committing it. ``--first`` rewrites the first migration (only before the first release).
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command

from sql.engine import open_engine
from sql.migrations import configuration, upgrade


def main(arguments: list[str]) -> None:
    versions = Path(__file__).parent / "versions"
    first = "--first" in arguments
    message = " ".join(part for part in arguments if not part.startswith("--")) or "schema"
    if first:
        for script in versions.glob("*.py"):
            script.unlink()
    number = f"{len(list(versions.glob('*.py'))) + 1:04d}"
    engine = open_engine("sqlite://")
    if not first:
        upgrade(engine)
    with engine.connect() as connection, connection.begin():
        command.revision(configuration(connection), message, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    main(sys.argv[1:])
