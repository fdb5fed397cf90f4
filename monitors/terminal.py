"""How results look in a terminal: tables for people, JSON lines for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sql.measurement import Measurement
from sql.words import between, number

# In a file or a pipe a table is not folded to the width of a terminal that is not there.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
out = Console(highlight=False, width=_WIDTH)
err = Console(stderr=True, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; cells are shown as they are, never read as markup."""
    grid = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for column in columns:
        grid.add_column(column, overflow="fold", no_wrap=column in ("window", "metric", "id"))
    for row in rows:
        grid.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    out.print(grid)


def bar() -> Progress:
    """A bar with numbers and time; gone when it is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


def json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        out.print(
            json.dumps(dict(row), default=str, ensure_ascii=False), markup=False, soft_wrap=True
        )


def measurement_row(item: Measurement) -> list[object]:
    """The cells of a measurement in a table for people."""
    labels = " ".join(f"{key}={value}" for key, value in item.labels.items())
    return [
        item.window,
        item.metric,
        labels,
        number(item.value, item.unit),
        between(item.low, item.high, item.unit),
        number(item.baseline, item.unit),
        item.n,
        item.status.value + (f" ({item.reason})" if item.reason else ""),
    ]


def measurement_record(item: Measurement) -> dict[str, Any]:
    """All of a measurement for a machine; instants and windows as texts."""
    return {
        "window": str(item.window),
        "monitor": item.monitor,
        "metric": item.metric,
        "labels": dict(item.labels),
        "value": item.value,
        "low": item.low,
        "high": item.high,
        "n": item.n,
        "baseline": item.baseline,
        "evidence": item.evidence,
        "detectable": item.detectable,
        "unit": item.unit,
        "method": item.method,
        "status": item.status.value,
        "reason": item.reason,
    }
