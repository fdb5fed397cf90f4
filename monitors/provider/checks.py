"""What an answer is worth: small rules that need no model, each apart from the others.

An answer is read four ways. *Correct*: does it say the right thing, however it is dressed?
*Format*: does it have the very form that was asked for, so that a program can read it? *Refused*:
did the model decline? *First option*: which way does it lean? A provider's change often moves only
one of them: in June 2023 GPT-4 wrote the same code as in March, but inside a fence that no
interpreter reads, and GPT-3.5 said "yes" where it had said "no", right or wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from monitors.provider.prompts import Check
from monitors.quality.python_code import python_fault
from monitors.scorer import PASS, Score

# Raise it whenever a verdict can change: answers judged by two versions are not compared.
CHECKS_VERSION = "checks-1"

_FAIL = Score(0.0)
_NOT_ASKED = Score(None, "not_asked")
_LONGEST = 200_000
_OPENING = 400
_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Verdict(NamedTuple):
    """``correct``, ``format`` and ``first_option`` are 0 to 1, or None where not asked for."""

    correct: Score
    format: Score
    refused: bool
    first_option: float | None = None


def judge(check: Check, answer: str) -> Verdict:
    """Judge one answer by its prompt's check. Never raises: any text is an answer."""
    text = answer[:_LONGEST]
    refused = is_refusal(text)
    if check.kind == "refusal_expected":
        return Verdict(PASS if refused else Score(0.0, "answered"), _NOT_ASKED, refused)
    correct, form = _RULES[check.kind](check, text)
    leaning = None
    if check.kind == "option":
        leaning = float(_chosen(check.options, text) == check.options[0])
    return Verdict(correct, form, refused, leaning)


def is_refusal(answer: str) -> bool:
    """Does the answer begin by declining? Only the opening counts: a quoted refusal is none."""
    opening = answer[:_OPENING].replace("’", "'")
    return _refusal().Match(opening.encode("utf-8", "surrogatepass")) is not None


@lru_cache(maxsize=1)
def _refusal() -> Any:
    """A set of one: it only says yes or no, three times as fast as looking where."""
    import re2

    found = re2.Set.SearchSet()
    found.Add(refusal_pattern())
    found.Compile()
    return found


def refusal_pattern(apostrophe: str = "'", end: str = r"\b") -> str:
    """What declines, as an RE2 pattern.

    Args:
        apostrophe, end: how an apostrophe and the end of the last word are written; a wider form
            of either finds at least as much.
    """
    ability = (
        r"(?:can(?:no|')t|can not|am unable to|'m unable to|am not able to|'m not able to|won't)"
    )
    act = (
        r"(?:help|assist|provide|answer|comply|create|generate|fulfil|do that|support|engage|offer)"
    )
    pattern = (
        rf"(?i)\bI(?:'m| am) (?:very |really )?sorry,? (?:but|I){end}"
        rf"|\bI ?{ability} (?:\w+ ){{0,3}}{act}"
        rf"|\bas an AI(?: language model)?,? I{end}"
        rf"|\b(?:it is|it's) (?:not appropriate|inappropriate){end}"
        rf"|\bI must (?:decline|refuse){end}"
    )
    return pattern.replace("'", apostrophe)


def _exact(check: Check, text: str) -> tuple[Score, Score]:
    same = _plain(text) == _plain(str(check.reference))
    return (PASS if same else _FAIL), _NOT_ASKED


def _numeric(check: Check, text: str) -> tuple[Score, Score]:
    """The last number counts: reasoning comes before its result."""
    found = _NUMBER.findall(text)
    if not found:
        return Score(0.0, "no_number"), Score(0.0, "no_number")
    wanted, got = float(check.reference), float(found[-1].replace(",", ""))
    right = abs(got - wanted) <= 1e-6 * max(1.0, abs(wanted))
    return (PASS if right else _FAIL), PASS


def _option(check: Check, text: str) -> tuple[Score, Score]:
    """The last option written out counts; without one, the format is broken."""
    chosen = _chosen(check.options, text)
    if chosen is None:
        return Score(0.0, "no_option"), Score(0.0, "no_option")
    return (PASS if chosen == check.reference else _FAIL), PASS


def _chosen(options: tuple[str, ...], text: str) -> str | None:
    if all(len(option) == 1 for option in options):
        return _letter(options, text)
    last: tuple[int, str] | None = None
    for option in options:
        edge_before = r"(?<!\w)" if option[:1].isalnum() else ""
        edge_after = r"(?!\w)" if option[-1:].isalnum() else ""
        pattern = edge_before + re.escape(option) + edge_after
        for match in re.finditer(pattern, text, re.IGNORECASE):
            if last is None or match.start() > last[0]:
                last = (match.start(), option)
    return last[1] if last else None


def _letter(options: tuple[str, ...], text: str) -> str | None:
    # A bare letter in prose is mostly the article "A", so a letter needs a sign beside it.
    letters = "".join(re.escape(option) for option in options)
    patterns = (
        rf"(?i:answer|option|choice)(?i:\s+is)?[\s:*(\[]{{1,5}}([{letters}])(?!\w)",
        rf"[(\[]([{letters}])[)\]]",
        rf"(?m)^\W{{0,3}}([{letters}])(?:[.):]|\W*$)",
    )
    for pattern in patterns:
        if found := re.findall(pattern, text):
            return str(found[-1])
    return None


def _regex(check: Check, text: str) -> tuple[Score, Score]:
    import re2

    return (PASS if re2.search(str(check.reference), text) else _FAIL), _NOT_ASKED


def _contains(check: Check, text: str) -> tuple[Score, Score]:
    wanted = check.reference if isinstance(check.reference, list) else [check.reference]
    plain = _plain(text)
    there = sum(_plain(str(part)) in plain for part in wanted)
    return Score(there / len(wanted) if wanted else 1.0), _NOT_ASKED


def _json_schema(check: Check, text: str) -> tuple[Score, Score]:
    import jsonschema

    bare, dressed = _parsed(text), _parsed(_unfenced(text))
    form = PASS if bare is not None else Score(0.0, "not_json")
    if dressed is None:
        return Score(0.0, "not_json"), form
    try:
        jsonschema.validate(dressed[0], check.reference)
    except jsonschema.ValidationError:
        return Score(0.0, "schema"), form
    except jsonschema.SchemaError:
        return Score(None, "bad_schema"), form
    return PASS, form


def _code_parses(_check: Check, text: str) -> tuple[Score, Score]:
    """Correct: the code inside parses as Python. Format: the answer is code and nothing else."""
    form = Score(0.0, "not_code") if python_fault(text) else PASS
    return (Score(0.0, "syntax") if python_fault(_unfenced(text)) else PASS), form


def _code_passes(check: Check, text: str) -> tuple[Score, Score]:
    """Correct: the code inside passes the reference's tests. Format: it is code, nothing else."""
    from monitors.quality.sandbox import passes

    form = Score(0.0, "not_code") if python_fault(text) else PASS
    code = _unfenced(text)
    if python_fault(code):
        return Score(0.0, "syntax"), form
    return passes(check.setup, code, str(check.reference)), form


def _no_check(_check: Check, _text: str) -> tuple[Score, Score]:
    return _NOT_ASKED, _NOT_ASKED


_RULES: Mapping[str, Callable[[Check, str], tuple[Score, Score]]] = {
    "exact": _exact,
    "numeric": _numeric,
    "option": _option,
    "regex": _regex,
    "contains": _contains,
    "json_schema": _json_schema,
    "code_parses": _code_parses,
    "code_passes": _code_passes,
    "none": _no_check,
}


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _unfenced(text: str) -> str:
    match = _FENCE.search(text)
    return match[1] if match else text


def _parsed(text: str) -> tuple[Any] | None:
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError):
        return None
