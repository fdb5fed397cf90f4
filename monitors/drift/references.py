"""What a week is compared with: the pinned healthy past, and the season before the week."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from monitors.context import Context
from monitors.drift.pinned import complaint_about, pinned_before
from monitors.statistics.seasonal import MINIMUM_WEEKS, WEEKS
from sql.window import Grain, Window

log = logging.getLogger("tidegauge")

PINNED, SEASONAL = "pinned", "seasonal"


@dataclass(frozen=True, slots=True)
class Reference:
    """Days to compare with.

    Args:
        lacks: why there is no comparison, as a code; empty when there is one.
        refused: it was changed since it was taken.
    """

    name: str
    days: tuple[Window, ...]
    lacks: str = ""
    refused: bool = False


def references(window: Window, context: Context) -> Iterator[Reference]:
    """Both, in this order: ``pinned`` does not move, so that slow drift shows; ``seasonal``, the
    same weekdays of the last eight weeks, says what is new even against last month."""
    yield _pinned(window, context)
    yield _seasonal(window, context)


def _pinned(window: Window, context: Context) -> Reference:
    found = pinned_before(window, context)
    if found is None:
        return Reference(PINNED, (), "reference_period")
    complaint = complaint_about(found, context)
    if complaint:
        log.error(
            "the pinned reference %s is refused: %s; propose and approve another",
            found.digest[:12],
            complaint,
        )
    return Reference(PINNED, found.days, complaint, refused=bool(complaint))


def _seasonal(window: Window, context: Context) -> Reference:
    """The whole weeks before the window, as far as the log goes back."""
    first = context.source.first_instant()
    weeks = [window.shift(-number) for number in range(WEEKS, 0, -1)]
    began = None if first is None else Window.containing(first, Grain.DAY, window.zone).start
    known = [week for week in weeks if began is not None and week.start >= began]
    days = tuple(day for week in known for day in week.days())
    return Reference(SEASONAL, days, "" if len(known) >= MINIMUM_WEEKS else "short_history")
