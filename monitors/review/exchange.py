"""A batch out of the house and its ratings back in: JSONL (canonical), CSV, Label Studio.

All three carry the same rows: an item and, when somebody has rated it, that person's rating. What
comes in is checked against the batch; the same file again changes nothing.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from monitors.context import Context
from monitors.review.desk import text_of
from monitors.review.labels import Rating, record_labels
from monitors.review.rubric import DIMENSIONS, FLAGS
from sql.errors import ConfigurationError
from sql.tables import label, review_assignment, review_item
from sql.types import canonical_json

SCHEMA = "tidegauge.rating/1"
_TEXTS = ("input", "output", "context")
_COLUMNS = ("batch", "item_id", *_TEXTS, "evaluator", "submitted_at", "seconds")
# A spreadsheet runs a cell that begins so (OWASP, CSV injection). The mark is taken off on the
# way in; a text that begins with the mark itself gets another.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "'", "＝", "＋", "－", "＠")
_GUARD = "'"
_CANNOT = "cannot judge"


@dataclass(frozen=True, slots=True)
class Row:
    """An item for one person, rated or still to be rated (``submitted_at`` is None)."""

    batch: str
    item_id: str
    input: str
    output: str
    context: str
    evaluator: str
    submitted_at: datetime | None = None
    seconds: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    comment: str = ""
    flags: Sequence[str] = ()


def rows_of(batch: str, context: Context) -> list[Row]:
    """All places of a batch in the order of item and slot; never what the judge or others say."""
    places = context.store.rows(
        select(review_assignment.c.item_id, review_assignment.c.evaluator)
        .join(
            review_item,
            (review_item.c.batch_id == review_assignment.c.batch_id)
            & (review_item.c.item_id == review_assignment.c.item_id),
        )
        .where(review_assignment.c.batch_id == batch)
        .order_by(review_item.c.position, review_assignment.c.slot)
    )
    given: dict[tuple[str, str], dict[str, Any]] = {}
    stored = select(label).where(label.c.batch_id == batch, label.c.submitted_at.is_not(None))
    for one in context.store.rows(stored.order_by(label.c.dimension)):
        rating = given.setdefault(
            (one.item_id, one.evaluator),
            {
                "submitted_at": one.submitted_at,
                "seconds": one.seconds,
                "comment": one.comment,
                "flags": tuple(one.flags),
                "scores": {},
            },
        )
        rating["scores"][one.dimension] = one.value
    texts = {item: text_of(batch, item, context) for item in {p.item_id for p in places}}
    return [
        Row(
            batch=batch,
            item_id=place.item_id,
            input=texts[place.item_id].input,
            output=texts[place.item_id].output,
            context=texts[place.item_id].context,
            evaluator=place.evaluator,
            **given.get((place.item_id, place.evaluator), {}),
        )
        for place in places
    ]


def export(batch: str, path: Path, context: Context) -> str:
    """Write a batch in the format that the file's name says.

    Returns:
        the file's sha256.

    Raises:
        ConfigurationError: there is no such batch or format.
    """
    rows = rows_of(batch, context)
    if not rows:
        raise ConfigurationError(f"there is no batch {batch!r}", mend="see `tidegauge review list`")
    _WRITERS[_format(path)](rows, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def import_(path: Path, context: Context) -> int:
    """Take the ratings of a file.

    Returns:
        how many (item, person, dimension) entries were new or changed.

    Raises:
        ConfigurationError: the file cannot be read. LabelError: a rating nobody asked for.
    """
    try:
        rows = list(_READERS[_format(path)](path))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
        raise ConfigurationError(
            "the file is not an export of a batch", where=path.name, mend="export the batch again"
        ) from None
    ratings: dict[str, list[Rating]] = {}
    for row in rows:
        if row.submitted_at is not None:
            ratings.setdefault(row.batch, []).append(_rating(row))
    return sum(record_labels(batch, found, context) for batch, found in sorted(ratings.items()))


def _rating(row: Row) -> Rating:
    return Rating(
        item_id=row.item_id,
        evaluator=row.evaluator,
        scores=row.scores,
        comment=row.comment,
        flags=row.flags,
        seconds=row.seconds,
        submitted_at=row.submitted_at,
    )


def _format(path: Path) -> str:
    if path.suffix not in _WRITERS:
        raise ConfigurationError(
            "the format is not known", where=path.name, mend="write .jsonl, .csv or .json"
        )
    return path.suffix


# ── JSONL ────────────────────────────────────────────────────────────────────────────────────


def write_jsonl(rows: Iterable[Row], path: Path) -> None:
    """One row a line, keys in order, nothing lost."""
    lines = (canonical_json({"schema": SCHEMA, **_record(row)}) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="")


def read_jsonl(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            record = json.loads(line)
            if record.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            yield _row(record)


def _record(row: Row) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in Row.__slots__}
    at = row.submitted_at
    return record | {
        "submitted_at": at.isoformat() if at else None,
        "flags": list(row.flags),
        "scores": dict(row.scores),
    }


def _row(record: Mapping[str, Any]) -> Row:
    at = record["submitted_at"]
    submitted = datetime.fromisoformat(at) if at else None
    return Row(**{**record, "submitted_at": submitted, "flags": tuple(record["flags"])})


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """For spreadsheets: a cell that would be run as a formula begins with a quotation mark."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow([*_COLUMNS, *DIMENSIONS, "comment", "flags"])
        for row in rows:
            record = _record(row)
            cells = [record[name] for name in _COLUMNS]
            cells += [_cell(row.scores, name) for name in DIMENSIONS]
            cells += [row.comment, " ".join(row.flags)]
            writer.writerow([guarded("" if cell is None else str(cell)) for cell in cells])


def read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(16 * 1024 * 1024)
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            record = {name: unguarded(value) for name, value in cells.items()}
            scores = {name: record.pop(name) for name in DIMENSIONS}
            yield _row(
                {
                    **record,
                    "seconds": float(record["seconds"]) if record["seconds"] else None,
                    "flags": record["flags"].split(),
                    "scores": {
                        name: None if value == _CANNOT else float(value)
                        for name, value in scores.items()
                        if value
                    },
                }
            )


def _cell(scores: Mapping[str, float | None], name: str) -> str:
    if name not in scores:
        return ""
    value = scores[name]
    return _CANNOT if value is None else str(value)


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet runs; `unguarded` gives it back."""
    return _GUARD + text if text.startswith(_FORMULA) else text


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell[1:] if cell.startswith(_GUARD) else cell


# ── Label Studio ─────────────────────────────────────────────────────────────────────────────


def write_label_studio(rows: Iterable[Row], path: Path) -> None:
    """Tasks with empty ``predictions``, so that nobody is swayed, and finished annotations."""
    tasks = [_task(number, row) for number, row in enumerate(rows, 1)]
    text = json.dumps(tasks, ensure_ascii=True, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8", newline="")


def _task(number: int, row: Row) -> dict[str, Any]:
    data = {name: getattr(row, name) for name in ("batch", "item_id", *_TEXTS, "evaluator")}
    if row.submitted_at is None:
        return {"id": number, "data": data, "predictions": [], "annotations": []}
    results: list[dict[str, Any]] = []
    for name, value in row.scores.items():
        if value is None:
            results.append(_result(f"{name}_unknown", "choices", {"choices": [_CANNOT]}))
        else:
            results.append(_result(name, "rating", {"rating": int(value)}))
    if row.comment:
        results.append(_result("comment", "textarea", {"text": [row.comment]}))
    if row.flags:
        results.append(_result("flags", "choices", {"choices": list(row.flags)}))
    annotation = {
        "completed_by": {"email": row.evaluator},
        "created_at": row.submitted_at.isoformat(),
        "lead_time": row.seconds,
        "result": results,
        "was_cancelled": False,
    }
    return {"id": number, "data": data, "predictions": [], "annotations": [annotation]}


def _result(name: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "output", "type": kind, "value": dict(value)}


def read_label_studio(path: Path) -> Iterator[Row]:
    for task in json.loads(path.read_text(encoding="utf-8")):
        data = task["data"]
        for annotation in task["annotations"]:
            if not annotation.get("was_cancelled"):
                yield _annotated(data, annotation)
        if not task["annotations"]:
            yield Row(**data)


def _annotated(data: Mapping[str, str], annotation: Mapping[str, Any]) -> Row:
    scores: dict[str, float | None] = {}
    comment, flags = "", []
    for result in annotation["result"]:
        name, value = result["from_name"], result["value"]
        if result["type"] == "rating":
            scores[name] = float(value["rating"])
        elif name == "comment":
            comment = "\n".join(value["text"])
        elif name == "flags":
            flags = [flag for flag in value["choices"] if flag in FLAGS]
        else:
            scores[name.removesuffix("_unknown")] = None
    return Row(
        **data,
        submitted_at=datetime.fromisoformat(annotation["created_at"]),
        seconds=annotation["lead_time"],
        scores={name: scores[name] for name in sorted(scores)},
        comment=comment,
        flags=tuple(flags),
    )


_WRITERS = {".jsonl": write_jsonl, ".csv": write_csv, ".json": write_label_studio}
_READERS = {".jsonl": read_jsonl, ".csv": read_csv, ".json": read_label_studio}
