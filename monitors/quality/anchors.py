"""Is the judge still the same? Frozen examples, scored again every day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality.judge import NAME, NoGoldenSet, in_force
from monitors.quality.judge_training import anchor_scores
from monitors.review.golden import list_golden
from sql.measurement import Measurement, Status
from sql.tables import model_artifact
from sql.window import Grain, Window

_FEWEST = 10


@monitor(name="anchors", grain=Grain.DAY)
def anchors(window: Window, context: Context) -> Iterator[Measurement]:
    """``evaluation.anchor_change{scorer}``: mean score of the anchors now, less when trained.

    The texts cannot change, so any change is the judge's: its code, its embedding model, its
    coefficients. ``evaluation.anchor_error{scorer}``: mean distance of the scores from people's
    verdicts on the anchors, which the judge never learned from; its baseline is the distance at
    training.
    """
    about = {"monitor": "anchors", "labels": {"scorer": NAME}, "window": window}
    before: dict[str, float] = {}
    reason = "no_judge" if context.settings.judge.kind == "none" else ""
    if not reason:
        try:
            judge = in_force(context)
        except NoGoldenSet:
            reason = "no_golden_set"
        else:
            table = model_artifact.c
            query = select(table.card).where(table.name == NAME, table.digest == judge.digest)
            before = context.store.rows(query)[0].card["anchors"]
            now = anchor_scores(judge, context)
            before = {key: value for key, value in before.items() if key in now}
            reason = "" if before else "no_anchors"
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
        method="the same texts as when the judge was trained; Student interval",
        status=Status.INSUFFICIENT if few else Status.COMPLETE,
        reason="too_few" if few else "",
    )
