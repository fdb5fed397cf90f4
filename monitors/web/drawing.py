"""Small drawings as SVG coordinates. Templates place them; nothing here writes markup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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


@dataclass(frozen=True, slots=True)
class Axis:
    """Instants from left to right, the same for all charts of a page.

    Args:
        months: (x, name) of each month's first day.
    """

    start: datetime
    end: datetime
    left: float
    right: float
    months: tuple[tuple[float, str], ...] = ()

    def x(self, instant: datetime) -> float:
        share = (instant - self.start) / (self.end - self.start)
        return round(self.left + (self.right - self.left) * min(max(share, 0.0), 1.0), 1)


@dataclass(frozen=True, slots=True)
class Chart:
    """A series over time with its scale.

    Args:
        points: points of the value's line, one text a stretch without gaps.
        dots: (x, y) of stretches that are a single window.
        bands: polygons of the 95 % intervals.
        baseline: points of the baseline's steps.
        ticks: (y, value) of the scale.
        breaches: (x, width) of the windows in which an incident was open.
    """

    width: int
    height: int
    points: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    bands: tuple[str, ...]
    baseline: tuple[str, ...]
    ticks: tuple[tuple[float, float], ...]
    breaches: tuple[tuple[float, float], ...]


_TOP, _BOTTOM = 8, 20


def chart(
    history: Sequence[Measurement],
    axis: Axis,
    height: int = 130,
    breaches: Sequence[tuple[datetime, datetime]] = (),
) -> Chart:
    """The values of ``history`` (in order) with intervals, baseline and open incidents."""
    scale = ticks(history)
    bottom, top = min(scale), max(scale)
    span = (top - bottom) or 1.0

    def y(number: float) -> float:
        place = _TOP + (height - _TOP - _BOTTOM) * (top - number) / span
        return round(min(max(place, 0.0), float(height)), 1)

    def x(item: Measurement) -> float:
        return axis.x(item.window.start + (item.window.end - item.window.start) / 2)

    points, dots, bands = [], [], []
    for stretch in _stretches(history):
        items = [item for _, item in stretch]
        points.append(" ".join(f"{x(i)},{y(i.value)}" for i in items if i.value is not None))
        if len(items) == 1 and items[0].value is not None:
            dots.append((x(items[0]), y(items[0].value)))
        known = [i for i in items if i.low is not None and i.high is not None]
        upper = [f"{x(i)},{y(i.high)}" for i in known if i.high is not None]
        lower = [f"{x(i)},{y(i.low)}" for i in reversed(known) if i.low is not None]
        bands.append(" ".join([*upper, *lower]))
    return Chart(
        round(axis.right),
        height,
        tuple(points),
        tuple(dots),
        tuple(filter(None, bands)),
        _steps(
            [
                (axis.x(i.window.start), axis.x(i.window.end), y(i.baseline))
                for i in history
                if i.baseline is not None
            ]
        ),
        tuple((y(value), value) for value in scale),
        tuple((axis.x(a), round(axis.x(b) - axis.x(a), 1)) for a, b in breaches),
    )


def _steps(levels: Sequence[tuple[float, float, float]]) -> tuple[str, ...]:
    """Lines through (left, right, y), broken where windows do not touch."""
    lines: list[list[str]] = []
    end = None
    for left, right, y in levels:
        if end is None or abs(left - end) > 0.2:
            lines.append([])
        lines[-1] += [f"{left},{y}", f"{right},{y}"]
        end = right
    return tuple(" ".join(line) for line in lines)


def ticks(history: Sequence[Measurement], count: int = 3) -> list[float]:
    """About ``count`` round numbers that span the values, intervals and baselines."""
    numbers = [
        number
        for item in history
        for number in (item.value, item.low, item.high, item.baseline)
        if number is not None
    ]
    if not numbers:
        return [0.0, 1.0]
    low, high = min(numbers), max(numbers)
    if high - low < 1e-9 * max(abs(high), 1.0):
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * place, 12) for place in range(first, last + 1)]


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
