"""Every way in which a row can be bad, in every column, and what becomes of it."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from monitors.logs.draw import draw_sample
from monitors.logs.interaction import ATTRIBUTES, BY_ATTRIBUTE, LOG_FIELDS
from monitors.logs.poison import clean, scrub, scrub_column
from monitors.logs.sampled import read_sample
from sql.engine import open_engine
from sql.store import Store
from sql.tables import quarantine
from tests.logs_kit import DAY, context_over, fill, row

GOOD = {"id": "r1", "at": "2026-06-01T10:00:00Z", "input": "q", "output": "a"}
NASTY: list[Any] = [
    "\0", "a\ud800", "\udcff", "x" * 200_000, "", " ", "NaN", "-1", "1e400", "⁵", "ـ", "a\u202eb",
    float("nan"), float("inf"), -math.inf, -5, 2**70, Decimal("NaN"), Decimal("1.5"), True, 1.0,
    b"\xff\x00", {"a": [1]}, [1, None], object(), 10**400,
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "kept", "reason"),
    [
        ("output", "a\0b\ud800", "a\ufffdb\ufffd", "scrubbed"),
        ("output", "x" * 100_001, "x" * 100_000, "truncated"),
        ("feature", "x" * 1_001, "x" * 1_000, "truncated"),
        ("latency_ms", float("nan"), None, "not_finite"),
        ("latency_ms", "Infinity", None, "not_finite"),
        ("latency_ms", -0.5, None, "negative"),
        ("latency_ms", "fast", None, "not_a_number"),
        ("latency_ms", "12.5", 12.5, ""),
        ("rating", -1, -1.0, ""),
        ("input_tokens", 2**60, None, "out_of_range"),
        ("input_tokens", 10**400, None, "not_a_number"),
        ("input_tokens", 7.0, 7, ""),
        ("accepted", "Yes", True, ""),
        ("accepted", 2, None, "not_a_flag"),
        ("accepted", "maybe", None, "not_a_flag"),
    ],
)
def test_a_field_is_mended_or_dropped(field: str, value: Any, kept: Any, reason: str) -> None:
    cleaned = clean({**GOOD, field: value})
    assert cleaned.row is not None and cleaned.row.get(field) == kept
    assert [(f.field, f.reason) for f in cleaned.faults] == ([(field, reason)] if reason else [])
    assert all(len(f.sha256) == 64 for f in cleaned.faults)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"id": None}, "id", "missing"),
        ({"id": ""}, "id", "missing"),
        ({"id": "x" * 256}, "id", "too_long"),
        ({"at": None}, "at", "missing"),
        ({"at": "yesterday"}, "at", "unreadable_time"),
        ({"at": float("nan")}, "at", "unreadable_time"),
        ({"at": "0001-01-01"}, "at", "unreadable_time"),
        ({"at": 10**30}, "at", "unreadable_time"),
        ({"input": None}, "input", "missing"),
        ({"output": None}, "output", "missing"),
    ],
)
def test_a_row_without_what_is_required_is_set_aside(
    change: dict[str, Any], field: str, reason: str
) -> None:
    cleaned = clean({**GOOD, **change})
    assert cleaned.row is None and (field, reason) in [(f.field, f.reason) for f in cleaned.faults]
    assert 0 < len(cleaned.item_id) <= 255


def test_a_failed_request_needs_no_answer() -> None:
    cleaned = clean({**GOOD, "output": None, "error_type": "timeout"})
    assert cleaned.row is not None and cleaned.row["output"] == "" and not cleaned.faults


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(ATTRIBUTES),
        st.sampled_from(NASTY) | st.text() | st.floats() | st.integers() | st.binary(max_size=20),
    )
)
@example({"at": 10**400})
@example({"latency_ms": 10**400, "input_tokens": 10**400})
def test_whatever_comes_only_clean_rows_leave(fields: dict[str, Any]) -> None:
    cleaned = clean({**GOOD, **fields})
    assert len(cleaned.item_id) <= 255
    if cleaned.row is None:
        assert cleaned.faults
        return
    for name, value in cleaned.row.items():
        kind = BY_ATTRIBUTE[name].kind
        if kind == "text":
            assert isinstance(value, str) and scrub(value) == value
            value.encode()
        elif kind == "number":
            assert math.isfinite(value) and type(value) is float
        elif kind == "integer":
            assert type(value) is int and abs(value) < 2**63
        elif kind == "flag":
            assert type(value) is bool
    json.dumps({k: v for k, v in cleaned.row.items() if k != "at"}, allow_nan=False)


@given(st.lists(st.none() | st.text(st.characters(), max_size=8), max_size=6))
def test_a_column_is_scrubbed_like_its_texts(texts: list[str | None]) -> None:
    assert scrub_column(texts, 5) == [None if t is None else scrub(t)[:5] for t in texts]


@pytest.mark.parametrize(
    "field", [field.attribute for field in LOG_FIELDS if field.attribute != "at"]
)
def test_poison_in_any_column_stops_no_window(tmp_path: Path, field: str) -> None:
    """What SQLite lets a column hold, drawn into a store: good rows stand, bad ones are counted."""
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(n, of=40) for n in range(40)])
    engine = open_engine(url)
    values = ["CAST(X'61ff0062' AS TEXT)", "9e999", "-9e999", "-3", "X'00ff'", "'NaN'", "NULL"]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE loose AS SELECT * FROM interaction")
        for number, value in enumerate(values):
            statement = f"UPDATE loose SET {field} = {value} WHERE id = 'r{number}'"
            connection.execute(text(statement))
    engine.dispose()
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    with context_over(
        store, url, source={"table": "loose"}, sampling={"rate": 1, "force": True, "strata": []}
    ) as context:
        report = draw_sample(DAY, context)
        drawn = read_sample(DAY, context)
    assert report.sampled == len(drawn) >= 33 and report.sampled + report.quarantined >= 39
    assert {f"r{n}" for n in range(7, 40)} <= set(drawn.batch["id"])
    found = store.rows(select(quarantine.c.field, quarantine.c.at))
    store.close()
    assert sum(report.faults.values()) >= len(found) >= 1
    assert {entry.field for entry in found} == {field} and all(e.at in DAY for e in found)


def test_poison_reaches_postgresql_only_mended(postgres_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(n, of=9) for n in range(9)])
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE interaction SET input = CAST(X'6100ff' AS TEXT), "
                "segment = CAST(X'00' AS TEXT)"
            )
        )
    engine.dispose()
    store = Store.open(postgres_url)
    with context_over(store, url, sampling={"strata": ["segment"], "minimum": 9}) as context:
        first = draw_sample(DAY, context)
        before = store.rows(select(quarantine))
        assert draw_sample(DAY, context) == first
        assert store.rows(select(quarantine)) == before
    store.close()
    assert first.quarantined == 0
    assert first.faults == ({"scrubbed": 2 * first.sampled} if first.sampled else {})
