"""Evidently's own look at the week: its charts, its verdicts, and its workspace."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitors.context import Context
from monitors.drift.columns import TURNS, Column, categories, numbers, watched
from monitors.logs.sampled import read_sample
from sql.window import Window

if TYPE_CHECKING:
    import pandas as pd

PROJECT, FOLDER = "Tidegauge", "evidently"
_TEXTS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What evidently says of a column: its default test's score, and whether that is drift."""

    method: str
    score: float
    threshold: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Evidently's page, its opinion of each column, and how many rows it saw of each side."""

    html: str
    opinions: Mapping[str, Opinion]
    reference_rows: int
    rows: int


def picture(window: Window, past: Sequence[Window], context: Context) -> Picture | None:
    """Run evidently's `DataDriftPreset` as it comes on at most ``[drift] evidently_rows`` sampled
    rows a side, and save the run to the workspace below the reports folder.

    It also gets what its descriptors make of the redacted texts (none of them needs a download);
    the texts themselves stay out of the page and of the workspace.

    Returns:
        None when a side has no rows, or no column has values on both.
    """
    # The sample holds fields and texts; conversations and columns of your own are not in it.
    named = watched(context.settings.drift.columns, context.source)
    columns = [column for column in named if column.reads and column.name != TURNS]
    week, before = (_frame(days, columns, context) for days in (window.days(), past))
    if week is None or before is None:
        return None
    # Evidently stops at a column that is empty on one side.
    shared = [name for name in before if before[name].notna().any() and week[name].notna().any()]
    if not shared:
        return None
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import Report
    from evidently.presets import DataDriftPreset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides by zero where a category is new
        snapshot = Report([DataDriftPreset()], include_tests=True).run(
            dataset(week[shared]),
            dataset(before[shared]),
            timestamp=window.end,
            name=str(window),
        )
        html = snapshot.get_html_str(as_iframe=False)
    _save(snapshot, context.settings.path(context.settings.reports) / FOLDER, str(window))
    return Picture(html, opinions(snapshot.dict()), len(before), len(week))


def _frame(
    days: Sequence[Window], columns: Sequence[Column], context: Context
) -> pd.DataFrame | None:
    import pandas as pd

    found: dict[str, list[Any]] = {name: [] for name in (*(c.name for c in columns), *_TEXTS)}
    for day in days:
        batch = read_sample(day, context).batch
        for column in columns:
            if not len(batch) or column.reads not in batch:
                found[column.name].extend([None] * len(batch))
            elif column.numeric:
                found[column.name].extend(numbers(column, batch).tolist())
            else:
                found[column.name].extend(categories(column, batch, day).to_pylist())
        for name in _TEXTS:
            found[name].extend(batch[name] if len(batch) else [])
    frame = pd.DataFrame(found)
    if frame.empty:
        return None
    rows = context.settings.drift.evidently_rows
    frame = frame.sample(min(rows, len(frame)), random_state=context.settings.drift.seed)
    return _described(frame)


def _described(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with evidently's descriptors in the place of the texts."""
    import pandas as pd
    from evidently import DataDefinition, Dataset
    from evidently.descriptors import (
        ContainsLink,
        NonLetterCharacterPercentage,
        SentenceCount,
        WordCount,
    )

    made = [WordCount, SentenceCount, NonLetterCharacterPercentage, ContainsLink]
    names = ["words", "sentences", "other than letters, %", "link"]
    texts = frame[list(_TEXTS)].fillna("")
    known = [name for name in _TEXTS if texts[name].any()]
    # Evidently divides by a text's length; what it says of a text that is not there goes again.
    blank = texts == ""
    texts = texts.mask(blank, " ")
    if known:
        described = Dataset.from_pandas(
            texts[known],
            data_definition=DataDefinition(text_columns=known),
            descriptors=[
                descriptor(text, alias=f"{text}: {name}")
                for text in known
                for descriptor, name in zip(made, names, strict=True)
            ],
        ).as_dataframe()
        for name in described.columns.difference(known):
            values = described[name]
            said = values.astype(str) if values.dtype == bool else values
            none = blank[name.partition(": ")[0]].to_numpy()
            frame[name] = pd.Series(said.to_numpy(), index=frame.index).mask(none)
    return frame.drop(columns=list(_TEXTS))


def dataset(frame: pd.DataFrame) -> Any:
    """The frame as evidently takes it: numbers, and all else as categories."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    numeric = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    definition = DataDefinition(
        numerical_columns=numeric,
        categorical_columns=[name for name in frame if name not in numeric],
    )
    return Dataset.from_pandas(frame, data_definition=definition)


def opinions(run: Mapping[str, Any]) -> dict[str, Opinion]:
    """By column; ``run`` is the ``dict()`` of a snapshot of a report with tests."""
    failed = {
        test["metric_config"]["params"].get("column")
        for test in run["tests"]
        if str(test["status"]).endswith("FAIL")
    }
    found = {}
    for metric in run["metrics"]:
        config = metric["config"]
        if "column" in config:
            name = str(config["column"])
            score, threshold = float(metric["value"]), float(config["threshold"])
            found[name] = Opinion(str(config["method"]), score, threshold, name in failed)
    return found


def _save(snapshot: Any, folder: Path, name: str) -> None:
    """Keep the run, once a week however often it is made: ``evidently ui --workspace FOLDER``."""
    from evidently.ui.workspace import Workspace

    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace.create(str(folder))
    known = workspace.search_project(PROJECT)
    project = known[0] if known else workspace.create_project(PROJECT)
    for run in workspace.list_runs(project.id):
        if workspace.get_run(project.id, run).name == name:
            workspace.delete_run(project.id, run)
    workspace.add_run(project.id, snapshot, include_data=False)
