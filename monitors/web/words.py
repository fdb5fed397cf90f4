"""How numbers, instants and slices are written on a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

NOTHING = "–"


def number(value: float | None, unit: str = "") -> str:
    """A value in its unit, to three digits or so: ``93.4 %``, ``1,240 ms``, ``$0.0042``."""
    if value is None:
        return NOTHING
    match unit:
        case "ratio":
            return f"{100 * value:.1f} %" if abs(value) < 10 else f"{100 * value:,.0f} %"
        case "usd":
            return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.4g}"
        case "count":
            return f"{value:,.0f}" if float(value).is_integer() else _plain(value)
        case _:
            return f"{_plain(value)} {unit}".strip()


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def instant(moment: datetime | None, zone: str = "UTC") -> str:
    """``2026-06-01 14:30`` on the clock of ``zone``."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" if moment else NOTHING


def labels_text(labels: Mapping[str, str]) -> str:
    """``feature chat · segment pro``; empty for the whole."""
    return " · ".join(f"{key} {value}" for key, value in labels.items())
