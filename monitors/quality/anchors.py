"""Is the judge still the same? Frozen examples, scored again every day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality.judge import NAME, NoGoldenSet, in_force
from monitors.quality.judge_training import anchor_scores
from monitors.review.golden import list_golden
from sql.measurement import Measurement, Status
from sql.tables import model_artifact
from sql.types import canonical_json
from sql.window import Grain, Window

_FEWEST = 10


@monitor(name="anchors", grain=Grain.DAY)
def anchors(window: Window, context: Context) -> Iterator[Measurement]:
    """``evaluation.anchor_change{scorer}``: mean score of the anchors now, less at first.

    The texts cannot change, so any change is the judge's: of a trained one its code, its embedding
    model, its coefficients; of an LLM the model behind the name.
    ``evaluation.anchor_error{scorer}``: mean distance of the scores from people's
    verdicts on the anchors, which the judge never learned from; its baseline is the distance
    at first.
    """
    about: dict[str, Any] = {"monitor": "anchors", "labels": {"scorer": NAME}, "window": window}
    before, now, reason = _then_and_now(context)
    if reason:
        yield Measurement(
            **about,
            metric="evaluation.anchor_change",
            n=0,
            status=Status.NO_DATA,
            reason=reason,
        )
        return
    labels = {golden.key: golden.label for golden in list_golden(context) if golden.is_anchor}
    keys = sorted(before)
    then = np.array([before[key] for key in keys])
    today = np.array([now[key] for key in keys])
    truth = np.array([labels[key] for key in keys])
    for metric, values, baseline in (
        ("evaluation.anchor_change", today - then, 0.0),
        ("evaluation.anchor_error", np.abs(today - truth), float(np.abs(then - truth).mean())),
    ):
        yield _mean({**about, "metric": metric}, values, baseline)


Said = dict[str, float]


def _then_and_now(context: Context) -> tuple[Said, Said, str]:
    """By anchor, what the judge said at first and says now; or why there is nothing to say."""
    kind = context.settings.judge.kind
    if kind == "none":
        return {}, {}, "no_judge"
    try:
        before, now = _llm(context) if kind == "llm" else _trained(context)
    except NoGoldenSet:
        return {}, {}, "no_golden_set"
    except NoVerdict as silent:
        return {}, {}, silent.code
    before = {key: value for key, value in before.items() if key in now}
    return before, now, "" if before else "no_anchors"


def _trained(context: Context) -> tuple[Said, Said]:
    judge = in_force(context)
    table = model_artifact.c
    query = select(table.card).where(table.name == NAME, table.digest == judge.digest)
    return dict(context.store.rows(query)[0].card["anchors"]), anchor_scores(judge, context)


class NoVerdict(Exception):
    """The LLM judge graded no anchor at all."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def _llm(context: Context) -> tuple[Said, Said]:
    """Asked anew each time: what was kept cannot change, and the model behind the name can.

    The first grades under a definition of the judge are kept with it, as what it once said.
    """
    from monitors.quality import judge_prompt, llm_judge

    settings = context.settings.judge.llm
    examples = [golden for golden in list_golden(context) if golden.is_anchor]
    if settings is None or not examples:
        return {}, {}
    cases = [(golden.input, golden.output, golden.context) for golden in examples]
    graded = llm_judge.grade(cases, context, fresh=True)
    now = {
        golden.key: llm_judge.overall(said)
        for golden, said in zip(examples, graded, strict=True)
        if not isinstance(said, str)
    }
    if not now:
        codes = Counter(said for said in graded if isinstance(said, str))
        raise NoVerdict(codes.most_common(1)[0][0])
    digest = judge_prompt.digest_of(settings)
    first = {
        "name": "llm_judge",
        "digest": digest,
        "body": canonical_json(judge_prompt.definition(settings)).encode(),
        "card": {"anchors": now},
        "created_at": context.clock(),
    }
    if len(now) == len(examples):
        with context.store.begin() as connection:
            context.store.upsert(connection, model_artifact, [first], keep=True)
    table = model_artifact.c
    query = select(table.card).where(table.name == "llm_judge", table.digest == digest)
    kept = context.store.rows(query)
    return (dict(kept[0].card["anchors"]) if kept else now), now


def _mean(about: dict[str, object], values: np.ndarray, baseline: float) -> Measurement:
    from monitors.statistics.intervals import mean_interval

    n = len(values)
    mean, low, high = mean_interval(values) if n > 1 else (float(values[0]), None, None)
    few = n < _FEWEST
    return Measurement(
        **about,  # type: ignore[arg-type]
        value=mean,
        low=low,
        high=high,
        n=n,
        baseline=baseline,
        method="the same texts as when the judge was made; Student interval",
        status=Status.INSUFFICIENT if few else Status.COMPLETE,
        reason="too_few" if few else "",
    )
