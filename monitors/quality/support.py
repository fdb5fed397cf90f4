"""How much of an answer stands in a text: by its numbers, names and content words."""

from __future__ import annotations

import re
from typing import NamedTuple

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-ZÄÖÜÀ-Þ0-9])|\n+")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
_LIST_MARK = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_NAME = re.compile(r"(?<=[\w,;:] )[A-ZÄÖÜÀ-Þ][^\W\d_]{2,}")
_STOP_TEXT = (
    "a an and are as at be been being but by can could did do does for from had has have he her"
    " here him his how i if in into is it its just may me might more most must my no not of on or"
    " our please she should so some such than that the their them then there these they this those"
    " to too up us very was we were what when where which who will with would you your yours about"
    " after all also any because before between both during each few only other over own same"
    " under until while again further once out off down nor now"
)
_STOP = frozenset(_STOP_TEXT.split())


class Support(NamedTuple):
    """``mean`` over the sentences, in [0, 1]; ``reason`` names the worst lack, if there is one."""

    mean: float
    reason: str
    numbers_missing: int
    names_missing: int


def support(answer: str, source: str) -> Support:
    """Share of each sentence's content words that the source holds, 0 where a number or a proper
    name of the sentence is not in it.

    Sentences without a content word (greetings, marks) do not count; with none that counts, the
    answer claims nothing and is supported.
    """
    stems = {_stem(word) for word in _WORD.findall(source.casefold())}
    numbers = set(numbers_in(source))
    parts: list[float] = []
    no_number = no_name = 0
    for sentence in _SENTENCE.split(answer):
        plain = _LIST_MARK.sub("", sentence)
        content = [w for w in _WORD.findall(plain.casefold()) if w not in _STOP]
        if not content and not _NUMBER.search(plain):
            continue
        strange = sum(number not in numbers for number in numbers_in(plain))
        unknown = sum(_stem(name.casefold()) not in stems for name in _NAME.findall(plain))
        no_number, no_name = no_number + strange, no_name + unknown
        if strange or unknown:
            parts.append(0.0)
        else:
            held = sum(_stem(word) in stems for word in content)
            parts.append(held / len(content) if content else 1.0)
    mean = sum(parts) / len(parts) if parts else 1.0
    reason = "number" if no_number else "name" if no_name else ""
    return Support(mean, reason, no_number, no_name)


def numbers_in(text: str) -> list[str]:
    """The numbers of a text in one form: 1,200.50 and 1200.5 are the same."""
    return [_plain(match) for match in _NUMBER.findall(_LIST_MARK.sub("", text))]


def content_words(text: str) -> set[str]:
    """The stems of the words that carry content."""
    return {_stem(w) for w in _WORD.findall(text.casefold()) if w not in _STOP}


def _plain(number: str) -> str:
    digits = number.replace(",", "")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits.lstrip("0") or "0"


def _stem(word: str) -> str:
    """Crude: enough that "refunds" stands in "refund" and "shipped" in "ship"."""
    for ending in ("ingly", "edly", "ings", "ing", "ied", "ies", "ed", "es", "ly", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return word[:-1] if word.endswith("e") and len(word) > 4 else word
