"""The day's sample: drawn by hash in the source, made harmless, and kept in the store."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, delete, func, select

from monitors.context import Context
from monitors.logs.design import Plan, Stratum, plan, stratum_label
from monitors.logs.interaction import ATTRIBUTES, REQUIRED, TEXT_FIELDS
from monitors.logs.poison import Cleaned, clean
from monitors.logs.redaction import Redacted, redact, redact_all, user_key
from monitors.logs.shadows import PAIRING, count_strata
from sql.sampling import drawn_by, sample_key
from sql.tables import quarantine, sample
from sql.window import Window

# A fixed chunk: its rows are redacted together and committed together.
_CHUNK = 1_000
# In the place of a row's redactions, once its person's texts were erased.
ERASED = {"erased": 1}
_KEPT_TEXTS = ("input", "output", "context", "reference")
# Names of things, not free text; redacting an id would only break what it links.
_NAMES = frozenset(
    {
        *("provider", "request_model", "response_model", "response_id", "system_fingerprint"),
        *("conversation_id", "prompt_version", "shadow_of"),
    }
)
_FIELDS = tuple(name for name in ATTRIBUTES if name not in {*REQUIRED, *TEXT_FIELDS, "user_id"})


@dataclass(frozen=True, slots=True)
class DrawReport:
    """What a draw did.

    Args:
        rows: rows of the window in the log.
        sampled: rows of the sample that stand in the store.
        quarantined: drawn rows that could not be used.
        faults: reason → how many fields were mended, dropped or the cause of a quarantine.
    """

    rows: int
    sampled: int
    quarantined: int
    faults: Mapping[str, int] = field(default_factory=dict)


def draw_sample(window: Window, context: Context) -> DrawReport:
    """Draw the window's sample and keep it in table ``sample``; bad rows go to ``quarantine``.

    Which rows: see `monitors.logs.design`. Texts are kept as ``[privacy] mode`` says: redacted,
    not at all (``hash-only``), or as they are (``raw``); those of a row older than the retention
    period are there to be scored, and go with the next night's purge. ``input_sha256`` and
    ``output_sha256`` are of the redacted text (of the text itself when ``raw``), so that they
    neither hide nor reveal what redaction took out. The system prompt is not kept. Drawing again
    changes nothing; see there for late rows.

    Raises:
        ConfigurationError: the source or the strata cannot work as configured.
        StoreError: a database refused.
    """
    source = context.source
    counted = count_strata(window, context)
    _forget_other_designs(window, context, counted.names)
    drawing = plan(window, context, counted)
    sampled, quarantined, faults = 0, 0, Counter[str]()
    columns = [part.label(f"s{i}") for i, part in enumerate(drawing.columns(source))]
    for condition in drawing.conditions(source):
        query = source.raw_select(window, *columns, drawing.key.label("k")).where(condition)
        for part in source.flow(query, _CHUNK):
            good, bad = _keep(part, drawing, context)
            sampled += len(good)
            quarantined += sum(cleaned.row is None for cleaned in bad)
            faults.update(fault.reason for cleaned in bad for fault in cleaned.faults)
            now = context.clock()
            with context.store.begin() as connection:
                context.store.upsert(connection, sample, _not_erased(connection, good, source.name))
                rejected = chain.from_iterable(
                    _rejection(cleaned, source.name, now) for cleaned in bad
                )
                context.store.upsert(connection, quarantine, rejected, keep=True)
    return DrawReport(drawing.rows, sampled, quarantined, dict(sorted(faults.items())))


def _forget_other_designs(window: Window, context: Context, names: Sequence[str]) -> None:
    """Take out the window's rows that another seed or other strata drew: weights cannot mix."""
    table, seed = sample.c, context.settings.sampling.seed
    inside = (
        table.source == context.source.name,
        table.at >= window.start,
        table.at < window.end,
    )
    strata = select(table.stratum, func.min(table.item_id)).where(*inside)
    for label, item_id in context.store.rows(strata.group_by(table.stratum)):
        query = select(table.sample_key, table.fields, table.redactions)
        one = context.store.rows(query.where(*inside, table.item_id == item_id))[0]
        by = drawn_by(item_id, one.fields.get("shadow_of"))
        # Of an erased shadow nobody knows any more what it shadowed.
        unknown = PAIRING in names and one.redactions == ERASED
        same_seed = unknown or one.sample_key == sample_key(seed, context.source.name, by)
        same_strata = not label.startswith("{") or sorted(json.loads(label)) == sorted(names)
        if not (same_seed and same_strata):
            with context.store.begin() as connection:
                connection.execute(delete(sample).where(*inside, table.stratum == label))


def _not_erased(
    connection: Connection, rows: Sequence[dict[str, Any]], source: str
) -> list[dict[str, Any]]:
    """Without the rows whose texts somebody had erased: the log may have them still."""
    table = sample.c
    query = select(table.item_id, table.redactions).where(
        table.source == source, table.item_id.in_([row["item_id"] for row in rows])
    )
    gone = {row.item_id for row in connection.execute(query) if row.redactions == ERASED}
    return [row for row in rows if row["item_id"] not in gone]


def _keep(
    part: Sequence[Any], drawing: Plan, context: Context
) -> tuple[list[dict[str, Any]], list[Cleaned]]:
    """Rows for the store, and whatever had a fault."""
    width = len(drawing.names)
    rows: list[dict[str, Any]] = []
    strata: list[tuple[str, Stratum, str]] = []
    bad = []
    time_format = context.settings.source.time_format
    labels: dict[tuple[Any, ...], str] = {}
    for record in part:
        values = tuple(record[-width - 1 : -1]) if width else ()
        stratum = drawing.strata.get(values)
        if stratum is None or not stratum.drawn:
            continue  # landed after the counting: the next draw has it
        cleaned = clean(record._mapping, time_format)
        if cleaned.faults:
            bad.append(cleaned)
        if cleaned.row is not None:
            if values not in labels:
                labels[values] = stratum_label(drawing.names, values)
            rows.append(cleaned.row)
            strata.append((labels[values], stratum, record[-1]))
    texts = _harmless(rows, context)
    kept = [
        _record(row, place, {name: column[index] for name, column in texts.items()}, context)
        for index, (row, place) in enumerate(zip(rows, strata, strict=True))
    ]
    return kept, bad


def _harmless(
    rows: Sequence[Mapping[str, Any]], context: Context
) -> dict[str, list[Redacted | None]]:
    """The rows' texts by column, redacted unless the mode is ``raw``."""
    columns = {name: [row.get(name) for row in rows] for name in _KEPT_TEXTS}
    if context.settings.privacy.mode == "raw":
        return {
            name: [None if text is None else Redacted(text, {}) for text in column]
            for name, column in columns.items()
        }
    return {name: redact_all(column) for name, column in columns.items()}


def _record(
    row: Mapping[str, Any],
    place: tuple[str, Stratum, str],
    texts: Mapping[str, Redacted | None],
    context: Context,
) -> dict[str, Any]:
    """One row of table ``sample``."""
    privacy = context.settings.privacy
    label, stratum, key = place
    keep_texts = privacy.mode != "hash-only"
    counts: Counter[str] = Counter()
    for text in texts.values():
        counts.update(text.counts if text else {})
    return {
        "source": context.source.name,
        "item_id": row["id"],
        "at": row["at"],
        "sample_key": key,
        "stratum": label,
        "inclusion_probability": stratum.probability,
        **{
            name: text.text if text is not None and keep_texts else None
            for name, text in texts.items()
        },
        "input_sha256": _sha256(texts["input"]),
        "output_sha256": _sha256(texts["output"]),
        "redactions": dict(sorted(counts.items())),
        "fields": _fields(row, raw=privacy.mode == "raw"),
        "user_key": user_key(privacy.key, context.source.name, row.get("user_id")),
    }


def _fields(row: Mapping[str, Any], *, raw: bool) -> dict[str, Any]:
    """Everything else that the row has; labels are redacted too, for what they were never meant."""
    found = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    if raw:
        return found
    return {
        name: _label(value) if isinstance(value, str) and name not in _NAMES else value
        for name, value in found.items()
    }


@lru_cache(maxsize=4_096)
def _label(text: str) -> str:
    return redact(text).text


def _sha256(text: Redacted | None) -> str:
    return hashlib.sha256((text.text if text else "").encode()).hexdigest()


def _rejection(cleaned: Cleaned, source: str, now: Any) -> list[dict[str, Any]]:
    at = cleaned.at
    return [
        {
            "source": source,
            "item_id": cleaned.item_id,
            "field": fault.field,
            "at": at,
            "reason": fault.reason,
            "sha256": fault.sha256,
            "seen_at": now,
        }
        for fault in cleaned.faults
    ]
