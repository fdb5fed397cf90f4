"""Patterns over whole columns of text: one linear pass tells which rows hold which kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from monitors.quality.lexicon import WITHOUT_EDGES
from monitors.scorer import PASS, Score

# A set that runs out of memory would say "no match"; this is far above what the patterns need.
_MEMORY = 128 << 20


class Markers:
    """Kinds of patterns, compiled once.

    Args:
        patterns: kind → RE2 patterns; of several kinds in a text the first named counts.
    """

    def __init__(self, patterns: Mapping[str, Sequence[str]]) -> None:
        import re2

        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        options.case_sensitive = False
        self._set = re2.Set.SearchSet(options)
        self._kinds: list[str] = []
        for kind, parts in patterns.items():
            edge = "" if kind in WITHOUT_EDGES else r"\b"
            for part in parts:
                self._set.Add(rf"{edge}(?:{part}){edge}")
                self._kinds.append(kind)
        self._set.Compile()

    def kinds(self, texts: Sequence[str | None]) -> dict[int, str]:
        """Row → the first kind that it holds; rows with none are left out."""
        match: Any = self._set.Match
        found = {}
        for row, text in enumerate(texts):
            if text and (hits := match(text.encode("utf-8", "surrogatepass"))):
                found[row] = self._kinds[min(hits)]
        return found


@lru_cache(maxsize=8)
def markers(patterns: tuple[tuple[str, tuple[str, ...]], ...]) -> Markers:
    """The same patterns are compiled once a process."""
    return Markers(dict(patterns))


def verdicts(
    texts: Sequence[str | None], failed: Mapping[int, str], empty: str = "no_output"
) -> list[Score]:
    """A pass for every row but those that failed (with their reason) or hold no text.

    Args:
        empty: reason of a row without text, which can neither pass nor fail.
    """
    blank = Score(None, empty)
    scores = [PASS if text else blank for text in texts]
    for row, reason in failed.items():
        scores[row] = Score(0.0, reason)
    return scores
