"""The picture below a message: the series with its interval, baseline, threshold and breaches.

It is drawn from what is stored when it is sent, so a message that waited shows the present. Words
in it are cleaned as in messages, and matplotlib reads none of them as a formula.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from alerts.markup import plain
from alerts.messages import Message
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import evaluation, incident
from sql.window import Grain
from sql.words import number

KIND = "trend"
_WINDOWS = 60
_INK, _BAND, _BASE, _LINE, _RED = "#0b4f6c", "#0b4f6c33", "#777777", "#c0392b", "#c0392b22"


@dataclass(frozen=True, slots=True)
class Trend:
    """What is drawn.

    Args:
        history: one series' measurements in their order.
        thresholds: start of a window → where its verdict would have turned.
        breaches: starts of the windows that breached.
    """

    title: str
    unit: str
    history: Sequence[Measurement]
    thresholds: Mapping[datetime, float]
    breaches: frozenset[datetime]


def drawn(store: Store, facts: Mapping[str, Any]) -> Message:
    """The message of a `KIND` intent.

    Raises:
        LookupError: the incident or its measurements are gone.
    """
    trend = read(store, facts)
    shown = [item for item in trend.history if item.value is not None]
    if not shown:
        raise LookupError("no measurements")
    last = shown[-1]
    text = f"{trend.title}: {len(shown)} windows until {last.window.label}, the last "
    return Message(text + number(last.value, trend.unit), [], KIND, facts, picture=png(trend))


def read(store: Store, facts: Mapping[str, Any]) -> Trend:
    """The series of an incident: its last sixty windows.

    Raises:
        LookupError: there is no such incident.
    """
    table = incident.c
    found = store.rows(
        select(table.rule, table.metric, table.labels, table.grain, table.body).where(
            table.fingerprint == facts["fingerprint"], table.generation == facts["generation"]
        )
    )
    if not found:
        raise LookupError("no such incident")
    (row,) = found
    labels = json.loads(row.labels)
    history = store.measurements(metric=row.metric, labels=labels, grain=Grain(row.grain))
    judged = evaluation.c
    rows = store.rows(
        select(judged.window_start, judged.threshold, judged.verdict)
        .where(judged.rule == row.rule, judged.labels == row.labels, judged.grain == row.grain)
        .order_by(judged.version)
    )
    # Of a window that was judged again the last version counts.
    verdicts = {one.window_start: one for one in rows}.values()
    words = " ".join(f"{key}={value}" for key, value in labels.items())
    title = plain(f"{row.body.get('title') or row.rule} · {row.metric} {words}")
    return Trend(
        title if len(title) <= 110 else title[:109] + "…",
        str(row.body.get("unit") or ""),
        history[-_WINDOWS:],
        {one.window_start: one.threshold for one in verdicts if one.threshold is not None},
        frozenset(one.window_start for one in verdicts if one.verdict == "breach"),
    )


def png(trend: Trend) -> bytes:
    """A PNG of 900 by 340 pixels; the same series is always the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _series(axes, trend)
    axes.set_title(trend.title, fontsize=10, loc="left", parse_math=False)
    axes.yaxis.set_major_formatter(lambda value, _place: number(value, trend.unit))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.legend(fontsize=8, frameon=False, ncols=5, loc="upper left", bbox_to_anchor=(0, -0.12))
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font does not have
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def sample() -> bytes:
    """A picture of nothing, to try a place with."""
    return png(Trend("Tidegauge tries this channel", "", (), {}, frozenset()))


def _series(axes: Any, trend: Trend) -> None:
    starts = [_local(item, item.window.start) for item in trend.history]
    ends = [_local(item, item.window.end) for item in trend.history]
    middles = [start + (end - start) / 2 for start, end in zip(starts, ends, strict=True)]
    values = [_or_gap(item.value) for item in trend.history]
    lows = [_or_gap(item.low) for item in trend.history]
    highs = [_or_gap(item.high) for item in trend.history]
    bounds = [_or_gap(trend.thresholds.get(item.window.start)) for item in trend.history]
    wrong = [item.window.start in trend.breaches for item in trend.history]
    name = "breach"
    for start, end, breached in zip(starts, ends, wrong, strict=True):
        if breached:
            axes.axvspan(start, end, color=_RED, linewidth=0, label=name)
            name = "_nolegend_"
    axes.fill_between(middles, lows, highs, color=_BAND, linewidth=0, label="95 % interval")
    axes.plot(middles, values, color=_INK, marker="o", markersize=3, linewidth=1.4, label="value")
    if any(item.baseline is not None for item in trend.history):
        base = [_or_gap(item.baseline) for item in trend.history]
        axes.step(middles, base, where="mid", color=_BASE, linestyle="--", label="baseline")
    if trend.thresholds:
        axes.step(middles, bounds, where="mid", color=_LINE, linestyle=":", label="threshold")


def _local(item: Measurement, instant: datetime) -> datetime:
    return instant.astimezone(ZoneInfo(item.window.zone)).replace(tzinfo=None)


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value
