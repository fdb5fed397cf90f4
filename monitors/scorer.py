"""A scorer: a small, versioned function from interactions to scores from 0 (bad) to 1 (good)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from monitors.logs.interaction import Batch
from sql.types import canonical_json

if TYPE_CHECKING:
    from monitors.context import Context


class Layer(StrEnum):
    """The pyramid, from the ground up."""

    SAFETY = "safety"
    CORRECTNESS = "correctness"
    USEFULNESS = "usefulness"
    DELIGHT = "delight"


class Score(NamedTuple):
    """One verdict: ``value`` in [0, 1], or None where it could not be judged, with a reason code.

    The reason is a short code (``email``, ``refused``, ``no_reference``), never a text of a user
    or a model.
    """

    value: float | None
    reason: str = ""


PASS = Score(1.0)
ScoreFunction = Callable[[Batch, "Context"], Sequence[Score]]


@dataclass(frozen=True, slots=True)
class Scorer:
    """What `scorer` makes of a function.

    Args:
        name, version: together they name the yardstick; raise the version when a score can change.
        layer: where in the pyramid it stands.
        needs: attributes of `Interaction` without which it reports no data.
        reads: further attributes that it uses where the log has them.
        variant: names what else the scores depend on, such as the digest of a trained model.
        silent: a reason code while it can say nothing of any row, such as before its model is
            trained; else empty. It is not run then, and the reason is told.
    """

    name: str
    version: str
    layer: Layer
    needs: tuple[str, ...]
    function: ScoreFunction
    doc: str
    reads: tuple[str, ...] = ()
    variant: Callable[[Context], str] | None = None
    silent: Callable[[Context], str] | None = None

    def silent_in(self, context: Context) -> str:
        """Why it has nothing to say at present; empty when it has."""
        return self.silent(context) if self.silent else ""

    def version_in(self, context: Context) -> str:
        """The version under which scores are kept: scores of two versions are never mixed."""
        return f"{self.version}+{self.variant(context)}" if self.variant else self.version

    def __call__(self, batch: Batch, context: Context) -> Sequence[Score]:
        """Score every row.

        Raises:
            ValueError: the function returned another number of scores, or one outside [0, 1].
        """
        scores = self.function(batch, context)
        if len(scores) != len(batch):
            raise ValueError(f"scorer {self.name} gave {len(scores)} scores for {len(batch)} rows")
        for score in scores:
            if score.value is not None and not 0 <= score.value <= 1:
                raise ValueError(f"scorer {self.name} gave a score outside 0 to 1")
        return scores


def scorer(
    *,
    name: str,
    version: str,
    layer: Layer,
    needs: Sequence[str],
    reads: Sequence[str] = (),
    variant: Callable[[Context], str] | None = None,
    silent: Callable[[Context], str] | None = None,
) -> Callable[[ScoreFunction], Scorer]:
    """Declare a scorer; name it in the configuration as ``use = "module:attribute"``.

    One with options is declared inside a function that takes them and returns it: the
    configuration names that function.
    """

    def declare(function: ScoreFunction) -> Scorer:
        doc = (function.__doc__ or "").strip()
        return Scorer(
            name, version, layer, tuple(needs), function, doc, tuple(reads), variant, silent
        )

    return declare


def version_with(version: str, **options: Any) -> str:
    """A version that tells options apart: other options give other scores."""
    digest = hashlib.sha256(canonical_json(options).encode()).hexdigest()[:8]
    return f"{version}.{digest}"
