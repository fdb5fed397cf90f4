"""Golden examples from and to files: whatever columns a team has, and JSON lines without loss."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from monitors.logs.importers.files import Broken, read_records
from monitors.logs.importers.plain import recognised
from monitors.review.golden import Golden
from sql.errors import ConfigurationError

FIELDS = tuple(field.name for field in fields(Golden))
_TEXTS = ("input", "output", "context", "reference", "feature", "example_id")
_GOOD = frozenset({"1", "1.0", "true", "yes", "good", "pass", "correct"})
_BAD = frozenset({"0", "0.0", "false", "no", "bad", "fail", "wrong"})
_LABELS = ("label", "verdict", "is_good", "correct")


@dataclass(frozen=True, slots=True)
class GoldenFile:
    """What a file held: the examples, and how many records were of no use, by reason."""

    examples: list[Golden]
    skipped: Mapping[str, int]


def read_golden(
    path: Path, mapping: Mapping[str, str], *, good: Sequence[str] = (), provenance: str = ""
) -> GoldenFile:
    """Read JSONL, CSV or Parquet.

    Args:
        mapping: field → column; columns of usual names are found without.
        good: the label's values that mean good; without them 0 to 1, yes/no and good/bad are
            understood.

    Raises:
        ConfigurationError: no such file, an unknown field, or not one usable record.
    """
    if unknown := sorted(set(mapping) - set(FIELDS)):
        raise ConfigurationError(
            f"a golden example has no field {unknown[0]!r}",
            where="--map",
            mend=f"use {', '.join(FIELDS)}",
        )
    examples: list[Golden] = []
    skipped: Counter[str] = Counter()
    for record in read_records(path, lambda _done: None):
        if isinstance(record, Broken):
            skipped[record.reason] += 1
            continue
        made = _example(record, mapping, frozenset(map(_plain, good)), provenance or path.name)
        if isinstance(made, str):
            skipped[made] += 1
        else:
            examples.append(made)
    if not examples:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in skipped.most_common())
        raise ConfigurationError(
            f"nothing usable was read: {reasons or 'the file is empty'}",
            where=path.name,
            mend="name the columns: --map input=… --map output=… --map label=… --good yes",
        )
    return GoldenFile(examples, dict(skipped))


def write_golden(path: Path, examples: Iterable[Golden]) -> int:
    """Write JSON lines that `read_golden` reads back to the same examples; how many there are."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            body = {name: getattr(example, name) for name in FIELDS if name != "added_at"}
            body["example_id"], body["dimensions"] = example.key, dict(example.dimensions)
            file.write(json.dumps(body, ensure_ascii=False, sort_keys=True) + "\n")
            count += 1
    return count


def _example(
    record: Mapping[str, Any], mapping: Mapping[str, str], good: frozenset[str], provenance: str
) -> Golden | str:
    """The example, or why the record is none."""
    known = {**recognised(record), **{name: name for name in FIELDS if name in record}, **mapping}
    known.setdefault("label", next((name for name in _LABELS if name in record), "label"))
    texts = {name: _text(record.get(known[name])) for name in _TEXTS if name in known}
    if not texts.get("input") or not texts.get("output"):
        return "no_input" if not texts.get("input") else "no_output"
    label = _label(record.get(known["label"]), good)
    if label is None:
        return "no_verdict"
    dimensions = record.get("dimensions")
    return Golden(
        input=texts["input"] or "",
        output=texts["output"] or "",
        label=label,
        context=texts.get("context"),
        reference=texts.get("reference"),
        dimensions=dimensions if isinstance(dimensions, dict) else {},
        feature=texts.get("feature") or "",
        provenance=str(record.get("provenance") or provenance),
        is_anchor=record.get("is_anchor") in (True, "true", "1", 1),
        example_id=texts.get("example_id") or "",
    )


def _label(value: Any, good: frozenset[str]) -> float | None:
    text = _plain(value)
    if not text:
        return None
    if good:
        return float(text in good)
    if text in _GOOD or text in _BAD:
        return float(text in _GOOD)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None


def _plain(value: Any) -> str:
    return "" if value is None else str(value).strip().casefold()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # PostgreSQL holds no NUL, and half of a surrogate pair has no UTF-8.
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
