"""What a topic's texts have in common, in words that no single person wrote alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]{3,30}")
_PLACEHOLDER = re.compile(r"\[[A-Z_]+\]")
_FEWEST = 3
_STOP_TEXT = """
about after again all also and any are because been before but can could did does doing don for
from get give got had has have her here him his how into its just let like make may me mine more
most much must need not now off one only other our out over own please same say see she should show
some such tell than thank thanks that the their them then there these they this those through too
under until use used very want was were what when where which while who whom why will with would
yes you your ich und der die das ist nicht ein eine wie den mit auf für von les des est une pour
que qui dans los las por una con para
"""
_STOP = frozenset(_STOP_TEXT.split())


def words_of(text: str) -> set[str]:
    """The words of a redacted text that may name a topic."""
    plain = _PLACEHOLDER.sub(" ", text).casefold()
    return {word for word in _WORD.findall(plain) if word not in _STOP}


def terms(
    inside: Sequence[str],
    outside: Sequence[str],
    most: int = 6,
    authors: Sequence[str | None] = (),
) -> list[str]:
    """The words that set the topic apart, best first.

    Class-based TF-IDF (Grootendorst 2022, section 3.3) on documents instead of counts: the share
    of the topic's distinct texts with the word, times log(1 + mean words of a text / how often
    the word occurs anywhere). A word must stand in at least three distinct texts, in a tenth of
    them, and where authors are known in texts of three people, so that none is one person's.

    Args:
        authors: of the texts inside, where the log knows users; None is nobody known.
    """
    people: dict[str, set[str]] = {}
    for place, text in enumerate(inside):
        author = authors[place] if place < len(authors) else None
        for word in words_of(text):
            people.setdefault(word, set()).add(author or f"text {text}")
    here = [words_of(text) for text in dict.fromkeys(inside)]
    there = [words_of(text) for text in dict.fromkeys(outside)]
    counts = Counter(word for words in here for word in words)
    everywhere = counts + Counter(word for words in there for word in words)
    total = len(here) + len(there)
    fewest = max(_FEWEST, math.ceil(len(here) / 10))
    weight = {
        word: count / len(here) * math.log1p(total / everywhere[word])
        for word, count in counts.items()
        if count >= fewest
        and len(people[word]) >= _FEWEST
        and count / len(here) > 2 * (everywhere[word] - count) / max(len(there), 1)
    }
    return sorted(weight, key=lambda word: (-weight[word], word))[:most]
