"""Personal data and secrets out of texts, before anything of them is copied.

Two passes, both in time linear in the text: one RE2 set tells the few texts that can hold
anything; in those, candidates are cut out by RE2 and confirmed by what defines the kind (a check
digit, a numbering plan, an address parser). The replacement says only the kind: ``[EMAIL]``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from monitors.logs.detectors import DETECTORS, FIRST_PASS, MASK
from monitors.logs.poison import scrub

# Of overlapping findings the earlier kind wins: a card is not also a telephone number.
PRIORITY = ("secret", "email", "iban", "card", "national_id", "ip", "phone")

_IN_ORDER = tuple(sorted(DETECTORS, key=lambda detector: PRIORITY.index(detector.kind)))
_NAMES = tuple(FIRST_PASS)

# A set that runs out of memory says "no match", which here would be a leak; this is ten times
# what the patterns need on hostile text.
_SET_MEMORY = 256 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of personal data or one secret: ``text[start:end]`` is of ``kind``."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text with placeholders, and how many of each kind there are."""

    text: str
    counts: dict[str, int]


def suspects(texts: Sequence[str | None]) -> list[int]:
    """Indices of the texts that may hold something; the others surely hold nothing."""
    match = _set().Match
    found = []
    for index, text in enumerate(texts):
        if text and match(text.encode("utf-8", "surrogatepass")):
            found.append(index)
    return found


def find(text: str) -> list[Finding]:
    """All findings in a text, in order, none overlapping another."""
    text = scrub(text)  # lone surrogates would not encode; one character stands for one
    possible = _shapes(text)
    if not possible:
        return []
    taken: list[Finding] = []
    for detector in _IN_ORDER:
        if detector.first not in possible:
            continue
        parts, place = [], 0
        for start, end in detector.spans(text):
            taken.append(Finding(detector.kind, start, end))
            parts += [text[place:start], MASK * (end - start)]
            place = end
        if parts:
            text = "".join([*parts, text[place:]])
    return sorted(taken, key=lambda finding: finding.start)


def redact(text: str) -> Redacted:
    """``text`` with a typed placeholder in place of every finding; twice is the same as once."""
    findings = find(text)
    if not findings:
        return Redacted(scrub(text), {})
    parts, place = [], 0
    for finding in findings:
        parts += [text[place : finding.start], f"[{finding.kind.upper()}]"]
        place = finding.end
    parts.append(text[place:])
    counts = Counter(finding.kind for finding in findings)
    return Redacted(scrub("".join(parts)), dict(sorted(counts.items())))


def redact_all(texts: Iterable[str | None]) -> list[Redacted | None]:
    """`redact` for a column; texts without a suspicion are not looked at twice."""
    column = list(texts)
    doubtful = set(suspects(column))
    return [
        None if text is None else redact(text) if index in doubtful else Redacted(scrub(text), {})
        for index, text in enumerate(column)
    ]


def user_key(key: str, source: str, user_id: str | None) -> str | None:
    """A user's name in the store: HMAC-SHA256 under ``[privacy] key``.

    None without a key: an unkeyed hash of a short id can be undone by trying all of them.
    """
    if not key or not user_id:
        return None
    return hmac.new(key.encode(), f"{source}:{user_id}".encode(), hashlib.sha256).hexdigest()


@cache
def _set() -> Any:
    import re2

    options = re2.Options()
    options.max_mem = _SET_MEMORY
    options.log_errors = False
    patterns = re2.Set.SearchSet(options)
    for pattern in FIRST_PASS.values():
        patterns.Add(pattern)
    patterns.Compile()
    return patterns


def _shapes(text: str) -> set[str]:
    return {_NAMES[hit] for hit in _set().Match(text.encode()) or ()}
