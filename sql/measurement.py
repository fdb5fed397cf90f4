"""The one currency: what a monitor says of a window, with its uncertainty."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from sql.window import Window


class Status(StrEnum):
    """What became of the attempt to measure.

    ``INSUFFICIENT`` (too few rows), ``NO_DATA`` (an empty window) and ``ERROR`` neither open nor
    close an incident about the thing measured; they are findings about the monitoring itself.
    """

    COMPLETE = "complete"
    PARTIAL = "partial"
    INSUFFICIENT = "insufficient"
    NO_DATA = "no_data"
    ERROR = "error"


_NUMBERS = ("value", "low", "high", "baseline", "evidence", "detectable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One statistic of one slice in one window.

    Args:
        monitor: who measured.
        metric: what, in the metric catalogue's words, for example ``safety.pass_rate``.
        labels: the slice (feature, model, prompt_version, segment, column, …); never a version
            of a scorer, or each release would be a new incident.
        window: when.
        value: the estimate, in ``unit``; None unless there was data.
        low, high: a 95 % interval around it.
        n: rows that the estimate rests on.
        baseline: what the value is compared with, same unit.
        evidence: against "nothing changed", on the scale that ``method`` names: a log e-value
            (natural logarithm, > 0 speaks for a change) or a p-value.
        detectable: the smallest change that this window would have shown with 80 % power.
        method: how value, interval and evidence were had, for a statistician.
        status, reason: see `Status`; a reason is a code, never a text of a user or a model.
        unit: ``ratio``, ``ms``, ``usd``, ``tokens``, ``count``, ``nats`` …

    Raises:
        ValueError: a number is NaN or infinite, a status and its numbers contradict each other.
    """

    monitor: str
    metric: str
    window: Window
    n: int
    labels: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    evidence: float | None = None
    detectable: float | None = None
    method: str = ""
    status: Status = Status.COMPLETE
    reason: str = ""
    unit: str = "ratio"

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            number = getattr(self, name)
            if number is None:
                continue
            if not math.isfinite(number):
                raise ValueError(f"{self.metric}: {name} is not a finite number")
            object.__setattr__(self, name, float(number))
        if self.n < 0:
            raise ValueError(f"{self.metric}: n is negative")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.metric}: the interval is upside down")
        has_number = self.value is not None
        if self.status in (Status.COMPLETE, Status.PARTIAL) and not has_number:
            raise ValueError(f"{self.metric}: status {self.status} without a value")
        if self.status in (Status.NO_DATA, Status.ERROR) and has_number:
            raise ValueError(f"{self.metric}: status {self.status} with a value")
        if has_number and self.n == 0:
            raise ValueError(f"{self.metric}: a number without data")
        clean = {str(key): str(value) for key, value in sorted(self.labels.items())}
        object.__setattr__(self, "labels", MappingProxyType(clean))

    @property
    def labels_key(self) -> str:
        """Canonical JSON of the labels: the same slice always has the same text."""
        return labels_key(self.labels)


def unmeasured(
    monitor: str,
    metric: str,
    window: Window,
    status: Status,
    reason: str,
    *,
    labels: Mapping[str, str] = MappingProxyType({}),
    n: int = 0,
    unit: str = "ratio",
) -> Measurement:
    """That there is no number of ``metric``, and why.

    Args:
        status: `Status.INSUFFICIENT`, `Status.NO_DATA` or `Status.ERROR`.
        reason: a code.
        n: rows that were too few.
    """
    return Measurement(
        monitor=monitor,
        metric=metric,
        labels=labels,
        window=window,
        n=n,
        status=status,
        reason=reason,
        unit=unit,
    )


def labels_key(labels: Mapping[str, str]) -> str:
    """Canonical JSON of the labels: the same slice always has the same text."""
    return json.dumps(dict(labels), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
