"""The golden set: examples whose verdict people stand behind. The judge learns from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from monitors.context import Context
from monitors.review import golden_versions
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


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Args:
        examples: in the rows; duplicates count once.
        verdicts: ids of known examples that have another verdict now.
        version: of the golden set as it stands after it.
    """

    examples: int
    added: int
    verdicts: tuple[str, ...]
    version: int


def import_golden(
    rows: Iterable[Golden],
    context: Context,
    *,
    actor: str = "import",
    reason: str = "",
    change_verdicts: bool = False,
) -> Imported:
    """Add or update examples by their id, and write down the version that this makes.

    The same rows again change nothing and make no version.

    Args:
        reason: kept with the version.
        change_verdicts: a person says that known examples may get another verdict.

    Raises:
        ConfigurationError: a verdict outside 0 to 1, two verdicts for the same example, or
            another verdict than the set has, unless ``change_verdicts`` and ``reason`` say so.
    """
    now = context.clock()
    records = _records(rows, now)
    with context.store.begin() as connection:
        table = golden_example.c
        known = {
            found.example_id: found
            for found in connection.execute(select(table.example_id, table.added_at, table.label))
        }
        for key, record in records.items():
            record["added_at"] = known[key].added_at if key in known else record["added_at"]
        changed = tuple(
            sorted(
                key for key in records if key in known and known[key].label != records[key]["label"]
            )
        )
        if changed and not (change_verdicts and reason.strip()):
            few = ", ".join(key[:12] for key in changed[:5]) + (", …" if len(changed) > 5 else "")
            raise ConfigurationError(
                f"{len(changed)} known examples would get another verdict: {few}",
                where="golden set",
                mend="have people settle them; then say --change-verdicts and a --reason",
            )
        golden_versions.keep_texts(connection, context.store)  # of what is overwritten now
        context.store.upsert(connection, golden_example, records.values())
        version = golden_versions.record(connection, context.store, actor, reason or "import", now)
    return Imported(len(records), len(set(records) - set(known)), changed, version)


def _records(rows: Iterable[Golden], now: datetime) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not 0 <= row.label <= 1:
            raise ConfigurationError("a golden verdict lies between 0 and 1", where=row.key)
        twin = records.get(row.key)
        if twin is not None and twin["label"] != row.label:
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
    return records


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
