"""The demo's regression prompts, and a provider that answers them from a script."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date

from monitors.demo.incidents import PROVIDER_UPDATE
from monitors.demo.product import CITIES, INTENTS, ITEMS, SIZES
from monitors.demo.traffic import within
from monitors.provider.prompts import Check, Prompt
from monitors.provider.recorded import Answered, Asked

_VARIANTS = 2
# What the update does to a right answer, and what plain sampling noise does.
_WORSE, _NOISE = 0.4, 0.03


def regression_prompts() -> tuple[Prompt, ...]:
    """Two questions of each intent, with the passage they rest on and the number that is right."""
    return tuple(
        _prompt(number, variant) for number in range(len(INTENTS)) for variant in range(_VARIANTS)
    )


def _slots(number: int, variant: int) -> dict[str, str | int]:
    place = number * _VARIANTS + variant
    return {
        "item": ITEMS[place % len(ITEMS)],
        "city": CITIES[place % len(CITIES)],
        "size": SIZES[place % len(SIZES)],
        "order": f"CN-{200_000 + place}",
        "days": 2 + place % 13,
        "price": 3 + place % 19,
    }


def _prompt(number: int, variant: int) -> Prompt:
    intent, slots = INTENTS[number], _slots(number, variant)
    question = intent.questions[variant].format(**slots)
    return Prompt(
        id=f"{intent.name}-{variant}",
        input=f"Context: {intent.fact.format(**slots)}\nQuestion: {question}",
        parameters={"temperature": 0.2},
        feature="answer",
        check=Check(kind="contains", reference=[_telling(intent.answer, slots)]),
    )


def _telling(answer: str, slots: dict[str, str | int]) -> str:
    """The part of the right answer that a wrong one would not have."""
    slot = next(name for name in ("days", "price", "order") if f"{{{name}}}" in answer)
    return str(slots[slot])


def answerer(first_day: date) -> Callable[[Asked], Answered]:
    """Answers of the model behind the API on the day that the request names.

    From the planted provider update on until its end another build answers: less often right,
    shorter, and under another fingerprint.
    """
    right = {
        f"{intent.name}-{variant}": intent.answer.format(**_slots(number, variant))
        for number, intent in enumerate(INTENTS)
        for variant in range(_VARIANTS)
    }

    def answer(asked: Asked) -> Answered:
        prompt, day = asked.trace["prompt"], date.fromisoformat(asked.trace["day"][:10])
        changed = within((day - first_day).days, PROVIDER_UPDATE)
        seed = f"{prompt}/{asked.trace['repeat']}/{day if changed else day.toordinal() % 5}"
        chance = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32
        wrong = chance < (_WORSE if changed else _NOISE)
        text = right[prompt]
        if wrong:
            text = "Please have a look at our website."
        elif not changed and chance > 0.5:
            text += " Is there anything else I can help you with?"
        return Answered(
            text=text,
            model="nw-large-0613" if changed else "nw-large-0301",
            fingerprint="fp_b7" if changed else "fp_a2",
            input_tokens=60,
            output_tokens=max(1, len(text) // 4),
        )

    return answer
