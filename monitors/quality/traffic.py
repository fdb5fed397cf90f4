"""A day of all rows in numbers: sums by slice from one statement, durations from one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, case, func, select

from monitors.context import Context
from monitors.quality import slices
from monitors.quality.histogram import BINS, Counts, counts_by
from monitors.quality.slices import WHOLE, Slice
from sql.window import Window

# How an answer ends that came to its own end, in the words of the large providers.
FINISHED = ("stop", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call")
AMOUNTS = ("cost_usd", "input_tokens", "output_tokens", "capability_level")
LEVELS = (1, 2, 3, 4, 5)
DURATIONS = (
    "latency_ms",
    "time_to_first_token_ms",
    "preprocess_ms",
    "inference_ms",
    "postprocess_ms",
    "delivery_ms",
    "time_to_task_s",
)
ERROR = "error_type"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the window's rows add up to.

    Args:
        sums: slice → name → sum. Names: ``rows``, ``errors``; ``<flag>`` and ``<flag>_known`` for
            cold_start, finished, fallback; ``<amount>``, ``<amount>_n`` and ``<amount>_squares``;
            ``level_1`` to ``level_5`` for the rows at a capability level.
        errors: kind of error → rows.
    """

    sums: dict[Slice, dict[str, float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def of(self, place: Slice, name: str) -> float:
        return self.sums.get(place, {}).get(name, 0.0)

    def sizes(self) -> dict[Slice, float]:
        return {place: sums["rows"] for place, sums in self.sums.items()}

    def add(self, place: Slice, sums: Mapping[str, float]) -> None:
        mine = self.sums.setdefault(place, {})
        for name, value in sums.items():
            mine[name] = mine.get(name, 0.0) + value


def served(context: Context) -> list[ColumnElement[bool]]:
    """The condition that a user was served: shadow requests are nobody's."""
    if "shadow_of" not in context.source.attributes:
        return []
    column = context.source.column("shadow_of")
    return [column.is_(None) | (column == "")]


def read_traffic(window: Window, context: Context, names: Sequence[str]) -> Traffic:
    """Count and add up in the database, by all slice fields at once, and marginalise here."""
    source = context.source
    keys = [*names, *([ERROR] if ERROR in source.attributes else [])]
    columns = {name: source.column(name) for name in keys}
    wanted = _aggregates(context)
    query = (
        select(
            *(column.label(f"k{place}") for place, column in enumerate(columns.values())),
            *(expression.label(name) for name, expression in wanted.items()),
        )
        .where(*source.within(window), *served(context))
        .group_by(*columns.values())
    )
    traffic = Traffic()
    for part in source.flow(query):
        for row in part:
            values = dict(zip(keys, slices.as_text(row[: len(keys)]), strict=True))
            sums = {
                name: float(value or 0)
                for name, value in zip(wanted, row[len(keys) :], strict=True)
            }
            error = values.pop(ERROR, None)
            if error is not None:
                sums["errors"] = sums["rows"]
                traffic.errors[error] += int(sums["rows"])
            for place in (WHOLE, *((n, v) for n, v in values.items() if v is not None)):
                traffic.add(place, sums)
    return traffic


def _aggregates(context: Context) -> dict[str, ColumnElement[Any]]:
    source = context.source
    found: dict[str, ColumnElement[Any]] = {"rows": func.count()}

    def share(name: str, column: ColumnElement[Any], holds: ColumnElement[bool]) -> None:
        found[f"{name}_known"] = func.count(column)
        found[name] = func.sum(case((holds, 1), else_=0))

    if "cold_start" in source.attributes:
        flag = source.column("cold_start")
        share("cold_start", flag, flag.is_(True))
    if "finish_reason" in source.attributes:
        reason = source.column("finish_reason")
        share("finished", reason, reason.in_(FINISHED))
    if "fallback_level" in source.attributes:
        level = source.column("fallback_level")
        share("fallback", level, level.not_in(("none", "")))
    if "capability_level" in source.attributes:
        level = source.column("capability_level")
        for number in LEVELS:
            found[f"level_{number}"] = func.sum(case((level == number, 1), else_=0))
    for name in AMOUNTS:
        if name in source.attributes:
            amount = source.column(name) * 1.0
            found[name] = func.sum(amount)
            found[f"{name}_n"] = func.count(amount)
            found[f"{name}_squares"] = func.sum(amount * amount)
    return found


# ── durations ────────────────────────────────────────────────────────────────────────────────


def read_durations(
    window: Window, context: Context, places: Sequence[Slice]
) -> dict[str, dict[Slice, Counts]]:
    """Duration → slice → histogram in its own unit, of warm requests that went well.

    One pass over the numbers of all rows; memory depends on slices, not on rows. Cold starts and
    failures are counted elsewhere: they answer other questions. What the user took for the task
    counts whenever the log tells it.
    """
    source = context.source
    measured = [name for name in DURATIONS if name in source.attributes]
    names = sorted({name for name, _ in places if name})
    aside = [n for n in (ERROR, "cold_start", "shadow_of") if n in source.attributes]
    groups = {name: [value for key, value in places if key == name] for name in names}
    found = {
        duration: {place: np.zeros(BINS, dtype=np.int64) for place in places}
        for duration in measured
    }
    if not measured:
        return found
    for batch in source.stream(window, [*measured, *names, *aside]):
        flags = {name: np.array([bool(v) for v in batch[name]], dtype=bool) for name in aside}
        shadow = flags.pop("shadow_of", np.zeros(len(batch), dtype=bool))
        special = np.logical_or.reduce([shadow, *flags.values()])
        codes = {name: _codes(batch[name], groups[name], ~shadow) for name in names}
        whole = np.where(shadow, -1, 0).astype(np.intp)
        for duration in measured:
            values = np.array(batch[duration], dtype=np.float64)
            if duration != "time_to_task_s":
                values[special] = np.nan
            found[duration][WHOLE] += counts_by(whole, values, 1)[0]
            for name in names:
                counts = counts_by(codes[name], values, len(groups[name]))
                for value, row in zip(groups[name], counts, strict=True):
                    found[duration][name, value] += row
    return found


def _codes(
    values: Sequence[Any], known: Sequence[str], counted: NDArray[np.bool_]
) -> NDArray[np.intp]:
    place: dict[str | None, int] = {value: code for code, value in enumerate(known)}
    codes = np.array([place.get(value, -1) for value in slices.as_text(values)], dtype=np.intp)
    return np.where(counted, codes, -1)
