"""One sample, whoever draws it: Python, SQLite, PostgreSQL, DuckDB."""

from __future__ import annotations

import uuid
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.dialects import postgresql

from sql.engine import open_engine
from sql.sampling import is_sampled, rate_bound, sample_key, sample_key_expression

RATES = (0.01, 0.02, 0.03, 0.04, 0.05)
IDS = [f"request-{number}" for number in range(9_000)] + [
    str(uuid.UUID(int=number**5)) for number in range(900)
]
IDS += [f"ключ-{number}-😀-%_'\"\\" for number in range(100)]
log = Table("log", MetaData(), Column("id", String(255)))


@pytest.fixture(scope="module")
def drawn_in_python() -> dict[float, set[str]]:
    return {rate: {i for i in IDS if is_sampled("s", "log", i, rate)} for rate in RATES}


def test_the_samples_are_nested_and_of_the_right_size(
    drawn_in_python: dict[float, set[str]],
) -> None:
    for lower, higher in pairwise(RATES):
        assert drawn_in_python[lower] < drawn_in_python[higher]
    for rate, drawn in drawn_in_python.items():
        expected = rate * len(IDS)
        assert abs(len(drawn) - expected) < 5 * expected**0.5


@pytest.mark.parametrize("rate", RATES)
def test_databases_draw_what_python_draws(
    rate: float, store_url: str, drawn_in_python: dict[float, set[str]]
) -> None:
    engine = open_engine(store_url)
    key = sample_key_expression("s", "log", log.c.id)
    with engine.begin() as connection:
        log.create(connection)
        connection.execute(insert(log), [{"id": name} for name in IDS])
        found = set(connection.scalars(select(log.c.id).where(key < rate_bound(rate))))
    engine.dispose()
    assert found == drawn_in_python[rate]


@pytest.mark.parametrize("rate", RATES)
def test_duckdb_draws_what_python_draws(
    rate: float, drawn_in_python: dict[float, set[str]], tmp_path: Path
) -> None:
    query = select(log.c.id).where(sample_key_expression("s", "log", log.c.id) < rate_bound(rate))
    text = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    listing = tmp_path / "ids.txt"
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE log (id VARCHAR)")
        listing.write_text("\n".join(IDS), encoding="utf-8")
        connection.execute(
            "INSERT INTO log SELECT unnest(string_split(content, chr(10))) FROM read_text(?)",
            [str(listing)],
        )
        found = {row[0] for row in connection.execute(str(text)).fetchall()}
    assert found == drawn_in_python[rate]


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.floats(0.0001, 1),
    st.floats(0.0001, 1),
)
def test_membership_follows_the_key_alone_and_grows_with_the_rate(
    seed: str, item_id: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert rate_bound(low) <= rate_bound(high)
    key = int(sample_key(seed, "log", item_id), 16) / 16**32
    for rate in (low, high):
        assert is_sampled(seed, "log", item_id, rate) == (int(key * 2**52) < int(rate * 2**52))
    assert is_sampled(seed, "log", item_id, high) >= is_sampled(seed, "log", item_id, low)
    assert is_sampled(seed, "log", item_id, 1)
