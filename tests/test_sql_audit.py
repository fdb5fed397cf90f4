"""The audit chain notices what was changed or taken out, and stays whole under two writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, func, select, update

from sql import audit
from sql.store import Store
from sql.tables import audit as table

AT = datetime(2026, 6, 1, 9, tzinfo=UTC)


def write(store: Store, number: int) -> None:
    with store.begin() as connection:
        audit.append(connection, "ada", "approve", f"thing {number}", {"n": number}, AT)


def test_an_untouched_chain_is_whole(store: Store) -> None:
    for number in range(5):
        write(store, number)
    with store.connect() as connection:
        assert audit.first_broken(connection) is None


@pytest.mark.parametrize("column", ["actor", "action", "subject", "detail", "at", "hash"])
def test_a_changed_entry_is_found(store: Store, column: str) -> None:
    for number in range(5):
        write(store, number)
    other = {"detail": {"n": 7}, "at": datetime(2027, 1, 1, tzinfo=UTC)}.get(column, "eve")
    with store.begin() as connection:
        third = connection.scalars(select(table.c.sequence).order_by(table.c.sequence)).all()[2]
        connection.execute(update(table).where(table.c.sequence == third).values({column: other}))
    with store.connect() as connection:
        assert audit.first_broken(connection) == third


def test_a_missing_entry_is_found(store: Store) -> None:
    for number in range(5):
        write(store, number)
    with store.begin() as connection:
        third = connection.scalars(select(table.c.sequence).order_by(table.c.sequence)).all()[2]
        connection.execute(delete(table).where(table.c.sequence == third))
    with store.connect() as connection:
        assert audit.first_broken(connection) == third + 1


def test_an_entry_falls_with_its_deed(store: Store) -> None:
    with pytest.raises(RuntimeError), store.begin() as connection:
        audit.append(connection, "ada", "approve", "thing", {}, AT)
        raise RuntimeError
    with store.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_writers_at_once_make_one_chain(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write(store, number), range(40)))
    with store.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(table)) == 40
        assert audit.first_broken(connection) is None
