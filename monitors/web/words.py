"""How instants and slices are written on a page; numbers: see `sql.words`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from sql.words import NOTHING


def instant(moment: datetime | None, zone: str = "UTC") -> str:
    """``2026-06-01 14:30`` on the clock of ``zone``."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" if moment else NOTHING


def labels_text(labels: Mapping[str, str]) -> str:
    """``feature chat · segment pro``; empty for the whole."""
    return " · ".join(f"{key} {value}" for key, value in labels.items())
