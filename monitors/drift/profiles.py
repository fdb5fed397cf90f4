"""A day of all rows as sketches, by column and slice: read once, kept, and added up ever after.

The log is streamed in one pass; whatever the database can compute (lengths of texts, turns of a
conversation) is computed there, so that those texts do not travel.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Row, delete, func, select

from monitors.context import Context
from monitors.drift.columns import APART, LANGUAGE, TURNS, Column, categories, numbers, watched
from monitors.drift.sketches import COARSE, FINE, KINDS, Categories, Numbers, Sketch
from monitors.logs.interaction import Batch
from monitors.quality import slices
from monitors.quality.slices import WHOLE, Slice
from monitors.quality.traffic import served
from sql.tables import drift_reference, profile
from sql.types import canonical_json
from sql.window import Window

# Raised whenever a fact or a sketch is made otherwise than before.
_VERSION = 1
_MARK = ""
# Of a day whose language is told: a second's work, and shares that are right to half a point.
LANGUAGE_ROWS = 20_000

Codes = Mapping[str, tuple[Sequence[str], NDArray[np.intp]]]


class Day:
    """The sketches of a day under construction."""

    def __init__(self, columns: Iterable[Column], rows: int) -> None:
        self.columns = {column.name: column for column in columns}
        self.sketches: dict[tuple[str, Slice], Sketch] = {}
        self.rows = rows
        for name in self.columns:
            self.at(name, WHOLE)

    def at(self, name: str, place: Slice) -> Any:
        if (name, place) not in self.sketches:
            made = Numbers(FINE if place == WHOLE else COARSE)
            self.sketches[name, place] = made if self.columns[name].numeric else Categories()
        return self.sketches[name, place]

    def add_numbers(self, name: str, values: NDArray[np.float64], codes: Codes) -> None:
        self.at(name, WHOLE).add(values)
        for field, (known, places) in codes.items():
            for code, value in enumerate(known):
                members = values[places == code]
                if len(members):
                    self.at(name, (field, value)).add(members)

    def add_categories(self, name: str, values: Any, codes: Codes) -> None:
        encoded = pc.dictionary_encode(values)
        labels = [slices.label_text(label) for label in encoded.dictionary.to_pylist()]
        indices = encoded.indices.fill_null(len(labels)).to_numpy(zero_copy_only=False)
        width = len(labels) + 1

        def counted(place: Slice, counts: NDArray[np.intp]) -> None:
            found: dict[str, int] = {}
            for label, count in zip(labels, counts[:-1].tolist(), strict=True):
                if count:
                    found[label] = found.get(label, 0) + count
            self.at(name, place).add(found, int(counts[-1]))

        counted(WHOLE, np.bincount(indices, minlength=width))
        for field, (known, places) in codes.items():
            inside = places >= 0
            flat = places[inside] * width + indices[inside]
            table = np.bincount(flat, minlength=len(known) * width).reshape(-1, width)
            for value, counts in zip(known, table, strict=True):
                if counts.any():
                    counted((field, value), counts)


# ── building ─────────────────────────────────────────────────────────────────────────────────


def profile_day(window: Window, context: Context) -> dict[str, int | float | str]:
    """Read a day of the log and keep its profile, in memory that does not grow with its rows.

    Nothing is read when the profile stands there for as many rows, made in the same way, or when
    the day belongs to a pinned reference: late rows must not move it. Shadow requests are
    nobody's, and not counted.

    Returns:
        how many rows the profile is of, and of how many columns.

    Raises:
        ConfigurationError: a column of ``[drift] columns`` does not exist.
    """
    fields = slices.fields_in(context, context.settings.drift.slices)
    columns = watched(context.settings.drift.columns, context.source)
    recipes = {column.name: _recipe(column, fields, context) for column in columns}
    groups = {name: context.source.count_by(window, [name], *served(context)) for name in fields}
    total = context.source.count_by(window, [], *served(context)).get((), 0)
    facts: dict[str, int | float | str] = {"rows": total, "columns": len(columns)}
    kept = _kept([window], context)[window]
    stands = kept.get(_MARK, ("", -1))[1]
    anew = stands < 0 or (stands != total and not is_frozen(window, context))
    if not anew:
        # What stands stays: sketched again its coins would fall otherwise.
        columns = [c for c in columns if kept.get(c.name, ("", 0))[0] != recipes[c.name]]
        if not columns:
            return facts
    day = Day(columns, total if anew else stands)
    for batch, codes in _read(window, context, day, groups):
        for column in columns:
            if column.name in APART:
                continue
            if column.numeric:
                day.add_numbers(column.name, numbers(column, batch), codes)
            else:
                day.add_categories(column.name, categories(column, batch, window), codes)
    if TURNS in day.columns:
        _add_turns(window, context, day, {name: _reported(groups[name]) for name in fields})
    if LANGUAGE in day.columns:
        _add_languages(window, context, day, groups)
    _keep(window, context, day, recipes, anew=anew)
    return facts


def _read(
    window: Window, context: Context, day: Day, groups: Mapping[str, Mapping[Any, int]]
) -> Iterator[tuple[Batch, Codes]]:
    """Batches with the columns' raw material, and each row's place in every slice."""
    source, columns = context.source, [c for c in day.columns.values() if c.name not in APART]
    # A text that some fact must see travels anyway; else its length is computed where it lies.
    moved = {column.reads for column in columns if column.fact and not column.pushed}
    extra: dict[str, ColumnElement[Any]] = {}
    attributes = list(groups)
    for column in columns:
        if not column.reads:
            extra[column.name] = source.own_column(column.name)
        elif column.pushed and column.reads not in moved:
            extra[column.name] = column.pushed(source.column(column.reads))
        else:
            attributes.append(column.reads)
    known = {name: _reported(sizes) for name, sizes in groups.items()}
    if not (attributes or extra):
        return
    names = list(dict.fromkeys(attributes))
    for batch in source.stream(window, names, extra=extra, conditions=served(context)):
        yield batch, {name: (known[name], _codes(batch[name], known[name])) for name in groups}


def _reported(sizes: Mapping[Any, int]) -> list[str]:
    texts = [(slices.as_text(value)[0], count) for value, count in sizes.items()]
    places = {("", text): float(count) for text, count in texts if text is not None}
    return [value for _, value in slices.reported(places)]


def _codes(values: Sequence[Any], known: Sequence[str]) -> NDArray[np.intp]:
    place: dict[str | None, int] = {value: code for code, value in enumerate(known)}
    return np.array([place.get(value, -1) for value in slices.as_text(values)], dtype=np.intp)


def _add_turns(
    window: Window, context: Context, day: Day, known: Mapping[str, Sequence[str]]
) -> None:
    """How many requests each conversation has on the day, counted by the database."""
    source = context.source
    conversation = source.column("conversation_id")
    for field in ("", *known):
        keys = [source.column(field).label("value")] if field else []
        single = (
            select(func.count().label("turns"), *keys)
            .where(*source.within(window), *served(context), conversation.is_not(None))
            .group_by(conversation, *keys)
            .subquery()
        )
        values = [single.c.value] if field else []
        query = select(single.c.turns, func.count(), *values).group_by(single.c.turns, *values)
        for turns, count, *value in source.rows(query):
            text = slices.as_text(value)[0] if field else ""
            if text is not None and (not field or text in known[field]):
                place = (field, text) if field else WHOLE
                day.at(TURNS, place).add(np.full(count, float(turns)))


def _add_languages(
    window: Window, context: Context, day: Day, groups: Mapping[str, Mapping[Any, int]]
) -> None:
    """The languages of about `LANGUAGE_ROWS` rows, chosen by the hash of their ids: to tell one
    takes as long as all else that is told of a row, and more."""
    column, known = day.columns[LANGUAGE], {name: _reported(groups[name]) for name in groups}
    shards = max(math.ceil(day.rows / LANGUAGE_ROWS), 1)
    names = [*groups, column.reads]
    conditions = served(context)
    for batch in context.source.stream(window, names, shards=shards, conditions=conditions):
        codes = {name: (known[name], _codes(batch[name], known[name])) for name in groups}
        day.add_categories(LANGUAGE, categories(column, batch, window), codes)


# ── keeping ──────────────────────────────────────────────────────────────────────────────────


def _recipe(column: Column, fields: Sequence[str], context: Context) -> str:
    made = [_VERSION, column.name, column.numeric, column.reads, fields, context.settings.timezone]
    return hashlib.sha256(canonical_json(made).encode()).hexdigest()[:16]


def _keep(
    window: Window, context: Context, day: Day, recipes: Mapping[str, str], *, anew: bool = True
) -> None:
    """Replace the day's profile, or (not ``anew``) these columns' part of it, at once."""
    fixed = {
        "source": context.source.name,
        "window_start": window.start,
        "finished_at": context.clock(),
    }
    mark = {"name": _MARK, "field": "", "value": "", "kind": "", "recipe": "", "rows": day.rows}
    records = [{**fixed, **mark, "missing": 0, "total": 0.0, "squares": 0.0, "body": b""}]
    for (name, (field, value)), sketch in day.sketches.items():
        records.append(
            {
                **fixed,
                "name": name,
                "field": field,
                "value": slices.label_text(value),
                "kind": sketch.kind,
                "recipe": recipes[name],
                "rows": sketch.rows,
                "missing": sketch.missing,
                "total": sketch.total,
                "squares": sketch.squares,
                "body": sketch.body(),
            }
        )
    table = profile.c
    old = [table.source == context.source.name, table.window_start == window.start]
    if not anew:
        old.append(table.name.in_(list(day.columns)))
    with context.store.begin() as connection:
        connection.execute(delete(profile).where(*old))
        context.store.upsert(connection, profile, records)


def _kept(days: Sequence[Window], context: Context) -> dict[Window, dict[str, tuple[str, int]]]:
    """By day, the columns that have a profile: how it was made and of how many rows."""
    table = profile.c
    query = select(table.window_start, table.name, table.recipe, table.rows).where(
        table.source == context.source.name,
        table.window_start.in_([day.start for day in days]),
        table.field == "",
    )
    found: dict[Any, dict[str, tuple[str, int]]] = {day.start: {} for day in days}
    for row in context.store.rows(query):
        found[row.window_start][row.name] = (row.recipe, row.rows)
    return {day: found[day.start] for day in days}


def _is_current(kept: Mapping[str, tuple[str, int]], recipes: Mapping[str, str]) -> bool:
    return all(kept.get(name, ("", 0))[0] == recipe for name, recipe in recipes.items())


def is_frozen(window: Window, context: Context) -> bool:
    """Is the day part of a reference that stands, so that its profile must not change?"""
    table = drift_reference.c
    query = select(table.digest).where(
        table.source == context.source.name,
        table.window_start <= window.start,
        table.window_end >= window.end,
        table.approved_at.is_not(None),
    )
    return bool(context.store.rows(query.limit(1)))


def fingerprints(days: Sequence[Window], context: Context) -> dict[str, str]:
    """By configured column and recipe, the sha256 of all that is kept of it for these days."""
    fields = slices.fields_in(context, context.settings.drift.slices)
    found = {}
    for column in watched(context.settings.drift.columns, context.source):
        digest = hashlib.sha256()
        for row in _rows(column.name, days, context):
            numbers_ = [row.rows, row.missing, row.total, row.squares, row.kind, row.recipe]
            place = [row.window_start.isoformat(), row.field, row.value]
            digest.update(canonical_json([*place, *numbers_]).encode())
            digest.update(row.body)
        found[f"{column.name} {_recipe(column, fields, context)}"] = digest.hexdigest()
    return found


def _rows(name: str, days: Sequence[Window], context: Context) -> Sequence[Row[Any]]:
    table = profile.c
    query = select(profile).where(
        table.source == context.source.name,
        table.name == name,
        table.window_start.in_([day.start for day in days]),
    )
    return context.store.rows(query.order_by(table.window_start, table.field, table.value))


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def ensure(days: Sequence[Window], context: Context) -> None:
    """Profile the days that have no profile, or an outdated one; usually there is none to do."""
    fields = slices.fields_in(context, context.settings.drift.slices)
    columns = watched(context.settings.drift.columns, context.source)
    recipes = {column.name: _recipe(column, fields, context) for column in columns}
    for day, kept in _kept(days, context).items():
        if _MARK not in kept or not _is_current(kept, recipes):
            profile_day(day, context)


def rows_of(days: Sequence[Window], context: Context) -> int:
    """Rows of the log that the profiles of these days are of."""
    return sum(kept.get(_MARK, ("", 0))[1] for kept in _kept(days, context).values())


def read(column: Column, days: Sequence[Window], context: Context) -> dict[Slice, list[Sketch]]:
    """By slice, the sketches of one column: a day each, in order, those without values left out."""
    kind = Numbers.kind if column.numeric else Categories.kind
    found: dict[Slice, list[Sketch]] = {}
    for row in _rows(column.name, days, context):
        if row.kind == kind and row.rows:
            moments = (row.total, row.squares)
            sketch = KINDS[kind].of(row.rows, row.missing, moments, row.body)
            found.setdefault((row.field, row.value), []).append(sketch)
    return found
