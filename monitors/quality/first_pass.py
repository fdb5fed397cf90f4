"""One look at each output for all safety scorers: which rows can hold what each looks for.

Every byte costs the same however many patterns are asked about, so that one RE2 set of them all is
about as fast as the set of one scorer. It is run over a batch once; the scorers share what it says
and look closer only at the rows that it names for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from monitors.logs.detectors import FIRST_PASS
from monitors.logs.interaction import Batch
from monitors.provider.checks import refusal_pattern
from monitors.quality.lexicon import TOXIC

# A set that runs out of memory would say "no match"; this is far above what the patterns need.
_MEMORY = 512 << 20

# Who asks → patterns. Each says yes wherever the scorer's own rule would; those of toxicity are
# the rule itself, in the order of its kinds.
PERSONAL, TOXICITY, REFUSAL, LINKS = "personal", "toxicity", "refusal", "links"
_TOXIC = [(kind, rf"(?i)\b(?:{part})\b") for kind, parts in TOXIC.items() for part in parts]
_ASKED: Mapping[str, list[str]] = {
    PERSONAL: list(FIRST_PASS.values()),
    TOXICITY: [pattern for _, pattern in _TOXIC],
    # The rule reads an opening that may end inside a word, with straight apostrophes.
    REFUSAL: [refusal_pattern(apostrophe="['’]", end="")],
    LINKS: [r"://|ww\."],
}
_OWNERS = [(who, place) for who, parts in _ASKED.items() for place in range(len(parts))]


def outputs_with(who: str, batch: Batch) -> Mapping[int, int]:
    """Rows of the batch whose output may hold what ``who`` looks for, in their order.

    Returns:
        row → the place of the first of ``who``'s patterns that stands there.
    """
    found: dict[str, dict[int, int]] = batch.once("first_pass", lambda: _looked(batch))
    return found[who]


def toxic_kind(place: int) -> str:
    """The kind of the lexicon to which a place of `TOXICITY` belongs."""
    return _TOXIC[place][0]


def _looked(batch: Batch) -> dict[str, dict[int, int]]:
    match = _set().Match
    found: dict[str, dict[int, int]] = {who: {} for who in _ASKED}
    for row, text in enumerate(batch["output"]):
        if text and (hits := match(text.encode("utf-8", "surrogatepass"))):
            for who, place in map(_OWNERS.__getitem__, sorted(hits)):
                found[who].setdefault(row, place)
    return found


@cache
def _set() -> Any:
    import re2

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    patterns = re2.Set.SearchSet(options)
    for parts in _ASKED.values():
        for pattern in parts:
            patterns.Add(pattern)
    patterns.Compile()
    return patterns
