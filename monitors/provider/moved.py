"""Which prompts moved most between two sets of answers, and a page that shows them side by side.

Texts stand on the page alone, redacted, in a folder of the team's own; never in a message, a log or
a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitors import pages
from monitors.logs.redaction import redact
from monitors.provider.baselines import Answer
from monitors.provider.checks import judge
from monitors.provider.features import FEATURES, Seen
from monitors.provider.prompts import Prompt
from monitors.provider.verdict import ALPHA, Moved
from monitors.settings import ProviderSettings
from sql.words import number

_TEMPLATE = Path(__file__).parent / "templates" / "moved.html"

SHOWN = 10
_LONGEST = 1_500
# A factor of e in length or cost counts as much as right against wrong.
_MOST = 1.0


@dataclass(frozen=True, slots=True)
class MovedPrompt:
    """One prompt with an answer of each side, redacted, and in what they differ.

    Args:
        score: 0 (alike) upwards; the sum of what moved, each part at most 1.
        notes: ``correctness 100.0 % → 0.0 %`` and so on.
    """

    prompt_id: str
    score: float
    question: str
    before: str
    after: str
    notes: tuple[str, ...]


def most_moved(
    prompts: Sequence[Prompt],
    pinned: Mapping[str, Sequence[Answer]],
    replayed: Mapping[str, Sequence[Answer]],
    settings: ProviderSettings,
    *,
    shown: int = SHOWN,
) -> list[MovedPrompt]:
    """The prompts whose answers differ most, the worst first; ties by id."""
    found = []
    for prompt in prompts:
        old, new = pinned.get(prompt.id), replayed.get(prompt.id)
        if not old or not new:
            continue
        score, notes = _difference(prompt, old, new, settings)
        if score > 0:
            found.append((score, prompt, old[0].text, new[0].text, notes))
    found.sort(key=lambda entry: (-entry[0], entry[1].id))
    return [
        MovedPrompt(prompt.id, score, _shown(_asked(prompt)), _shown(old), _shown(new), notes)
        for score, prompt, old, new, notes in found[:shown]
    ]


def _difference(
    prompt: Prompt, old: Sequence[Answer], new: Sequence[Answer], settings: ProviderSettings
) -> tuple[float, tuple[str, ...]]:
    total, notes = 0.0, []
    for feature in FEATURES:
        if not feature.in_verdict:
            continue
        sides = []
        for answers in (old, new):
            seen = [Seen(answer, judge(prompt.check, answer.text)) for answer in answers]
            values = [feature.read(one, settings) for one in seen]
            known = [value for value in values if value is not None]
            sides.append(sum(known) / len(known) if len(known) == len(values) else None)
        before, after = sides
        if before is None or after is None:
            continue
        moved = abs(after - before) if feature.share else abs(math.log(after / before))
        if moved > feature.tolerance:
            total += min(moved, _MOST)
            told = f"{number(before, feature.unit)} → {number(after, feature.unit)}"
            notes.append(f"{feature.name} {told}")
    return total, tuple(notes)


def _asked(prompt: Prompt) -> str:
    return "\n\n".join(turn.content for turn in prompt.turns if turn.role != "system")


def _shown(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
    return redact(cut).text


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a page is about.

    Args:
        title: for example ``main, 2026-06-01``.
        before, after: what is compared, for the heads of the columns.
        verdict: one sentence.
        found: every feature's effect.
        facts: further lines, such as which models answered.
    """

    title: str
    before: str
    after: str
    verdict: str
    found: Sequence[Moved]
    prompts: Sequence[MovedPrompt]
    facts: Sequence[str] = ()


def write_page(path: Path, comparison: Comparison) -> Path:
    """Write the page; the same comparison gives the same bytes."""
    text = pages.render(
        _TEMPLATE,
        comparison=comparison,
        rows=[_line(each) for each in comparison.found],
        alpha=f"{ALPHA:.2g}",
    )
    return pages.write(path, text)


def _line(each: Moved) -> dict[str, object]:
    """A feature's effect in the words of its scale."""
    feature, effect = each.feature, each.effect
    if feature.share:
        before, after = effect.pinned, effect.replayed
        change = f"{100 * effect.low:+.1f} to {100 * effect.high:+.1f} points"
    else:
        before, after = math.exp(effect.pinned), math.exp(effect.replayed)
        change = f"{100 * math.expm1(effect.low):+.0f} % to {100 * math.expm1(effect.high):+.0f} %"
    return {
        "name": feature.name,
        "before": number(before, feature.unit),
        "after": number(after, feature.unit),
        "change": change,
        "p": f"{each.p:.2g}",
        "n": effect.n,
        "moved": each.moved,
        "in_verdict": feature.in_verdict,
    }
