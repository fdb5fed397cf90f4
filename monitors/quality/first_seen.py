"""Since when a prompt version or an arm has served: counted once a day in the log, remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, false, func, select

from monitors.context import Context
from monitors.kept import Kept
from monitors.quality import slices
from monitors.quality.traffic import served
from sql.window import Window

# The field that is counted → where its counts are kept.
_KEPT = {
    "prompt_version": Kept("daily_quality", "versions"),
    "arm": Kept("daily_quality", "arms"),
}
LOOK_BACK = 28
_FEATURE = "feature"


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """What has served, of the last four weeks.

    Args:
        watched: the first day that was counted; what served on it may be older.
        values: feature (empty where the log has none) → value → the start of its first day.
    """

    watched: datetime | None
    values: Mapping[str, Mapping[str, datetime]]


def first_seen(field: str, window: Window, context: Context) -> FirstSeen:
    """The values of a field with their first days, the window's own counted and kept."""
    if field not in context.source.attributes:
        return FirstSeen(None, {})
    kept = _KEPT[field]
    kept.write(window, _counted(field, window, context), context)
    days = kept.bodies(window.shift(-LOOK_BACK), window, context)
    found: dict[str, dict[str, datetime]] = {}
    for day, body in days.items():
        for feature, counts in body.items():
            for value in counts:
                found.setdefault(feature, {}).setdefault(value, day)
    return FirstSeen(min(days), found)


def _counted(field: str, window: Window, context: Context) -> dict[str, dict[str, int]]:
    """Feature → value → rows that users were served."""
    source = context.source
    value = source.column(field)
    feature = source.column(_FEATURE) if _FEATURE in source.attributes else case((false(), ""))
    query = (
        select(feature, value, func.count())
        .where(*source.within(window), *served(context), value.is_not(None))
        .group_by(feature, value)
    )
    body: dict[str, dict[str, int]] = {}
    for name, text, count in source.rows(query):
        counts = body.setdefault(slices.label_text(name or ""), {})
        counts[slices.label_text(text)] = int(count)
    return body
