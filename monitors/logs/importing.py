"""Logs that are files, into the embedded source: streaming, repeatable, never stopped by a row."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from monitors.logs.embedded import write_rows
from monitors.logs.importers import langfuse, litellm, otlp, plain
from monitors.logs.importers.files import Broken, Record, read_records
from monitors.logs.poison import clean
from sql.engine import open_engine
from sql.errors import ConfigurationError, TidegaugeError

Progress = Callable[[int, int, int], None]

SYSTEMS: Mapping[str, ModuleType] = {"otlp": otlp, "langfuse": langfuse, "litellm": litellm}
PLAIN = ("jsonl", "csv", "parquet")
_HEAD = 5_000
_PER_DAY = 1_000
_TELL_EVERY = 1_000
_FATAL = ("missing", "too_long", "unreadable_time")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; no text of the log is in it.

    Args:
        read: records of the files.
        stored: new rows. duplicate: rows that were there already.
        renamed: those of ``stored`` whose id another request had (see `embedded.WriteReport`).
        skipped: records that are no call of a model (other spans).
        quarantined: reason → records that could not be used, such as ``at.missing``.
        mended: reason → fields that were dropped or scrubbed in rows that were used.
        columns: per file name, field → column as taken; empty for a known system's file.
        formats: per file name, what it was taken for.
    """

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    renamed: int = 0
    skipped: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one file's records become fields."""

    system: ModuleType | None
    chosen: Mapping[str, plain.Getter]
    slash_order: str


@dataclass(slots=True)
class _Tally:
    read: int = 0
    skipped: int = 0
    spread: int = 0
    done_bytes: int = 0
    file_bytes: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)


def import_files(
    paths: Sequence[str | Path],
    target_url: str,
    *,
    format: str | None = None,  # noqa: A002 the word of the command line
    mapping: Mapping[str, str] | None = None,
    start: date | datetime | None = None,
    per_day: int | None = None,
    constants: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    source_name: str = "log",
    seed: str = "tidegauge",
) -> ImportReport:
    """Read log files into the embedded source at ``target_url``.

    Args:
        format: ``jsonl``, ``csv``, ``parquet`` (columns by name), ``otlp``, ``langfuse``,
            ``litellm``; None looks at the records.
        mapping: field → path (see `importers.plain.getters`); an empty path leaves a field out.
        start: spread rows without a time from here on (UTC), ``per_day`` (1,000) a day, in order.
        constants: field → value for every row.
        progress: told (records read, bytes done, bytes in all) every thousand records.
        source_name, seed: as configured; they make the stored sample keys.

    Raises:
        TidegaugeError: not one usable row was read, and why; or a file or field does not exist.
        StoreError: the target refused.
    """
    files = [Path(path) for path in paths]
    layouts, columns, formats = _layouts(files, format, mapping or {})
    tally = _Tally()
    total = sum(path.stat().st_size for path in files)
    spread = _spread(start, per_day)
    fixed = {plain.attribute(name): value for name, value in (constants or {}).items()}

    def rows() -> Iterator[dict[str, Any]]:
        for path, layout in zip(files, layouts, strict=True):
            for fields in _fields(path, layout, tally):
                fields.update(fixed)
                if spread is not None and fields.get("at") is None:
                    fields["at"] = spread(tally.spread)
                    tally.spread += 1
                row = _usable(fields, tally)
                if row is not None:
                    yield row
                if progress is not None and tally.read % _TELL_EVERY == 0:
                    progress(tally.read, tally.done_bytes + tally.file_bytes, total)
            tally.done_bytes, tally.file_bytes = tally.done_bytes + path.stat().st_size, 0

    engine = open_engine(target_url, where="[source] url")
    try:
        written = write_rows(engine, rows(), source_name=source_name, seed=seed)
    finally:
        engine.dispose()
    if progress is not None:
        progress(tally.read, total, total)
    if not written.stored and not written.duplicate:
        raise _nothing(tally, files)
    return ImportReport(
        tally.read,
        written.stored,
        written.duplicate,
        written.renamed,
        tally.skipped,
        tally.quarantined,
        tally.mended,
        columns,
        formats,
    )


def _layouts(
    files: Sequence[Path], name: str | None, mapping: Mapping[str, str]
) -> tuple[list[_Layout], dict[str, dict[str, str]], dict[str, str]]:
    """How each file is read; by file name, the columns taken and the format."""
    if name is not None and name not in SYSTEMS and name not in PLAIN:
        known = ", ".join((*PLAIN, *SYSTEMS))
        raise ConfigurationError(f"there is no format {name!r}", mend=f"choose one of {known}")
    layouts: list[_Layout] = []
    columns: dict[str, dict[str, str]] = {}
    formats: dict[str, str] = {}
    for path in files:
        layout, columns[path.name], formats[path.name] = _layout(path, name, mapping)
        layouts.append(layout)
    orders = {layout.slash_order for layout in layouts if layout.slash_order}
    if len(orders) == 1:  # files read together are written alike, where one alone leaves it open
        layouts = [replace(layout, slash_order=min(orders)) for layout in layouts]
    return layouts, columns, formats


def _layout(
    path: Path, name: str | None, mapping: Mapping[str, str]
) -> tuple[_Layout, dict[str, str], str]:
    """Look at the first records: whose are they, and which columns do they have?"""
    head = [
        record
        for record in islice(_records(path, lambda _done: None), _HEAD)
        if not isinstance(record, Broken)
    ]
    if name is None:
        systems = (key for key, module in SYSTEMS.items() if head and module.recognises(head[0]))
        name = next(systems, "plain")
    wanted = {plain.attribute(key): value for key, value in mapping.items()}
    if name in SYSTEMS:
        return _Layout(SYSTEMS[name], plain.getters(wanted), ""), {}, name
    known = dict.fromkeys(key for record in head for key in record)
    taken = {**plain.recognised(known), **wanted}
    taken = {attribute: column for attribute, column in taken.items() if column}
    chosen = plain.getters(taken)
    times = (chosen["at"](record) for record in head) if "at" in chosen else ()
    return _Layout(None, chosen, plain.slash_order(times)), taken, name


def _records(path: Path, advance: Callable[[int], None]) -> Iterator[Record | Broken]:
    try:
        yield from read_records(path, advance)
    except (OSError, EOFError, zlib.error):
        yield Broken("unreadable_file")


def _fields(path: Path, layout: _Layout, tally: _Tally) -> Iterator[dict[str, Any]]:
    """The fields of every usable record of a file; others are tallied."""

    def advance(done: int) -> None:
        tally.file_bytes = done

    for position, record in enumerate(_records(path, advance)):
        tally.read += 1
        if isinstance(record, Broken):
            tally.quarantined[record.reason] += 1
            continue
        found = 0
        try:
            for fields in _rows(record, layout):
                found += 1
                if not fields.get("id"):
                    fields["id"] = _content_id(record, position)
                yield fields
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            # A record of another shape than its system writes; its content stays out of the tally.
            tally.quarantined["unexpected_shape"] += 1
            continue
        tally.skipped += not found


def _rows(record: Record, layout: _Layout) -> Iterator[dict[str, Any]]:
    if layout.system is None:
        fields = plain.as_fields(record, layout.chosen)
        fields["at"] = plain.slashed_time(fields.get("at"), layout.slash_order)
        yield fields
        return
    for view, fields in layout.system.rows(record):
        yield {**fields, **plain.as_fields(view, layout.chosen)}


def _usable(fields: dict[str, Any], tally: _Tally) -> dict[str, Any] | None:
    cleaned = clean(fields)
    if cleaned.row is None:
        fatal = next(fault for fault in cleaned.faults if fault.reason in _FATAL)
        tally.quarantined[f"{fatal.field}.{fatal.reason}"] += 1
        return None
    tally.mended.update(f"{fault.field}.{fault.reason}" for fault in cleaned.faults)
    return cleaned.row


def _content_id(record: Record, position: int) -> str:
    """The same file read again gives the same ids; equal records at two places stay two."""
    text = json.dumps(record, sort_keys=True, default=str)
    return hashlib.sha256(f"{position}:{text}".encode()).hexdigest()[:32]


def _spread(start: date | datetime | None, per_day: int | None) -> Callable[[int], datetime] | None:
    if start is None:
        if per_day is not None:
            raise ConfigurationError("--per-day needs --start", mend="give the first day, too")
        return None
    if per_day is not None and per_day < 1:
        raise ConfigurationError("--per-day must be at least 1")
    if isinstance(start, datetime):
        begin = start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)
    else:
        begin = datetime(start.year, start.month, start.day, tzinfo=UTC)
    step = timedelta(days=1) / (per_day or _PER_DAY)
    return lambda index: begin + index * step


def _nothing(tally: _Tally, files: Iterable[Path]) -> TidegaugeError:
    reasons = tally.quarantined.most_common(3)
    why = ", ".join(f"{count} × {reason}" for reason, count in reasons) or "no record"
    worst = reasons[0][0] if reasons else ""
    if worst == "at.missing":
        mend = "name the column with --map timestamp=COLUMN, or spread the rows: --start, --per-day"
    elif worst == "at.unreadable_time":
        mend = (
            "say how the time is written, day or month first: "
            "--map 'timestamp=COLUMN|%m/%d/%Y, %H:%M:%S'"
        )
    elif worst.endswith(".missing"):
        mend = f"name the column with --map {worst.removesuffix('.missing')}=COLUMN"
    else:
        mend = "check that the file is a log of prompts and answers, or give --format"
    where = ", ".join(path.name for path in files)
    return TidegaugeError(f"nothing usable was read: {why}", where=where, mend=mend)
