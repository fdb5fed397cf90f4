"""Is the golden set fit to teach and to watch? Size, near-duplicates, contradictions, leakage.

A judge that has learned an answer almost word for word proves nothing on it, and a model whose
own prompts hold a golden question has been told what will be asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.review.golden import Golden, list_golden

SMALLEST, LARGEST = 500, 2_000
# In the bundled model's space such texts differ by a word or two: of HaluEval's 3,000 pairs of
# question and answer, which are all different questions, none is as close in both.
SAME = 0.95
# A shorter question stands in a prompt by chance.
_LEAST = 20
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Finding:
    """What somebody should look at.

    Args:
        kind: ``size``, ``near_duplicates``, ``contradictions``, ``anchor_leak``, ``prompt_leak``
            or ``no_provenance``.
        what: for people, with the remedy; no text of an example.
        ids: the examples concerned.
    """

    kind: str
    what: str
    ids: tuple[str, ...] = ()


def check_golden(context: Context) -> list[Finding]:
    """All that is wrong with the set; empty when nothing is."""
    examples = list_golden(context)
    found = [*_size(len(examples))]
    unknown = tuple(one.key for one in examples if not one.provenance)
    if unknown:
        what = f"{len(unknown)} examples do not say where they are from: import with --provenance"
        found.append(Finding("no_provenance", what, unknown))
    if examples:
        found += _twins(examples, context)
        found += _prompts(examples, context)
    return found


def _size(count: int) -> Iterator[Finding]:
    if count < SMALLEST:
        yield Finding(
            "size",
            f"{count:,} examples, {SMALLEST - count:,} short of {SMALLEST}: "
            "approve rated answers with `tidegauge review approve`",
        )
    elif count > LARGEST:
        yield Finding(
            "size",
            f"{count:,} examples, {count - LARGEST:,} beyond {LARGEST:,}: too many to keep true",
        )


def _twins(examples: Sequence[Golden], context: Context) -> Iterator[Finding]:
    """Pairs that are close in question and answer: learned twice, at odds, or learned and kept
    apart as an anchor."""
    embedder = context.embedder()
    asked = embedder.embed([one.input for one in examples])
    answered = embedder.embed([one.output for one in examples])
    pairs = near_pairs(asked, answered)
    if pairs:
        ids = _ids(examples, pairs)
        what = f"{len(pairs)} pairs are near-duplicates: they count twice"
        yield Finding("near_duplicates", what, ids)
    at_odds = [(a, b) for a, b in pairs if (examples[a].label >= 0.5) != (examples[b].label >= 0.5)]
    if at_odds:
        what = f"{len(at_odds)} near-duplicate pairs have opposite verdicts: let people settle them"
        yield Finding("contradictions", what, _ids(examples, at_odds))
    leaks = [(a, b) for a, b in pairs if examples[a].is_anchor != examples[b].is_anchor]
    if leaks:
        anchors = {b if examples[b].is_anchor else a for a, b in leaks}
        what = (
            f"{len(anchors)} anchors are nearly among what the judge learns from: "
            "choose other anchors"
        )
        yield Finding("anchor_leak", what, tuple(sorted(examples[place].key for place in anchors)))


def near_pairs(*spaces: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Rows (i, j), i < j, whose unit vectors are within cosine `SAME` in every space."""
    found = []
    count = len(spaces[0])
    for start in range(0, count, _CHUNK):
        close = np.ones((min(_CHUNK, count - start), count), dtype=bool)
        for vectors in spaces:
            close &= vectors[start : start + _CHUNK] @ vectors.T >= SAME
        rows, columns = np.nonzero(close)
        later = columns > rows + start
        found += [
            (int(a), int(b)) for a, b in zip(rows[later] + start, columns[later], strict=True)
        ]
    return found


def _prompts(examples: Sequence[Golden], context: Context) -> Iterator[Finding]:
    """Golden questions within the regression prompts of a provider, or nearly one of them."""
    from monitors.provider.prompts import load_prompts

    turns: list[str] = []
    for settings in context.settings.providers.values():
        path = context.settings.path(settings.prompts)
        if path.exists():
            turns += [turn.content for prompt in load_prompts(path) for turn in prompt.turns]
    if not turns:
        return
    whole = "\n".join(_plain(turn) for turn in turns)
    held = {
        one.key
        for one in examples
        if len(_plain(one.input)) >= _LEAST and _plain(one.input) in whole
    }
    embedder = context.embedder()
    asked = embedder.embed([one.input for one in examples])
    nearest = (asked @ embedder.embed(list(dict.fromkeys(turns))).T).max(axis=1)
    held |= {one.key for one, near in zip(examples, nearest, strict=True) if near >= SAME}
    if held:
        what = (
            f"{len(held)} golden questions stand in the prompts that the provider is asked daily: "
            "take others, or the two monitors watch one thing"
        )
        yield Finding("prompt_leak", what, tuple(sorted(held)))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _ids(examples: Sequence[Golden], pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(sorted({examples[place].key for pair in pairs for place in pair}))
