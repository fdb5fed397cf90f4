"""Questions and answers about outdoor gear: a grammar unfolded once into pools of texts.

A scenario is one question with its passages and one answer of every `Kind`. All randomness is in
which scenario a row takes, so that unfolding costs once and a row next to nothing.
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.demo.product import ANSWER, DRAFT, FEATURES, Kind

PER_TOPIC = 96
NEW_TOPIC = "valve_recall"
ORDER = "######"
_FIRST_NAMES = (
    "Anna Bjarne Clara Dario Edith Farid Greta Henrik Ines Jonas"
    " Katrin Leo Marta Nils Olga Pavel Rosa Stefan Tilda Viktor"
)
FIRST_NAMES = tuple(_FIRST_NAMES.split())
_LAST_NAMES = (
    "Aalto Brandt Costa Dahl Eriksen Fischer Gruber Hansen Ivanov Jensen"
    " Keller Lindt Moreau Novak Olsen Peeters Rossi Silva Torres Weber"
)
LAST_NAMES = tuple(_LAST_NAMES.split())
_SLOT = re.compile(r"\{(\w+)\}")
_INVENTED = (
    "Our partner {who} handles that, and you pay {n} percent less since {year}.",
    "According to the {who} programme you receive a bonus of {n} euros in {year}.",
    "That was changed in {year}: {who} now decides, usually after {n} weeks.",
    "You need the {who} certificate, which has been required since {year} and costs {n} euros.",
    "Please call {who} between the {n}th and the end of the month, as we agreed in {year}.",
    "The {who} team in {place} answers such requests within {n} minutes since {year}.",
)
_WHO = ("Nordfell", "Calyx", "Ventura", "Brightline", "Oakmont", "Silverline", "Zephyr", "Tamarin")
_PLACE = ("Lisbon", "Tallinn", "Zagreb", "Malmo", "Geneva")
_EVASIVE = (
    "That depends on many things and cannot be said in general.",
    "Such details are usually found on the website. Perhaps have a look there.",
    "It may vary. Please check the terms, or ask again later.",
    "There are several possibilities, and each of them could apply in your case.",
    "Generally this is handled case by case, so it is hard to say.",
)
_REFUSAL = (
    "I'm sorry, but I can't help with that.",
    "I am sorry, but I cannot assist with this request.",
    "I can't provide that kind of information.",
)
TEMPLATES = (
    "Thank you for your message. A colleague will come back to you within a day.",
    "We have received your request and will answer as soon as possible.",
)
_MORE = ("", "", " I ordered last week.", " This is the second time I ask.", " I leave on Friday.")
_FOLLOW = (
    ("Thank you, that helps.", False),
    ("Great, then it is settled.", False),
    ("That does not help me. Please have someone look at it.", True),
    ("And when will I hear from you?", True),
)


@dataclass(frozen=True, slots=True)
class Pool:
    """The scenarios of a feature; topic ``t`` has those from ``t * PER_TOPIC``.

    Args:
        outputs: one list for each `Kind` up to ``BROKEN``.
        output_lengths: shape (kinds, scenarios), in characters.
        references: None for scenarios without a known right answer.
    """

    inputs: list[str]
    outputs: list[list[str]]
    contexts: list[str | None]
    references: list[str | None]
    input_lengths: NDArray[np.int64]
    output_lengths: NDArray[np.int64]
    context_lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What `unfold` makes.

    Args:
        topics: names; the last is the one that nobody asks about at first.
        weights: how often each is asked about, adding up to 1 (the last 0).
        pools: one for each feature.
    """

    topics: tuple[str, ...]
    weights: NDArray[np.float64]
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """One question with its passages and with the answers that need the facts."""

    group: str
    ask: str
    passages: str
    right: str
    tip: str
    wrong: str
    near: str
    invented: str


@lru_cache(maxsize=2)
def unfold(seed: int) -> Grammar:
    """All scenarios; the same seed gives the same texts."""
    raw = tomllib.loads((Path(__file__).parent / "topics.toml").read_text(encoding="utf-8"))
    topics = raw["topic"]
    weights = np.array([topic["weight"] for topic in topics], dtype=np.float64)
    pools = []
    for place in range(len(FEATURES)):
        # Texts need no numpy, and `random` is the quicker of the two for single draws.
        chance = random.Random(f"{seed}:{place}")  # noqa: S311 - a demo, no secret
        cases = [
            _case(topic, topics, raw["slots"], chance, seed)
            for topic in topics
            for _ in range(PER_TOPIC)
        ]
        pools.append(_pool(place, cases, chance))
    names = tuple(topic["name"] for topic in topics)
    assert names[-1] == NEW_TOPIC
    return Grammar(names, weights / weights.sum(), tuple(pools))


def _case(
    topic: Mapping[str, Any],
    topics: Sequence[Mapping[str, Any]],
    slots: Mapping[str, Sequence[str]],
    chance: random.Random,
    seed: int,
) -> _Case:
    about = _about(topic)
    subject = {name: chance.choice(slots[name]) for name in about}
    true, near = _world(topic, slots, subject, seed)
    known = {name: {true[name], near[name]} for name in true if name not in about}
    wrong = {
        **subject,
        **{n: chance.choice([v for v in slots[n] if v not in known[n]]) for n in sorted(known)},
    }
    answer = chance.choice(topic["answer"])
    other = chance.choice(topics[:-1])
    stray, _ = _world(other, slots, {n: chance.choice(slots[n]) for n in _about(other)}, seed)
    passages = [topic["fact"].format(**true), topic["near"].format(**near), topic["tip"]]
    passages.append(other["fact"].format(**stray))
    chance.shuffle(passages)
    return _Case(
        group=topic["group"],
        ask=_ended(chance.choice(topic["ask"]).format(**subject)),
        passages=f"Harbour help centre: {' '.join(passages)}",
        right=answer.format(**true),
        tip=topic["tip"],
        wrong=answer.format(**wrong),
        near=answer.format(**near),
        invented=chance.choice(_INVENTED).format(
            who=chance.choice(_WHO),
            place=chance.choice(_PLACE),
            n=chance.randint(41, 97),
            year=chance.randint(2003, 2019),
        ),
    )


def _about(topic: Mapping[str, Any]) -> list[str]:
    return sorted({name for text in topic["ask"] for name in _SLOT.findall(text)})


def _world(
    topic: Mapping[str, Any],
    slots: Mapping[str, Sequence[str]],
    subject: Mapping[str, str],
    seed: int,
) -> tuple[dict[str, str], dict[str, str]]:
    """What is so of a subject, and what is so of its neighbour: always the same of the same."""
    told = topic["fact"] + topic["near"]
    there = sorted(name for name in subject if f"{{{name}}}" in told)
    key = ":".join([str(seed), topic["name"], *(subject[name] for name in there)])
    chance = random.Random(key)  # noqa: S311
    true, near = dict(subject), dict(subject)
    for name in sorted(set(_SLOT.findall(told)) - set(subject)):
        true[name], near[name] = chance.sample(slots[name], 2)
    return true, near


def _pool(place: int, cases: Sequence[_Case], chance: random.Random) -> Pool:
    inputs: list[str] = []
    outputs: list[list[str]] = [[] for _ in range(Kind.TEMPLATE)]
    contexts: list[str | None] = []
    references: list[str | None] = []
    for case in cases:
        other = chance.choice(cases)
        asked, said = _FORMS[min(place, 2)](case, other, chance)
        inputs.append(asked)
        for kind, text in said.items():
            outputs[kind].append(text)
        contexts.append(case.passages if place in (ANSWER, DRAFT) else None)
        known = place == ANSWER and chance.random() < 0.3
        references.append(case.right if known else None)
    return Pool(
        inputs,
        outputs,
        contexts,
        references,
        np.array([len(text) for text in inputs]),
        np.array([[len(text) for text in texts] for texts in outputs]),
        np.array([len(text or "") for text in contexts]),
    )


def _answer(case: _Case, other: _Case, chance: random.Random) -> tuple[str, dict[Kind, str]]:
    full = f"{case.right} {case.tip}"
    return case.ask, {
        Kind.GOOD: full,
        Kind.FAIR: case.right,
        Kind.WRONG_NUMBER: f"{case.wrong} {case.tip}",
        Kind.INVENTED: case.invented,
        Kind.TRUNCATED: _cut(full, chance),
        Kind.OFF_TOPIC: f"{other.right} {other.tip}",
        Kind.EVASIVE: chance.choice(_EVASIVE),
        Kind.REFUSAL: chance.choice(_REFUSAL),
        Kind.WRONG_PASSAGE: f"{case.near} {case.tip}",
        Kind.BROKEN: f"<answer>{case.right}</answer><score>",
    }


def _draft(case: _Case, other: _Case, chance: random.Random) -> tuple[str, dict[Kind, str]]:
    name = chance.choice(FIRST_NAMES)
    asked = f'{name} writes: "{case.ask}{chance.choice(_MORE)}" Please draft a reply.'
    _, said = _answer(case, other, chance)
    opening = f"Dear {name}, thank you for your message."
    drafts = {kind: f"{opening} {text}" for kind, text in said.items()}
    drafts[Kind.REFUSAL] = said[Kind.REFUSAL]
    drafts[Kind.BROKEN] = f"Dear [NAME], [GREETING]. {case.right} [CLOSING]"
    return asked, drafts


def _summary(case: _Case, other: _Case, chance: random.Random) -> tuple[str, dict[Kind, str]]:
    follow, is_open = chance.choice(_FOLLOW)
    name = chance.choice(FIRST_NAMES)
    asked = (
        f"Ticket HB-{ORDER}\n{name}: {case.ask}{chance.choice(_MORE)}\n"
        f"Agent: {case.right} {case.tip}\n{name}: {follow}"
    )

    def filed(about: _Case, told: str) -> str:
        rest = "The customer wants more." if is_open else "The customer is satisfied."
        body = {
            "category": about.group,
            "order": f"HB-{ORDER}",
            "summary": f"{name} asked: {about.ask} The agent said: {told} {rest}",
            "open": is_open,
        }
        return json.dumps(body)

    full = filed(case, f"{case.right} {case.tip}")
    vague = {"category": "other", "order": "", "summary": "A customer wrote to us.", "open": True}
    return asked, {
        Kind.GOOD: full,
        Kind.FAIR: filed(case, case.right),
        Kind.WRONG_NUMBER: filed(case, f"{case.wrong} {case.tip}"),
        Kind.INVENTED: filed(case, case.invented),
        Kind.TRUNCATED: _cut(full, chance),
        Kind.OFF_TOPIC: filed(other, f"{other.right} {other.tip}"),
        Kind.EVASIVE: json.dumps(vague),
        Kind.REFUSAL: chance.choice(_REFUSAL),
        Kind.WRONG_PASSAGE: filed(case, f"{case.near} {case.tip}"),
        Kind.BROKEN: f"Sure! Here is the summary:\n```json\n{full}\n```",
    }


_FORMS = (_answer, _draft, _summary)


def _ended(text: str) -> str:
    """Some people end a question with a mark, some with nothing at all; then a dot is ours."""
    return text if text[-1] in ".?!" else f"{text}."


def _cut(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    return " ".join(words[: max(2, int(len(words) * chance.uniform(0.25, 0.6)))]).rstrip(".")
