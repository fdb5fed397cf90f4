"""The columns whose distribution is watched: logged fields, and simple facts about the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monitors.logs.interaction import BY_ATTRIBUTE, Batch
from sql.errors import ConfigurationError

_NUMERIC = ("number", "integer")

# Facts that every log has, whatever else it lacks.
DERIVED: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "input_characters": ("input", len),
    "output_characters": ("output", len),
    "input_question": ("input", lambda text: str("?" in text)),
    "input_url": ("input", lambda text: str("http://" in text or "https://" in text)),
    "input_code": ("input", lambda text: str("```" in text or "def " in text or "};" in text)),
    "input_digits": ("input", lambda text: sum(char.isdigit() for char in text)),
}


def is_numeric(column: str) -> bool:
    """Is the column compared as numbers (else as categories)?

    Raises:
        ConfigurationError: there is no such column.
    """
    if column in DERIVED:
        return column.endswith(("_characters", "_digits"))
    if column not in BY_ATTRIBUTE:
        raise ConfigurationError(
            f"there is no column {column!r}",
            where="[drift] columns",
            mend="name a log field or one of " + ", ".join(DERIVED),
        )
    return BY_ATTRIBUTE[column].kind in _NUMERIC


def values_of(column: str, batch: Batch) -> Sequence[Any] | None:
    """The column's values, None where missing; None when the log does not have it at all."""
    if column in DERIVED:
        field, derive = DERIVED[column]
        return [None if text is None else derive(text) for text in batch[field]]
    if not batch.has([column]):
        return None
    return batch[column]
