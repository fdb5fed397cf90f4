"""The embedded source's table: fast to fill, safe to fill twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from monitors.logs.embedded import WriteReport, interaction, write_rows
from sql.engine import open_engine
from sql.errors import StoreError
from sql.sampling import sample_key

START = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = open_engine(store_url)
    yield engine
    engine.dispose()


def row(number: int, **other: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "at": START + timedelta(seconds=number),
        "input": "hello",
        "output": f"answer {number}",
        **other,
    }


def write(engine: Engine, rows: list[dict[str, Any]]) -> WriteReport:
    return write_rows(engine, rows, source_name="log", seed="s")


def test_rows_come_back_as_they_were(engine: Engine) -> None:
    zoned = START.astimezone(timezone(timedelta(hours=5)))
    rows = [row(1, accepted=True, latency_ms=1.5, input_tokens=7), row(2, at=zoned, feature="chat")]
    assert write(engine, rows) == WriteReport(stored=2)
    with engine.connect() as connection:
        first, second = connection.execute(select(interaction).order_by(interaction.c.id))
    assert (first.accepted, first.latency_ms, first.input_tokens, first.feature) == (
        True,
        1.5,
        7,
        None,
    )
    assert second.at == START and second.feature == "chat" and second.accepted is None
    assert first.sample_key == sample_key("s", "log", "r1")


def test_a_second_import_adds_nothing(engine: Engine) -> None:
    rows = [row(number) for number in range(12_001)]
    assert write(engine, rows) == WriteReport(stored=12_001)
    assert write(engine, rows) == WriteReport(duplicate=12_001)
    later = [*rows[6_000:], *(row(number) for number in range(12_001, 12_011))]
    assert write(engine, later) == WriteReport(stored=10, duplicate=6_001)


def test_an_id_that_another_request_took_loses_no_row(engine: Engine) -> None:
    rows = [row(1), row(1, output="another answer"), row(1, output="a third"), row(1)]
    assert write(engine, rows) == WriteReport(stored=3, duplicate=1, renamed=2)
    assert write(engine, rows) == WriteReport(duplicate=4)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(interaction)) == 3


def test_late_feedback_is_the_same_request(engine: Engine) -> None:
    assert write(engine, [row(1), row(1, rating=5.0)]) == WriteReport(stored=1, duplicate=1)


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="time zone"):
        write(engine, [row(1, at=datetime(2026, 6, 1))])


def test_a_refusal_quotes_no_text(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with pytest.raises(StoreError) as refused:
        write(engine, [row(1, output="my number is 123\x00456")])
    engine.dispose()
    assert "123" not in str(refused.value) and refused.value.__cause__ is None


def test_a_day_and_a_key_range_use_the_index(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/log.db")
    write(engine, [row(number) for number in range(50)])
    query = "SELECT * FROM interaction WHERE at >= '2026' AND at < '2027' AND sample_key < '1'"
    with engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
    engine.dispose()
    assert "ix_interaction_at_sample_key" in plan
