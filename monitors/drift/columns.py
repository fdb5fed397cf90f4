"""The columns whose distribution is watched: logged fields, facts about the texts, your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, func

from monitors.drift.language import languages_of
from monitors.logs.interaction import BY_ATTRIBUTE, TEXT_FIELDS, Batch
from monitors.logs.poison import LABEL_LIMIT, scrub_column
from monitors.logs.redaction import redact, suspects
from sql.errors import ConfigurationError
from sql.window import Window

if TYPE_CHECKING:
    from monitors.logs.source import Source

_NUMERIC = ("number", "integer")
_HOUR_US = 3_600_000_000

# What a request that orders something begins with; English, as most prompts of applications are.
_COMMAND = (
    r"(?i)^\s*(/[a-z]|(please |kindly |can you |could you )?(add|analy[sz]e|answer|book|build|"
    r"calculate|cancel|change|check|compare|complete|compute|convert|correct|create|define|delete|"
    r"describe|draft|edit|explain|extract|find|fix|format|generate|give|help|improve|list|look up|"
    r"make|open|order|outline|paraphrase|play|proofread|provide|read|remind|reply|rewrite|schedule|"
    r"send|set|show|solve|sort|start|stop|suggest|summari[sz]e|tell|translate|turn|update|use|"
    r"write)\b)"
)
_CODE = (
    r"```|\bdef \w+\(|\bfunction\b[^\n]*\(|#include|\};|=> ?\{|</\w+>|"
    r"\bimport \w+|(?is)\bselect\b.+\bfrom\b.+(;|\bwhere\b)"
)
_SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Thai"),
    *("Hangul", "Han", "Hiragana", "Katakana"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """What is watched under a name.

    Args:
        numeric: compared as numbers, else as categories.
        reads: the attribute of `Interaction` it is made of; empty for a column of the user's.
        fact: texts → values, where the attribute itself is not the value.
        pushed: the same in SQL, where every database has it: the text then stays where it is.
    """

    name: str
    numeric: bool
    reads: str
    fact: Callable[[pa.Array], pa.Array] | None = None
    pushed: Callable[[ColumnElement[Any]], ColumnElement[Any]] | None = None


def _length(name: str, reads: str) -> Column:
    return Column(
        name,
        True,
        reads,
        # Nothing said is no length: a failed request must not look like a terse one.
        fact=lambda texts: _nullify(pc.utf8_length(texts), 0),
        pushed=lambda column: func.nullif(func.length(column), 0),
    )


def _holds(name: str, pattern: str) -> Column:
    return Column(
        name,
        False,
        "input",
        fact=lambda texts: pc.if_else(pc.match_substring_regex(texts, pattern), "yes", "no"),
    )


def _script(texts: pa.Array) -> pa.Array:
    """The script that most letters are of; "none" without letters, null without a text."""
    letters = pc.match_substring_regex(texts, r"\pL")
    plain = pc.if_else(letters, "Latin", "none")
    rows = np.flatnonzero(pc.fill_null(pc.invert(pc.string_is_ascii(texts)), False))
    if not len(rows):
        return plain
    some = texts.take(pa.array(rows))
    counts = np.stack([pc.count_substring_regex(some, rf"\p{{{name}}}") for name in _SCRIPTS])
    found = np.array([*_SCRIPTS, "other"], dtype=object)[
        np.where(counts.any(axis=0), counts.argmax(axis=0), len(_SCRIPTS))
    ]
    column = np.array(plain.to_pylist(), dtype=object)
    column[rows] = np.where(letters.take(pa.array(rows)), found, "none")
    return pa.array(column, pa.string())


def _personal(texts: pa.Array) -> pa.Array:
    """Does the text hold personal data or a secret, confirmed?"""
    column = texts.to_pylist()
    marks = [None if text is None else "no" for text in column]
    for row in suspects(column):
        marks[row] = "yes" if redact(column[row]).counts else "no"
    return pa.array(marks, pa.string())


def _language(texts: pa.Array) -> pa.Array:
    return pa.array(languages_of(texts.to_pylist()), pa.string())


def _nullify(values: pa.Array, nothing: int) -> pa.Array:
    return pc.if_else(pc.equal(values, nothing), None, values)


HOUR, TURNS, LANGUAGE = "hour", "turns", "input_language"
# Not of each row in one pass: of conversations, and of some rows (`monitors.drift.profiles`).
APART = (TURNS, LANGUAGE)
# Texts and identities: their distribution is people, and has no place in the store.
_REFUSED = ("id", "at", "user_id", "conversation_id", "response_id", "shadow_of", *TEXT_FIELDS)
# Facts that a log has, whatever else it lacks.
FACTS: Mapping[str, Column] = {
    column.name: column
    for column in (
        _length("input_characters", "input"),
        _length("output_characters", "output"),
        _holds("input_question", r"\?"),
        _holds("input_command", _COMMAND),
        _holds("input_code", _CODE),
        _holds("input_url", r"(?i)https?://|\bwww\."),
        _holds("input_number", r"[0-9]"),
        Column("input_script", False, "input", fact=_script),
        Column(LANGUAGE, False, "input", fact=_language),
        Column("input_pii", False, "input", fact=_personal),
        Column(HOUR, False, "at"),
        Column(TURNS, True, "conversation_id"),
    )
}


def watched(names: Sequence[str], source: Source) -> list[Column]:
    """The columns that are configured and that the log can serve.

    Raises:
        ConfigurationError: a name is no field of a log, no fact, and no column of the table; or it
            is one that tells rows or people apart.
    """
    found = []
    for name in dict.fromkeys(names):
        if name in _REFUSED:
            raise ConfigurationError(
                f"{name!r} tells rows or people apart: it has no distribution to watch",
                where="[drift] columns",
                mend="leave it out; of texts, name facts: " + ", ".join(FACTS),
            )
        column = FACTS.get(name)
        if column is None and name in BY_ATTRIBUTE:
            column = Column(name, BY_ATTRIBUTE[name].kind in _NUMERIC, name)
        if column is None:
            found.append(_own(name, source))
        elif column.reads in source.attributes:
            found.append(column)
    return found


def _own(name: str, source: Source) -> Column:
    kind = source.own_kind(name)
    if kind is None:
        raise ConfigurationError(
            f"there is no column {name!r}",
            where="[drift] columns",
            mend="name a log field, a column of the table, or one of " + ", ".join(FACTS),
        )
    return Column(name, kind == "number", "")


def numbers(column: Column, batch: Batch) -> NDArray[np.float64]:
    """A numeric column's values, NaN where missing."""
    if column.name in batch:
        values = np.array(batch[column.name], dtype=np.float64)
    else:
        assert column.fact is not None
        values = column.fact(_texts(batch[column.reads])).to_numpy(zero_copy_only=False)
    values = values.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def categories(column: Column, batch: Batch, window: Window) -> pa.Array:
    """A categorical column's values as texts, null where missing.

    Args:
        window: the day (in whose zone the hour is told).
    """
    if column.name == HOUR:
        return _hours(batch["at"], window)
    if column.fact is not None:
        return column.fact(_texts(batch[column.reads]))
    values = batch[column.name]
    if any(isinstance(value, bool) for value in values[:100]):
        values = [None if value is None else "yes" if value else "no" for value in values]
    return _texts(values if column.reads else scrub_column(values, LABEL_LIMIT))


def _texts(values: Sequence[Any]) -> pa.Array:
    texts = pa.array([value if isinstance(value, str) else None for value in values], pa.string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _hours(instants: Sequence[Any], window: Window) -> pa.Array:
    """The local hour, 00 to 23; a day of 25 hours has one of them twice."""
    zone = ZoneInfo(window.zone)
    names = [
        f"{(window.start + timedelta(hours=number)).astimezone(zone).hour:02d}"
        for number in range(round(window.hours))
    ]
    at = np.array([instant.replace(tzinfo=None) for instant in instants], dtype="datetime64[us]")
    start = np.datetime64(window.start.replace(tzinfo=None), "us")
    places = (at - start).astype(np.int64) // _HOUR_US
    return pa.array(np.array(names, dtype=object)[places.clip(0, len(names) - 1)], pa.string())
