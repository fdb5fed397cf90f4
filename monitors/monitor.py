"""A monitor: a named function that turns one window into measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sql.measurement import Measurement
from sql.window import Grain, Window

if TYPE_CHECKING:
    from monitors.context import Context

MeasureFunction = Callable[[Window, "Context"], Iterable[Measurement]]

JOB_BY_GRAIN = {
    Grain.DAY: "daily_quality",
    Grain.WEEK: "weekly_drift",
    Grain.MONTH: "monthly_review",
    Grain.QUARTER: "quarterly_evaluation",
}


@dataclass(frozen=True, slots=True)
class Monitor:
    """What `monitor` makes of a function.

    Args:
        name: stands in every measurement it makes.
        grain: the windows it is given.
        job: the scheduled job that runs it.
    """

    name: str
    grain: Grain
    job: str
    function: MeasureFunction
    doc: str

    def measure(self, window: Window, context: Context) -> list[Measurement]:
        """All measurements of the window; at least one, if only to say why there is no number.

        Raises:
            ValueError: the window is of another grain.
        """
        if window.grain is not self.grain:
            raise ValueError(f"{self.name} measures a {self.grain}, not a {window.grain}")
        return list(self.function(window, context))


def monitor(
    *, name: str, grain: Grain, job: str | None = None
) -> Callable[[MeasureFunction], Monitor]:
    """Declare a monitor; list it in the configuration as ``use = "module:attribute"``."""

    def declare(function: MeasureFunction) -> Monitor:
        doc = (function.__doc__ or "").strip()
        return Monitor(name, grain, job or JOB_BY_GRAIN[grain], function, doc)

    return declare
