"""A log in any table: mapped, bounded, safe to aggregate, and explained when it cannot be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, func, select, text

from monitors.logs.ddl import sample_key_ddl
from monitors.logs.embedded import create
from monitors.logs.source import Source
from monitors.settings import SourceSettings
from sql.engine import open_engine
from sql.errors import ConfigurationError, StoreError
from sql.sampling import sample_key
from tests.logs_kit import DAY, fill, row

COLUMNS = {"id": "no", "timestamp": "created", "input": "q", "output": "a"}
_open: list[Source] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def opened(url: str, **settings: Any) -> Source:
    source = Source.open(SourceSettings.model_validate({"url": url, **settings}))
    _open.append(source)
    return source


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def custom(url: str, time: str, values: list[str], extra: str = "") -> str:
    """A table of another product, with integer ids and a time column of type ``time``."""
    rows = ", ".join(f"({n}, {value}, 'q{n}', 'a{n}')" for n, value in enumerate(values))
    execute(
        url,
        f"CREATE TABLE calls (no INTEGER, created {time}, q TEXT, a TEXT)",
        f"INSERT INTO calls VALUES {rows}",
        *filter(None, [extra]),
    )
    return url


# ── the embedded source ──────────────────────────────────────────────────────────────────────


def test_the_embedded_source_is_read_without_any_mapping(store_url: str) -> None:
    fill(
        store_url, [row(n, feature="a" if n % 3 else "b", accepted=n % 2 == 0) for n in range(300)]
    )
    fill(store_url, [row(n, DAY.next(), of=400) for n in range(300, 400)])
    source = opened(store_url)
    source.check()
    assert source.count(DAY) == 300 and source.count(DAY.previous()) == 0
    assert source.count_by(DAY, ["feature", "accepted"])[("b", True)] == 50
    assert source.count_by(DAY, []) == {(): 300}
    assert source.first_instant() == DAY.start
    assert source.last_instant() in DAY.next()  # type: ignore[operator]
    batch = next(source.stream(DAY, ["id", "at", "feature", "accepted"]))
    assert len(batch) == 300 and batch["accepted"][0] is True
    assert all(at in DAY for at in batch["at"])


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_are_disjoint_and_complete(store_url: str, shards: int) -> None:
    fill(store_url, [row(n) for n in range(500)])
    source = opened(store_url)
    parts = [
        [
            i
            for batch in source.stream(DAY, ["id"], shard=k, shards=shards, chunk=64)
            for i in batch["id"]
        ]
        for k in range(shards)
    ]
    assert sorted(chain.from_iterable(parts)) == sorted(f"r{n}" for n in range(500))
    assert min(map(len, parts)) > 500 / shards / 2


def test_the_stored_key_is_used_only_while_it_is_right(store_url: str) -> None:
    fill(store_url, [row(n) for n in range(10)], seed="s")
    source = opened(store_url)
    assert "md5" not in str(source.key("s", DAY)) and "md5" in str(source.key("other", DAY))
    for seed in ("s", "other"):
        query = select(source.column("id"), source.key(seed, DAY)).where(*source.within(DAY))
        assert all(found[1] == sample_key(seed, "log", found[0]) for found in source.rows(query))
    named = opened(store_url, sample_key="sample_key")
    with pytest.raises(ConfigurationError, match="another seed"):
        named.key("other", DAY)


def test_a_key_column_with_gaps_is_filled_in_by_the_database(store_url: str) -> None:
    fill(store_url, [row(n) for n in range(10)], seed="s")
    execute(store_url, "CREATE TABLE copy AS SELECT * FROM interaction",
            "UPDATE copy SET sample_key = NULL WHERE id = 'r3'")  # fmt: skip
    source = opened(store_url, table="copy")
    query = select(source.column("id"), source.key("s", DAY)).where(*source.within(DAY))
    assert dict(tuple(found) for found in source.rows(query)) == {
        f"r{n}": sample_key("s", "log", f"r{n}") for n in range(10)
    }


def test_the_printed_statements_make_a_key_that_is_used(postgres_url: str) -> None:
    fill(postgres_url, [row(n) for n in range(50)])
    execute(postgres_url, "CREATE TABLE \"My Log\" AS SELECT * FROM interaction",
            'ALTER TABLE "My Log" DROP COLUMN sample_key')  # fmt: skip
    before = opened(postgres_url, table="My Log")
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        for statement in sample_key_ddl(before, "it's 100%", "tide key"):
            connection.execute(statement)
    source = opened(postgres_url, table="My Log", sample_key="tide key")
    assert "md5" not in str(source.key("it's 100%", DAY))
    query = select(source.column("id"), source.key("it's 100%", DAY)).where(*source.within(DAY))
    assert all(key == sample_key("it's 100%", "log", name) for name, key in source.rows(query))


def test_a_database_without_generated_keys_says_so(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path}/log.db", [row(1)])
    with pytest.raises(ConfigurationError, match="cannot compute a stored key"):
        sample_key_ddl(opened(f"sqlite:///{tmp_path}/log.db"), "s")


def test_nothing_can_be_written(store_url: str) -> None:
    fill(store_url, [row(1)])
    source = opened(store_url)
    with pytest.raises(StoreError), source.connect() as connection:
        connection.execute(text("DELETE FROM interaction"))
    assert source.count(DAY) == 1


# ── other products' tables ───────────────────────────────────────────────────────────────────

BOUNDS = [DAY.start - timedelta(seconds=1), DAY.start, DAY.end - timedelta(seconds=1), DAY.end]


@pytest.mark.parametrize(
    ("time_format", "column_type", "write"),
    [
        ("epoch_s", "BIGINT", lambda at: str(int(at.timestamp()))),
        ("epoch_ms", "BIGINT", lambda at: str(int(at.timestamp() * 1000))),
        ("iso", "TEXT", lambda at: f"'{at:%Y-%m-%dT%H:%M:%S}Z'"),
        ("iso", "TEXT", lambda at: f"'{at:%Y-%m-%d %H:%M:%S}.000'"),
        ("iso", "TEXT", lambda at: f"'{at:%Y-%m-%dT%H:%M:%S}+00:00'"),
        ("instant", "TIMESTAMP", lambda at: f"'{at:%Y-%m-%d %H:%M:%S}'"),
        ("instant", "TIMESTAMP", lambda at: f"'{at:%Y-%m-%d %H:%M:%S}.000000'"),
    ],
)
def test_every_way_to_write_time_has_the_same_bounds(
    store_url: str, time_format: str, column_type: str, write: Any
) -> None:
    url = custom(store_url, column_type, [write(at) for at in BOUNDS])
    source = opened(url, table="calls", columns=COLUMNS, time_format=time_format)
    source.check()
    batch = next(source.stream(DAY, ["id", "at", "input"]))
    assert sorted(zip(batch["id"], batch["at"], strict=True)) == [
        ("1", BOUNDS[1]),
        ("2", BOUNDS[2]),
    ]
    assert source.count(DAY) == 2
    assert (source.first_instant(), source.last_instant()) == (BOUNDS[0], BOUNDS[3])


def test_conditions_and_views(store_url: str) -> None:
    url = custom(
        store_url,
        "BIGINT",
        [str(int(DAY.start.timestamp()))] * 4,
        "CREATE VIEW half AS SELECT * FROM calls WHERE no < 2",
    )
    common = {"columns": COLUMNS, "time_format": "epoch_s"}
    assert opened(url, table="half", **common).count(DAY) == 2
    assert opened(url, table="calls", where={"q": "q3"}, **common).count(DAY) == 1
    assert opened(url, table="calls", where={"no": 2}, **common).first_instant() == DAY.start


def test_hostile_names_are_only_names(store_url: str) -> None:
    hostile = 'a"; DROP TABLE calls; --'
    quoted = '"' + hostile.replace('"', '""') + '"'
    url = custom(
        store_url,
        "BIGINT",
        [str(int(DAY.start.timestamp()))],
        f"ALTER TABLE calls RENAME COLUMN a TO {quoted}",
    )
    settings = {"table": "calls", "time_format": "epoch_s"}
    source = opened(url, columns={**COLUMNS, "output": hostile}, **settings)
    assert next(source.stream(DAY, ["output"]))["output"] == ["a0"]
    assert source.count_by(DAY, ["output"]) == {("a0",): 1}
    with pytest.raises(ConfigurationError, match="has no column"):
        opened(url, columns=COLUMNS, where={"1=1; --": 1}, **settings).count(DAY)
    assert source.count(DAY) == 1


def test_poison_spoils_neither_an_average_nor_a_stream(store_url: str) -> None:
    fill(store_url, [row(n, latency_ms=100.0, cost_usd=0.5) for n in range(4)])
    poison = ["UPDATE interaction SET latency_ms = -5 WHERE id = 'r0'"]
    if store_url.startswith("sqlite"):
        poison += [
            "UPDATE interaction SET latency_ms = 9e999 WHERE id = 'r1'",
            "UPDATE interaction SET latency_ms = 'fast', accepted = 'maybe' WHERE id = 'r2'",
            "UPDATE interaction SET output = CAST(X'61ff00' AS TEXT) WHERE id = 'r2'",
            "INSERT INTO interaction (id, at, input, output, sample_key) "
            "VALUES ('bad', '2026-06-01 99:99', 'q', 'a', 'x')",
        ]
    else:
        poison += [
            "UPDATE interaction SET latency_ms = 'NaN' WHERE id = 'r1'",
            "UPDATE interaction SET latency_ms = 'Infinity' WHERE id = 'r2'",
        ]
    execute(store_url, *poison)
    source = opened(store_url)
    rows = source.select(DAY, ["latency_ms"]).subquery()
    assert source.rows(select(func.avg(rows.c.latency_ms), func.max(rows.c.latency_ms)))[0] == (
        100,
        100,
    )
    batch = next(source.stream(DAY, ["id", "at", "output", "latency_ms", "accepted"]))
    assert sorted(batch["id"]) == ["r0", "r1", "r2", "r3"]
    assert sorted(v for v in batch["latency_ms"] if v is not None) == [100.0]
    if store_url.startswith("sqlite"):
        assert "a\ufffd\ufffd" in batch["output"] and batch["accepted"][2] is None


def test_a_huge_text_is_cut_by_the_database(store_url: str) -> None:
    fill(store_url, [row(1, output="x" * 5_000_000, feature="f" * 5_000)])
    source = opened(store_url)
    most = 4 if store_url.startswith("sqlite") else 1  # bytes there, characters here
    assert len(source.rows(source.select(DAY, ["output"]))[0].output) == 100_000 * most
    assert len(source.rows(source.raw_select(DAY))[0].output) == 100_001 * most
    assert len(next(source.stream(DAY, ["output"]))["output"][0]) == 100_000
    assert len(next(source.stream(DAY, ["feature"]))["feature"][0]) == 1_000


# ── what is told when it does not work ───────────────────────────────────────────────────────


def complaint(source: Source) -> str:
    with pytest.raises(ConfigurationError) as refused:
        source.check()
    message = str(refused.value)
    assert "\n" not in message and refused.value.mend
    return message


def test_a_wrong_file_server_and_driver(tmp_path: Path) -> None:
    assert "there is no file" in complaint(opened(f"sqlite:///{tmp_path}/none.db"))
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("this is no database, it is a text of some length" * 50)
    assert "file is not a database" in complaint(opened(f"sqlite:///{tmp_path}/text.db"))
    down = complaint(opened("postgresql+psycopg://nobody:s3cret@127.0.0.1:1/none"))
    assert "does not answer" in down and "s3cret" not in down
    with pytest.raises(ConfigurationError, match="no driver"):
        opened("nosuchdb://x/y")


def test_a_missing_table_names_the_near_one(store_url: str) -> None:
    fill(store_url, [row(1)])
    assert "did you mean 'interaction'?" in complaint(opened(store_url, table="interactions"))


def test_missing_columns_are_named_with_the_near_ones(store_url: str) -> None:
    url = custom(store_url, "BIGINT", ["1780272000"])
    unmapped = complaint(opened(url, table="calls", columns={"id": "no", "input": "q"}))
    assert "'timestamp', 'output' have no column" in unmapped
    wrong = complaint(opened(url, table="calls", columns={**COLUMNS, "timestamp": "create"}))
    assert "did you mean 'created'?" in wrong
    whole = complaint(opened(url, table="calls"))
    assert "fields 'id', 'timestamp', 'input', 'output' have no column" in whole


def test_columns_of_the_same_name_need_no_mapping_and_can_be_left_out(store_url: str) -> None:
    fill(store_url, [row(1, latency_ms=100.0)])
    execute(store_url, "ALTER TABLE interaction RENAME COLUMN output TO answer")
    source = opened(store_url, columns={"output": "answer", "latency_ms": ""})
    assert {"id", "at", "input", "output"} <= source.attributes
    assert "latency_ms" not in source.attributes


def test_a_column_of_another_kind_is_named(store_url: str) -> None:
    url = custom(store_url, "BIGINT", ["1780272000"])
    kind = complaint(opened(url, table="calls", columns={**COLUMNS, "latency_ms": "q"}))
    assert "but latency_ms is a number" in kind


def test_an_empty_table_and_a_wrong_time_format(store_url: str) -> None:
    engine = open_engine(store_url)
    create(engine)
    engine.dispose()
    assert "the table is empty" in complaint(opened(store_url))
    execute(store_url, "CREATE TABLE t (id TEXT, at TEXT, input TEXT, output TEXT)",
            "INSERT INTO t VALUES ('1', '2026-06-01T00:00:00+02:00', 'q', 'a')",
            "CREATE TABLE e (id TEXT, at BIGINT, input TEXT, output TEXT)",
            "INSERT INTO e VALUES ('1', 1780272000000, 'q', 'a')")  # fmt: skip
    assert "offset from UTC" in complaint(opened(store_url, table="t", time_format="iso"))
    assert "looks like epoch_ms" in complaint(opened(store_url, table="e", time_format="epoch_s"))
    assert "set time_format to epoch_s" in complaint(
        opened(store_url, table="e", time_format="iso")
    )


def test_a_locked_file_is_told_soon(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    fill(f"sqlite:///{path}", [row(1)])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    began = datetime.now(UTC)
    assert "database is locked" in complaint(opened(f"sqlite:///{path}"))
    assert datetime.now(UTC) - began < timedelta(seconds=10)
    holder.close()
