"""Rows that would break something later are mended where that loses nothing, else set aside.

What breaks: PostgreSQL refuses NUL and lone surrogates in text, one NaN makes every average NaN,
a number may stand as text, a time may be none. Each mend and each loss is told as a `Fault`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from monitors.logs.interaction import BY_ATTRIBUTE, TEXT_FIELDS
from monitors.logs.times import read_time

TEXT_LIMIT = 100_000
LABEL_LIMIT = 1_000
ID_LIMIT = 255
INTEGER_LIMIT = 2**53
NUMBER_LIMIT = 1e300
MAY_BE_NEGATIVE = frozenset({"rating"})
_BAD = re.compile("[\0\ud800-\udfff]")
_FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was wrong with a field.

    Args:
        field: an attribute of `Interaction`.
        reason: ``scrubbed`` and ``truncated`` (the row stands, mended), ``not_a_number``,
            ``not_finite``, ``negative``, ``out_of_range``, ``not_a_flag`` (the field is dropped),
            ``missing``, ``too_long``, ``unreadable_time`` (the row is set aside).
        sha256: of the offending value, to find it again; never the value.
    """

    field: str
    reason: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A row after cleaning.

    Args:
        item_id: its id, or a digest where that cannot be one.
        at: its time, where that can be read.
        row: by attribute; None when the row cannot be used at all.
    """

    item_id: str
    at: datetime | None
    row: dict[str, Any] | None
    faults: tuple[Fault, ...]


def scrub(text: str) -> str:
    """``text`` with every NUL and lone surrogate replaced by U+FFFD."""
    if text.isascii():  # most texts, told by a flag
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return _BAD.sub("\ufffd", text)


def scrub_column(values: Sequence[Any], limit: int) -> list[str | None]:
    """A whole column of texts made safe at once; clean columns cost one search."""
    try:
        joined = "\n".join([value for value in values if value is not None])
    except TypeError:  # SQLite lets a text column hold anything
        values = [None if value is None else _as_text(value) for value in values]
        joined = "\n".join([value for value in values if value is not None])
    if _BAD.search(joined):
        values = [None if value is None else scrub(value) for value in values]
    return [value if value is None or len(value) <= limit else value[:limit] for value in values]


def clean(raw: Mapping[str, Any], time_format: str = "iso") -> Cleaned:
    """Make one row of a log fit for every database and every scorer.

    Args:
        raw: by attribute of `Interaction`; unknown keys are left alone, absent ones stay absent.
        time_format: see ``[source] time_format``.

    A missing input or output is an empty text when ``error_type`` tells of a failure (a failed
    request has no answer); otherwise the row is set aside.
    """
    row: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in raw.items():
        if value is None or name not in BY_ATTRIBUTE:
            continue
        kind = BY_ATTRIBUTE[name].kind
        cleaned: Any
        if kind == "text":
            cleaned, reason = _text(name, value)
        elif kind == "instant":
            cleaned = read_time(value, time_format)
            reason = "" if cleaned else "unreadable_time"
        elif kind == "flag":
            cleaned, reason = _flag(value)
        else:
            cleaned, reason = _number(name, kind, value)
        if reason:
            faults.append(Fault(name, reason, digest(value)))
        if cleaned is not None:
            row[name] = cleaned
    return _judged(raw, row, faults)


def _judged(raw: Mapping[str, Any], row: dict[str, Any], faults: list[Fault]) -> Cleaned:
    item_id = row.get("id", "")
    fatal = len(item_id) > ID_LIMIT
    if fatal:
        faults.append(Fault("id", "too_long", digest(item_id)))
    for name in ("id", "at", "input", "output"):
        if row.get(name) or (name in ("input", "output") and name in row):
            continue
        if name in ("input", "output") and row.get("error_type"):
            row[name] = ""
            continue
        fatal = True
        if not any(fault.field == name for fault in faults):
            faults.append(Fault(name, "missing", digest(None)))
    if fatal and (not item_id or len(item_id) > ID_LIMIT):
        item_id = f"sha256:{digest(item_id or sorted((k, str(v)) for k, v in raw.items()))}"
    return Cleaned(item_id, row.get("at"), None if fatal else row, tuple(faults))


def _text(name: str, value: Any) -> tuple[str | None, str]:
    text = value if isinstance(value, str) else _as_text(value)
    scrubbed = scrub(text)
    limit = TEXT_LIMIT if name in TEXT_FIELDS else LABEL_LIMIT
    if len(scrubbed) > limit:
        return scrubbed[:limit], "truncated"
    return scrubbed, "scrubbed" if scrubbed != text else ""


def _as_text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _number(name: str, kind: str, value: Any) -> tuple[int | float | None, str]:
    if isinstance(value, str) and not value.strip():
        return None, ""
    if not isinstance(value, int | float | Decimal | str):
        return None, "not_a_number"
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None, "not_a_number"
    if not math.isfinite(number):
        return None, "not_finite"
    if number < 0 and name not in MAY_BE_NEGATIVE:
        return None, "negative"
    if abs(number) > (INTEGER_LIMIT if kind == "integer" else NUMBER_LIMIT):
        return None, "out_of_range"
    return (round(number) if kind == "integer" else number), ""


def _flag(value: Any) -> tuple[bool | None, str]:
    if isinstance(value, bool):
        return value, ""
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value), ""
    if isinstance(value, str):
        text = value.strip().lower()
        return _FLAGS.get(text), "" if text in _FLAGS or not text else "not_a_flag"
    return None, "not_a_flag"


def digest(value: Any) -> str:
    """sha256 of a value's text."""
    return hashlib.sha256(str(value).encode("utf-8", "surrogatepass")).hexdigest()
