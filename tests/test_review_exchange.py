"""Out and in again: nothing lost, nothing twice, nothing run by a spreadsheet."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from monitors.review.exchange import (
    _READERS,
    _WRITERS,
    Row,
    export,
    guarded,
    import_,
    rows_of,
    unguarded,
)
from monitors.review.labels import LabelError
from monitors.review.rubric import DIMENSIONS, FLAGS
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import label
from tests.review_kit import rate_all
from tests.test_review_pages import BATCH, batch_of

POISON = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r\n=1",
    "'quoted",
    "''=twice",
    'comma, "quote"\nline\r\nand\rmore',
    "\u202eevil\u200b\ufeff\u2028\u2029",
    "🧨 ñ\u0301 العربية 中文",
    "</script><script>alert(1)</script>",
    "",
    " ",
    "＝1+1",
    "{{7*7}}\\n\\",
    "a\x85b\x0b\x0c\x1c\x1d",
    "NULL",
    "x" * 100_000,
)


def _value(kind: str, key: str, of: dict[str, object]) -> dict[str, object]:
    value = {"required": [key], "properties": {key: of}}
    return {"properties": {"type": {"const": kind}, "value": value}}


# Label Studio's documented task format, as far as an export of ratings goes.
_WORDS: dict[str, object] = {"type": "array", "items": {"type": "string"}}
_RESULT = {
    "type": "object",
    "required": ["from_name", "to_name", "type", "value"],
    "oneOf": [
        _value("rating", "rating", {"type": "integer", "minimum": 1, "maximum": 5}),
        _value("choices", "choices", _WORDS),
        _value("textarea", "text", _WORDS),
    ],
}
_ANNOTATION = {
    "type": "object",
    "required": ["result", "completed_by", "lead_time", "was_cancelled"],
    "properties": {"result": {"type": "array", "items": _RESULT}},
}
TASKS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id", "data", "annotations", "predictions"],
        "properties": {
            "id": {"type": "integer"},
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "predictions": {"type": "array", "maxItems": 0},
            "annotations": {"type": "array", "items": _ANNOTATION},
        },
    },
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(POISON)
rows = st.builds(
    Row,
    batch=st.just("b"),
    item_id=texts,
    input=texts,
    output=texts,
    context=texts,
    evaluator=texts,
    submitted_at=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),
    seconds=st.none() | st.floats(0, 1e6),
    scores=st.fixed_dictionaries(
        dict.fromkeys(sorted(DIMENSIONS), st.none() | st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0]))
    ),
    comment=texts,
    flags=st.lists(st.sampled_from(sorted(FLAGS)), unique=True).map(sorted).map(tuple),
)
FORMATS = tuple(_WRITERS)


@pytest.mark.parametrize("suffix", FORMATS)
@given(found=st.lists(rows, max_size=4))
def test_any_rows_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, found: list[Row]
) -> None:
    path = tmp_path_factory.mktemp("exchange") / f"batch{suffix}"
    _WRITERS[suffix](found, path)
    assert list(_READERS[suffix](path)) == found


@given(texts)
def test_no_cell_is_a_formula(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0"))
    assert unguarded(cell) == text


@pytest.mark.parametrize("suffix", FORMATS)
def test_ratings_leave_and_come_back_once(store: Store, tmp_path: Path, suffix: str) -> None:
    poisoned = [(POISON[n % len(POISON)] or "?", POISON[-1 - n % len(POISON)]) for n in range(120)]
    context = batch_of(store, tmp_path, texts=poisoned)
    rate_all(context, BATCH, {f"r{n:05d}": float(n % 4 > 0) for n in range(120)}, share=0.6)
    with store.begin() as connection:
        connection.execute(
            update(label).where(label.c.evaluator == "eva").values(comment=POISON[0])
        )
    before = rows_of(BATCH, context)
    path = tmp_path / f"batch{suffix}"
    digest = export(BATCH, path, context)
    assert export(BATCH, path, context) == digest
    assert import_(path, context) == 0
    with store.begin() as connection:
        connection.execute(delete(label))
    assert import_(path, context) == len(DIMENSIONS) * sum(1 for row in before if row.submitted_at)
    assert import_(path, context) == 0
    assert rows_of(BATCH, context) == before
    assert {row.revision for row in store.rows(select(label))} == {1}
    for secret in ("secret-model", "targeted", "feature="):
        assert secret not in path.read_text("utf-8")


def test_a_label_studio_export_keeps_to_its_schema(store: Store, tmp_path: Path) -> None:
    context = batch_of(store, tmp_path)
    rate_all(context, BATCH, {f"r{n:05d}": 1.0 for n in range(120)}, share=0.5)
    path = tmp_path / "batch.json"
    export(BATCH, path, context)
    tasks = json.loads(path.read_text("utf-8"))
    jsonschema.validate(tasks, TASKS)
    assert sum(bool(task["annotations"]) for task in tasks) == round(0.5 * len(tasks))


def test_what_was_not_asked_for_is_refused(store: Store, tmp_path: Path) -> None:
    context = batch_of(store, tmp_path)
    rate_all(context, BATCH, {f"r{n:05d}": 1.0 for n in range(120)}, share=0.2)
    path = tmp_path / "batch.csv"
    export(BATCH, path, context)
    with path.open(encoding="utf-8", newline="") as file:
        cells = list(csv.reader(file))
    cells[1][5] = "mallory"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(cells)
    with pytest.raises(LabelError):
        import_(path, context)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="not an export"):
        import_(path, context)
    with pytest.raises(ConfigurationError, match="format"):
        export(BATCH, tmp_path / "batch.xlsx", context)
    with pytest.raises(ConfigurationError, match="no batch"):
        export("nothing", path, context)
