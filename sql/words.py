"""How numbers and texts are written for people: in messages, on pages, in the terminal."""

from __future__ import annotations

import re

NOTHING = "–"
# Signs that a reader cannot see but that change what is seen: controls, bidi, zero width, tags.
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def number(value: float | None, unit: str = "") -> str:
    """A value in its unit, to three digits or so: ``93.4 %``, ``1,240 ms``, ``$1.90``, ``yes``."""
    if value is None:
        return NOTHING
    match unit:
        case "ratio":
            return f"{100 * value:.1f} %" if abs(value) < 10 else f"{100 * value:,.0f} %"
        case "usd":
            return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.3g}"
        case "count":
            return f"{value:,.0f}" if float(value).is_integer() else _plain(value)
        case "fact":
            return "yes" if value else "no"
        case "hours" if 0 < abs(value) < 1:
            return f"{_plain(60 * value)} min"
        case "hours":
            return f"{_plain(value)} h"
        case _:
            return f"{_plain(value)} {unit}".strip()


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def between(low: float | None, high: float | None, unit: str = "") -> str:
    """An interval with its unit, ``2.6 % to 5.4 %``; empty where there is none, or no width."""
    if low is None or high is None or low == high:
        return ""
    return f"{number(low, unit)} to {number(high, unit)}"


def visible(text: str) -> str:
    """The text with its hidden signs written out, as ``⟦U+202E⟧``."""
    return _HIDDEN.sub(lambda match: f"⟦U+{ord(match[0]):04X}⟧", text)
