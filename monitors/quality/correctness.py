"""Is the answer right? Scorers that need no model: a known answer, a form, the passages given."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.provider.checks import CHECKS_VERSION, judge
from monitors.provider.prompts import Check
from monitors.quality.support import support
from monitors.scorer import PASS, Layer, Score, Scorer, scorer, version_with

_FEW_WORDS = 5
_OPTIONS = tuple("ABCDEFGH")
_LETTER = re.compile(r"[\[(]?([A-Ha-h])[\])]?[.)]?")
_NUMBER = re.compile(r"[-+]?[$€£]?\s?(\d[\d,]*(?:\.\d+)?)\s?%?")
_PAIRS = (("yes", "no"), ("true", "false"))
_WORD = re.compile(r"\w+")
_FENCE = re.compile(r"\s*```[ \t]*(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL | re.IGNORECASE)


@scorer(
    name="reference_match",
    version=version_with("1", checks=CHECKS_VERSION),
    layer=Layer.CORRECTNESS,
    needs=("output", "reference"),
    reads=("input",),
)
def reference_match(batch: Batch, _context: Context) -> Sequence[Score]:
    """Does the answer say what the known right answer says?

    By the reference's form: *yes* or *no* (in brackets where the question asked for brackets),
    an option letter, a number (the answer's last one), a few words (which must occur in a row),
    and for longer references the overlap of words (F1, as in SQuAD: Rajpurkar et al. 2016).
    """
    inputs = batch["input"] if "input" in batch else [""] * len(batch)
    return [
        _matched(asked or "", output, reference)
        for asked, output, reference in zip(
            inputs, batch["output"], batch["reference"], strict=True
        )
    ]


def _matched(asked: str, output: str | None, reference: str | None) -> Score:
    if not reference or not reference.strip():
        return Score(None, "no_reference")
    if not output:
        return Score(None, "no_output")
    wanted = reference.strip()
    check = _check(wanted, _asks_for_brackets(asked))
    if check is not None:
        return judge(check, output).correct
    words, said = _words(wanted), _words(output)
    if len(words) > _FEW_WORDS:
        return Score(_f1(words, said))
    return PASS if f" {' '.join(words)} " in f" {' '.join(said)} " else Score(0.0, "differs")


def _asks_for_brackets(asked: str) -> bool:
    low = asked.lower()
    return any(f"[{option}]" in low for pair in _PAIRS for option in pair)


@lru_cache(maxsize=4_096)
def _check(reference: str, brackets: bool) -> Check | None:
    """The rule by which a short reference is read; None for words."""
    low = reference.strip("[]. ").lower()
    for pair in _PAIRS:
        if low in pair:
            form = "[{}]" if brackets else "{}"
            options = tuple(form.format(option) for option in pair)
            return Check(kind="option", options=options, reference=form.format(low))
    if letter := _LETTER.fullmatch(reference):
        return Check(kind="option", options=_OPTIONS, reference=letter[1].upper())
    if number := _NUMBER.fullmatch(reference):
        sign = -1 if reference.startswith("-") else 1
        return Check(kind="numeric", reference=sign * float(number[1].replace(",", "")))
    return None


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _f1(reference: Sequence[str], answer: Sequence[str]) -> float:
    common = sum((Counter(reference) & Counter(answer)).values())
    return 2 * common / (len(reference) + len(answer)) if common else 0.0


def valid_json(features: Sequence[str] = (), keys: Sequence[str] = ()) -> Scorer:
    """The scorer ``valid_json``: an answer that a program reads is JSON, and nothing else.

    Args:
        features: the features whose answers are JSON; empty means all.
        keys: that every answer must have at its top.
    """
    expected, wanted = frozenset(features), frozenset(keys)

    @scorer(
        name="valid_json",
        version=version_with("1", features=sorted(expected), keys=sorted(wanted)),
        layer=Layer.CORRECTNESS,
        needs=("output", "feature") if expected else ("output",),
    )
    def score(batch: Batch, _context: Context) -> Sequence[Score]:
        """1: JSON with the keys. 0.5: it would be, without the fence or the words around it."""
        features = batch["feature"] if expected else [None] * len(batch)
        return [
            _json(output, wanted)
            if not expected or feature in expected
            else Score(None, "not_expected")
            for output, feature in zip(batch["output"], features, strict=True)
        ]

    return score


def _json(output: str | None, keys: frozenset[str]) -> Score:
    if not output:
        return Score(None, "no_output")
    fence = _FENCE.fullmatch(output)
    try:
        found = json.loads(fence[1] if fence else output)
    except (ValueError, RecursionError):
        return Score(0.0, "not_json")
    if keys and not (isinstance(found, dict) and keys <= set(found)):
        return Score(0.0, "keys_missing")
    return Score(0.5, "fenced") if fence else PASS


@scorer(
    name="groundedness",
    version="1",
    layer=Layer.CORRECTNESS,
    needs=("output", "context"),
    reads=("input",),
)
def groundedness(batch: Batch, _context: Context) -> Sequence[Score]:
    """The mean over the answer's sentences of how far the passages given support them.

    By words, see `monitors.quality.support`: a sentence with a number or a name that stands
    neither in the passages nor in the question is not supported.
    """
    inputs = batch["input"] if "input" in batch else [""] * len(batch)
    scores = []
    for asked, output, passages in zip(inputs, batch["output"], batch["context"], strict=True):
        if not passages:
            scores.append(Score(None, "no_context"))
        elif not output:
            scores.append(Score(None, "no_output"))
        else:
            found = support(output, f"{passages}\n{asked or ''}")
            scores.append(Score(found.mean, found.reason))
    return scores
