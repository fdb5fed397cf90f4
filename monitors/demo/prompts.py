"""The demo's regression prompts, and a provider that answers them from a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise

import numpy as np

from monitors.demo.grammar import PER_TOPIC, unfold
from monitors.demo.incidents import effects
from monitors.demo.product import ANSWER, HEALTHY, STRONG, SYSTEM_PROMPTS, UPDATED, WORSE, Kind
from monitors.provider.prompts import Check, Message, Prompt
from monitors.provider.recorded import Answered, Asked

_PER_TOPIC = 3
# A regression prompt has a known answer: that its asker is out of luck does not occur.
_ODD = (Kind.TRUNCATED, Kind.OFF_TOPIC, Kind.WRONG_PASSAGE)


def regression_prompts(seed: int) -> tuple[Prompt, ...]:
    """Some questions of each topic, with their passages and the figure that a right answer has."""
    return tuple(
        Prompt(
            id=name,
            messages=(
                Message(role="system", content=SYSTEM_PROMPTS["answer"]),
                Message(role="user", content=f"{case.passages}\n\n{case.question}"),
            ),
            parameters={"temperature": 0.2},
            feature="answer",
            check=Check(kind="contains", reference=[case.telling]),
        )
        for name, case in _cases(seed).items()
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """A scenario that can be checked: its texts, and what only the right answer says."""

    question: str
    passages: str
    answers: list[str]
    telling: str


@lru_cache(maxsize=2)
def _cases(seed: int) -> Mapping[str, _Case]:
    grammar = unfold(seed)
    pool = grammar.pools[ANSWER]
    cases: dict[str, _Case] = {}
    for place, topic in enumerate(grammar.topics[:-1]):
        found = 0
        for scenario in range(place * PER_TOPIC, (place + 1) * PER_TOPIC):
            answers = [texts[scenario] for texts in pool.outputs]
            telling = _telling(answers[Kind.FAIR], answers[Kind.WRONG_NUMBER])
            if telling is None or found == _PER_TOPIC:
                continue
            passages = pool.contexts[scenario] or ""
            cases[f"{topic}-{found}"] = _Case(pool.inputs[scenario], passages, answers, telling)
            found += 1
    return cases


def _telling(right: str, wrong: str) -> str | None:
    """The figure that only the right answer has, with the word before it: 6 stands in 16, too."""
    words = [word.strip(".,") for word in right.split()]
    rest = {word.strip(".,") for word in wrong.split()}
    for before, word in pairwise(words):
        if word not in rest and any(char.isdigit() for char in word):
            return f"{before} {word}"
    return None


def answerer(seed: int, first_day: date) -> Callable[[Asked], Answered]:
    """Answers of the model behind the API on the day that the request names.

    While the planted update lasts another build answers: less often right, and under another
    name and fingerprint.
    """
    cases = _cases(seed)

    def answer(asked: Asked) -> Answered:
        name, repeat = asked.trace["prompt"], asked.trace["repeat"]
        day = date.fromisoformat(asked.trace["day"][:10])
        updated = effects((day - first_day).days).updated
        model = UPDATED if updated else STRONG
        text = cases[name].answers[_kind(name, repeat, day, seed, updated=updated)]
        return Answered(
            text=text,
            model=model.response,
            fingerprint=model.fingerprint,
            input_tokens=120 + len(cases[name].passages) // 4,
            output_tokens=max(1, len(text) // 4),
        )

    return answer


def _kind(name: str, repeat: str, day: date, seed: int, *, updated: bool) -> Kind:
    """How the model fares this time: at random, but the same whenever the same is asked."""
    mix = WORSE if updated else HEALTHY
    kinds = [kind for kind in mix if kind not in _ODD]
    shares = np.array([mix[kind] for kind in kinds])
    text = f"{name}/{repeat}".encode()
    rng = np.random.default_rng([seed, day.toordinal(), *text])
    return kinds[int(np.searchsorted(np.cumsum(shares / shares.sum()), rng.random()))]
