"""Untrusted words made harmless in Slack's markup, and cut to a length without harm. Pure.

Slack counts UTF-16 units, so lengths here are in them. A text is cut before it is escaped and a
message is cut between its lines, so that no escape, mark or code span is ever cut in half.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Formatting marks and what stands for them: alike to the eye, nothing to Slack.
_ALIKE = {"*": "∗", "_": "＿", "~": "∼"}
# Letters that are drawn as nothing at all.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn")
# More marks upon one letter would cover the lines above and below.
_MARKS = 3
# A colon with which an emoji's name could begin: it ends in the next colon, or in one of ours.
_EMOJI = re.compile(r":(?=[\w+'-]*[a-z][\w+'-]*(?::|$)|100(?::|$))", re.IGNORECASE)
_MORE = "…"
# Nothing is ever shown at such length, and a hostile text is not walked through to its end.
_LOOKED_AT = 4_000


def escape(text: object, most: int = 3000) -> str:
    """One line of ``text`` without mention, link, format, emoji code or hidden mark.

    Args:
        most: units that the escaped text may have; a longer one ends in ``…``.
    """
    return _fitted(_unformatted(plain(text)), most)


def code(text: object, most: int = 200) -> str:
    """``text`` as a code span, its two backticks included in ``most``."""
    return f"`{_fitted(plain(text), most - 2)}`"


def link(url: str, name: str) -> str:
    """A link to a configured address; the address as text where it is not one of the web."""
    clean = plain(url)
    parts = urlsplit(clean)
    if parts.scheme not in ("http", "https") or not parts.netloc or len(clean) > 1000:
        return escape(clean, 300)
    address = quote(clean, safe="/:?#[]@!$'()*+,;=%~-._&").replace("&", "&amp;")
    return f"<{address}|{escape(name, 100).replace('|', '/')}>"


def plain(text: object) -> str:
    """One line of what can be seen of ``text``: no control, direction, zero-width or blank mark."""
    whole = str(text)
    kept: list[str] = []
    marks = 0
    for char in whole if len(whole) <= _LOOKED_AT else whole[:_LOOKED_AT] + _MORE:
        category = unicodedata.category(char)
        marks = marks + 1 if category.startswith("M") else 0
        if char in "\r\n\t":
            kept.append(" ")
        elif category not in _HIDDEN and char not in _BLANK and marks <= _MARKS:
            kept.append(char)
    # A backtick is no letter of any language, and the one mark that code spans know.
    return " ".join("".join(kept).split()).replace("`", "'")


def lines_within(lines: Sequence[str], most: int, beyond: int = 0) -> str:
    """As many whole lines as fit; how many are left out is said in the last one.

    Args:
        beyond: how many more there are that were not even handed in.
    """
    for kept in range(len(lines), -1, -1):
        left = len(lines) - kept + beyond
        text = "\n".join([*lines[:kept], *([f"{_MORE} and {left} more"] if left else [])])
        if units(text) <= most:
            break
    return text


def units(text: str) -> int:
    """Length as Slack counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _unformatted(text: str) -> str:
    """``*``, ``_`` and ``~`` format only at the edge of a word: there they are replaced."""
    kept = []
    if text.startswith(">"):  # at the beginning of a line it is a quotation
        text = "›" + text[1:]
    for place, char in enumerate(text):
        before = text[place - 1] if place else ""
        after = text[place + 1 : place + 2]
        within = before.isalnum() and after.isalnum()
        alone = before == after == " "
        kept.append(_ALIKE[char] if char in _ALIKE and not within and not alone else char)
    return _EMOJI.sub("∶", "".join(kept))


def _fitted(text: str, most: int) -> str:
    """Escaped, in at most ``most`` units; a letter keeps the marks that stand upon it."""
    whole = "".join(_ESCAPES.get(char, char) for char in text)
    if units(whole) <= most:
        return whole
    kept: list[str] = []
    used, room = 0, most - units(_MORE)
    for char in text:
        unit = _ESCAPES.get(char, char)
        if used + units(unit) > room:
            if _joins(char):
                while kept and _joins(kept[-1]):
                    kept.pop()
                kept = kept[:-1]
            break
        kept.append(unit)
        used += units(unit)
    return "".join(kept).rstrip(" *_~:") + _MORE


def _joins(char: str) -> bool:
    """Does it stand upon the letter before it: an accent, a variant, a skin tone?"""
    return unicodedata.category(char[0]).startswith("M") or "\U0001f3fb" <= char <= "\U0001f3ff"
