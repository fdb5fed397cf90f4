"""Slices: the whole, and one field at a time (feature, model, prompt version, segment …)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from monitors.context import Context
from monitors.logs.redaction import redact

# Values of one field that are reported; a field with more is no slice but an identifier.
MOST = 50
_LONGEST = 120

Slice = tuple[str, str]
WHOLE: Slice = ("", "")


def fields_in(context: Context, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the configured fields that the log has, in their order."""
    return tuple(name for name in dict.fromkeys(names) if name in context.source.attributes)


def labels(place: Slice, **fixed: str) -> dict[str, str]:
    """The labels of a slice's measurement, harmless: a log may have anything in any field."""
    name, value = place
    return {**fixed, name: label_text(value)} if name else fixed


@lru_cache(maxsize=4_096)
def label_text(value: str) -> str:
    """A field's value as it may be shown."""
    return redact(value).text[:_LONGEST]


def reported(sizes: Mapping[Slice, float]) -> list[Slice]:
    """The whole first, then of each field the largest values, by name; ties by name too.

    Args:
        sizes: rows of each slice.
    """
    by_field: dict[str, list[Slice]] = {}
    for place in sizes:
        by_field.setdefault(place[0], []).append(place)
    chosen: list[Slice] = []
    for name in sorted(by_field):
        largest = sorted(by_field[name], key=lambda place: (-sizes[place], place))[:MOST]
        seen: set[str] = set()
        for place in sorted(largest):
            # Two values may look the same once they are harmless; the larger stands for both.
            if label_text(place[1]) not in seen:
                seen.add(label_text(place[1]))
                chosen.append(place)
    return chosen


def as_text(values: Iterable[object]) -> list[str | None]:
    """A column's values as labels; an empty text is no value."""
    return [None if value is None or value == "" else str(value) for value in values]
