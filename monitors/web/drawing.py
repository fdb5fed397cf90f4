"""Small drawings as SVG coordinates. Templates place them; nothing here writes markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sql.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A series in a box of ``width`` × ``height`` user units, y downwards.

    Args:
        lines: points of the value's line, one text a stretch without gaps.
        bands: polygons of the 95 % intervals, one a stretch.
        baseline: y of the latest baseline, or None.
        last: (x, y) of the latest value, or None.
    """

    width: int
    height: int
    lines: tuple[str, ...]
    bands: tuple[str, ...]
    baseline: float | None
    last: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class IntervalBar:
    """One interval beside its baseline: x positions in a box of ``width`` user units."""

    width: int
    low: float
    high: float
    value: float
    baseline: float | None


def sparkline(history: Sequence[Measurement], width: int = 120, height: int = 28) -> Sparkline:
    """The values of ``history`` (in order, evenly spaced) with their intervals."""
    numbers = [
        number
        for item in history
        for number in (item.value, item.low, item.high)
        if number is not None
    ]
    baseline = next((i.baseline for i in reversed(history) if i.baseline is not None), None)
    if not numbers:
        return Sparkline(width, height, (), (), None, None)
    top = max([*numbers, *([] if baseline is None else [baseline])])
    bottom = min([*numbers, *([] if baseline is None else [baseline])])
    span = (top - bottom) or 1.0
    step = (width - 4) / max(len(history) - 1, 1)

    def y(number: float) -> float:
        return round(2 + (height - 4) * (top - number) / span, 1)

    lines, bands, last = [], [], None
    for stretch in _stretches(history):
        xs = [round(2 + step * place, 1) for place, _ in stretch]
        ys = [y(item.value) for _, item in stretch if item.value is not None]
        lines.append(" ".join(f"{a},{b}" for a, b in zip(xs, ys, strict=True)))
        placed = [(x, item) for x, (_, item) in zip(xs, stretch, strict=True)]
        upper = [(x, y(item.high)) for x, item in placed if item.high is not None]
        lower = [(x, y(item.low)) for x, item in placed if item.low is not None]
        if upper and lower:
            bands.append(" ".join(f"{a},{b}" for a, b in [*upper, *reversed(lower)]))
        last = (xs[-1], ys[-1])
    level = None if baseline is None else y(baseline)
    return Sparkline(width, height, tuple(lines), tuple(bands), level, last)


def interval_bar(item: Measurement, width: int = 90) -> IntervalBar | None:
    """Value, interval and baseline on one scale; None where there is no number."""
    if item.value is None:
        return None
    low = item.value if item.low is None else item.low
    high = item.value if item.high is None else item.high
    known = [low, high, item.value, *([] if item.baseline is None else [item.baseline])]
    bottom, span = min(known), (max(known) - min(known)) or 1.0

    def x(number: float) -> float:
        return round(4 + (width - 8) * (number - bottom) / span, 1)

    level = None if item.baseline is None else x(item.baseline)
    return IntervalBar(width, x(low), x(high), x(item.value), level)


def _stretches(history: Sequence[Measurement]) -> list[list[tuple[int, Measurement]]]:
    """Runs of measurements with a value, each with its place in the history."""
    runs: list[list[tuple[int, Measurement]]] = []
    previous = -2
    for place, item in enumerate(history):
        if item.value is None:
            continue
        if place != previous + 1:
            runs.append([])
        runs[-1].append((place, item))
        previous = place
    return runs
