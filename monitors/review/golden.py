"""The golden set: examples whose verdict people stand behind. The judge learns from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from monitors.context import Context
from sql.errors import ConfigurationError
from sql.tables import golden_example


@dataclass(frozen=True, slots=True)
class Golden:
    """One example.

    Args:
        label: people's verdict, 0 (bad) to 1 (good).
        dimensions: dimension → score, where people gave them.
        provenance: where it is from, for example ``batch log-2026-05``.
        is_anchor: re-scored at every run to see whether the judge itself has moved.
        example_id: empty takes one from the content.
    """

    input: str
    output: str
    label: float
    context: str | None = None
    reference: str | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    feature: str = ""
    provenance: str = ""
    is_anchor: bool = False
    example_id: str = ""
    added_at: datetime | None = None

    @property
    def key(self) -> str:
        if self.example_id:
            return self.example_id
        # Case and spacing do not make another example.
        text = "\0".join(" ".join(part.casefold().split()) for part in (self.input, self.output))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def import_golden(rows: Iterable[Golden], context: Context) -> int:
    """Add or update examples by their id; the same rows again change nothing.

    Returns:
        how many examples the rows held (duplicates count once).

    Raises:
        ConfigurationError: a verdict outside 0 to 1, or two verdicts for the same example.
    """
    now = context.clock()
    records: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not 0 <= row.label <= 1:
            raise ConfigurationError("a golden verdict lies between 0 and 1", where=row.key)
        known = records.get(row.key)
        if known is not None and known["label"] != row.label:
            raise ConfigurationError(
                "the same example has two verdicts", where=row.key, mend="let people settle it"
            )
        records[row.key] = {
            "example_id": row.key,
            "input": row.input,
            "output": row.output,
            "context": row.context,
            "reference": row.reference,
            "label": float(row.label),
            "dimensions": dict(row.dimensions),
            "feature": row.feature,
            "provenance": row.provenance,
            "is_anchor": row.is_anchor,
            "added_at": row.added_at or now,
        }
    with context.store.begin() as connection:
        added = {
            found.example_id: found.added_at
            for found in connection.execute(
                select(golden_example.c.example_id, golden_example.c.added_at)
            )
        }
        for key, record in records.items():
            record["added_at"] = added.get(key, record["added_at"])
        context.store.upsert(connection, golden_example, records.values())
    return len(records)


def with_anchors(examples: Sequence[Golden], count: int) -> list[Golden]:
    """The examples with ``count`` of them made anchors: those of the smallest keys, a hash."""
    chosen = {example.key for example in sorted(examples, key=lambda one: one.key)[:count]}
    return [
        replace(example, is_anchor=example.is_anchor or example.key in chosen)
        for example in examples
    ]


def list_golden(
    context: Context, *, before: datetime | None = None, feature: str | None = None
) -> list[Golden]:
    """The examples, in the order of their ids.

    Args:
        before: only those added before this instant.
    """
    query = select(golden_example).order_by(golden_example.c.example_id)
    if before is not None:
        query = query.where(golden_example.c.added_at < before)
    if feature is not None:
        query = query.where(golden_example.c.feature == feature)
    return [Golden(**row._mapping) for row in context.store.rows(query)]
