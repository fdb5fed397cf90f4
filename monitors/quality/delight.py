"""Did it please? Ratings, and engagement that counts only where the answer was good."""

from __future__ import annotations

from collections.abc import Sequence

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.quality.judge import judge_batch, judge_variant
from monitors.scorer import PASS, Layer, Score, scorer

_LOWEST, _HIGHEST = 1, 5


@scorer(name="rating", version="1", layer=Layer.DELIGHT, needs=("rating",))
def rating(batch: Batch, _context: Context) -> Sequence[Score]:
    """The user's rating of 1 to 5, as a share of the way up. Few rate, and not at random."""
    scores = []
    for value in batch["rating"]:
        if value is None:
            scores.append(Score(None, "no_rating"))
        elif not _LOWEST <= value <= _HIGHEST:
            scores.append(Score(None, "out_of_range"))
        else:
            scores.append(Score((value - _LOWEST) / (_HIGHEST - _LOWEST)))
    return scores


def _variant(context: Context) -> str:
    return f"{judge_variant(context)}.{context.settings.judge.threshold:g}"


@scorer(
    name="engaged_and_good",
    version="1",
    layer=Layer.DELIGHT,
    needs=("input", "output", "accepted"),
    reads=("context",),
    variant=_variant,
)
def engaged_and_good(batch: Batch, context: Context) -> Sequence[Score]:
    """The user took the answer, and the judge finds it good ([judge] threshold).

    Engagement alone also rewards answers that please and are wrong.
    """
    threshold = context.settings.judge.threshold
    scores = []
    for taken, quality in zip(batch["accepted"], judge_batch(batch, context), strict=True):
        if taken is None:
            scores.append(Score(None, "no_feedback"))
        elif quality.value is None:
            # Even if refused by the user: else only failures would count where no judge is.
            scores.append(Score(None, quality.reason))
        elif not taken:
            scores.append(Score(0.0, "not_accepted"))
        else:
            scores.append(PASS if quality.value >= threshold else Score(0.0, "poor"))
    return scores
