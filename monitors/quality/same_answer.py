"""Do two answers to one question agree? By their words and numbers where they are short."""

from __future__ import annotations

import re

from monitors.logs.redaction import PRIORITY
from monitors.quality.support import numbers_in

_SHORT_WORDS, _SHORT_CHARACTERS = 5, 60
# "Yes" and "go on" ask nothing by themselves.
_LEAST_WORDS = 3
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"\w+")
_PLACEHOLDERS = tuple(f"[{kind.upper()}]" for kind in PRIORITY)


def plain(text: str) -> str:
    """Without regard to case and white space."""
    return " ".join(text.casefold().split())


def question(text: str | None) -> str | None:
    """What two inputs have in common that ask the same; None where that cannot be told.

    Where redaction took something out, two people may have asked about two things.
    """
    if not text or any(mark in text for mark in _PLACEHOLDERS):
        return None
    return plain(text) if len(_TOKEN.findall(text)) >= _LEAST_WORDS else None


def agree(one: str, other: str) -> bool | None:
    """True or False where words and numbers decide it; None where it takes their meaning.

    The same text always agrees. Of two short ones (five words, 60 characters) the numbers must be
    the same and the words of one all stand in the other; without numbers, the words are the same.
    """
    if plain(one) == plain(other):
        return True
    if not (_is_short(one) and _is_short(other)):
        return None
    words, others = (_WORD.findall(text.casefold()) for text in (one, other))
    numbers, other_numbers = numbers_in(one), numbers_in(other)
    if not numbers and not other_numbers:
        return bool(words) and words == others
    within = set(words) <= set(others) or set(others) <= set(words)
    return numbers == other_numbers and within


def _is_short(text: str) -> bool:
    return len(text) <= _SHORT_CHARACTERS and len(_TOKEN.findall(text)) <= _SHORT_WORDS
