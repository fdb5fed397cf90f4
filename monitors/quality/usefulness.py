"""Did the answer help? What users did with it, as the log tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.scorer import PASS, Layer, Score, scorer


def _flags(values: Sequence[Any], good: bool, silent: str) -> list[Score]:
    """Pass where the flag is ``good``; a user who said nothing is no verdict."""
    return [
        Score(None, silent) if value is None else PASS if bool(value) is good else Score(0.0)
        for value in values
    ]


@scorer(name="accepted", version="1", layer=Layer.USEFULNESS, needs=("accepted",))
def accepted(batch: Batch, _context: Context) -> Sequence[Score]:
    """The user took the answer."""
    return _flags(batch["accepted"], True, "no_feedback")


@scorer(name="not_regenerated", version="1", layer=Layer.USEFULNESS, needs=("regenerated",))
def not_regenerated(batch: Batch, _context: Context) -> Sequence[Score]:
    """The user did not ask for another answer."""
    return _flags(batch["regenerated"], False, "no_feedback")


@scorer(name="edit_distance", version="1", layer=Layer.USEFULNESS, needs=("edit_distance",))
def edit_distance(batch: Batch, _context: Context) -> Sequence[Score]:
    """How much of the answer the user kept: 1 − the share that was edited."""
    return [
        Score(None, "no_feedback") if value is None else Score(1 - min(max(value, 0.0), 1.0))
        for value in batch["edit_distance"]
    ]


@scorer(name="task_completed", version="1", layer=Layer.USEFULNESS, needs=("task_completed",))
def task_completed(batch: Batch, _context: Context) -> Sequence[Score]:
    """The user finished the task for which the answer was wanted."""
    return _flags(batch["task_completed"], True, "no_feedback")
