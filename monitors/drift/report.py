"""The week's picture: evidently's own report on a capped sample, beside our verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitors.context import Context
from monitors.drift.columns import is_numeric, values_of
from monitors.logs.sampled import read_sample
from monitors.reference import is_reference, reference_days
from sql.window import Window

if TYPE_CHECKING:
    import pandas as pd


def write_report(window: Window, context: Context) -> Path | None:
    """Write ``drift/<window>.html`` below the reports folder.

    The file holds evidently's interactive charts (about 4 MB, no network needed). It is a picture:
    the verdict is the monitor `inputs`', because evidently's default tests take rows as
    independent and a fixed distance as significant at any sample size.

    Returns:
        the file, or None when the week or the reference has no rows to show.
    """
    if is_reference(window, context):
        return None
    rows = context.settings.drift.evidently_rows
    current = _frame([window], context, rows)
    past = _frame(reference_days(context), context, rows)
    shared = [] if current is None or past is None else _shared(past, current)
    if current is None or past is None or not shared:
        return None
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[name for name in shared if is_numeric(name)],
        categorical_columns=[name for name in shared if not is_numeric(name)],
    )
    snapshot = Report([DataDriftPreset()]).run(
        Dataset.from_pandas(current[shared], data_definition=definition),
        Dataset.from_pandas(past[shared], data_definition=definition),
    )
    folder = context.settings.path(context.settings.reports) / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{window}.html"
    snapshot.save_html(str(path))
    return path


def _frame(windows: Sequence[Window], context: Context, rows: int) -> pd.DataFrame | None:
    import pandas as pd

    columns: dict[str, list[Any]] = {name: [] for name in context.settings.drift.columns}
    for window in windows:
        batch = read_sample(window, context).batch
        for name, values in columns.items():
            found = values_of(name, batch) if len(batch) else None
            values.extend([None] * len(batch) if found is None else found)
    frame = pd.DataFrame(columns)
    if frame.empty:
        return None
    return frame.sample(min(rows, len(frame)), random_state=context.settings.drift.seed)


def _shared(past: pd.DataFrame, current: pd.DataFrame) -> list[str]:
    """Columns that both sides have values in; evidently stops at one that is empty."""
    return [
        name for name in past.columns if past[name].notna().any() and current[name].notna().any()
    ]
