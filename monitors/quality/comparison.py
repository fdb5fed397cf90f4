"""Is the new prompt version, or the canary, worse? Compared over the last days of the sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.first_seen import FirstSeen, first_seen
from monitors.quality.judged import judged
from monitors.quality.novelty import novelty
from monitors.quality.recent import ARM, FEATURE, VERSION, Recent, read_recent
from monitors.quality.shadow import SHADOW, shadows
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

_CONTROL = "control"
# A version older than this is no longer new, and its predecessor no longer a fair control.
_NEW = timedelta(days=14)
# Worse by less than this is no matter.
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class _Pair:
    """A candidate and what it is held against, each a choice of rows."""

    field: str
    labels: Mapping[str, str]
    candidate: NDArray[np.bool_]
    control: NDArray[np.bool_]
    early: bool


@monitor(name="comparison", grain=Grain.DAY)
def comparison(window: Window, context: Context) -> Iterator[Measurement]:
    """``comparison.prompt_version.difference{feature, metric, candidate, control}`` and
    ``comparison.arm.difference{metric, candidate, control}``: candidate minus control; of a new
    arm also how much of that is gone since (see `novelty`). Shadow answers are compared with what
    was served to the same request (see `shadows`).

    The newest prompt version of each feature (not older than two weeks) against the one most used
    before it, and every arm against *control*, by mean score of the judge and share accepted, over
    the last ``[quality] comparison_hours`` of the sample. Where both versions served in these
    hours they are compared within them; else the control's rows are those of as many hours before.
    Evidence is the posterior probability that the candidate is **not** worse by more than two
    points. Rows of one person are one observation, however many they are: the interval and the
    posterior go by users, else conversations, as clusters, and a side of fewer than ``minimum_n``
    of them is ``too_few``. Younger than the hours: ``insufficient``, ``too_early``.
    """
    span = max(math.ceil(context.settings.quality.comparison_hours / 24), 1)
    seen = first_seen(VERSION, window, context)
    recent = read_recent(window, context, range(2 * span))
    arms = _arms(recent, span)
    for pair in [
        *_version_pairs(window, context, seen, recent, span),
        *_arm_pairs(arms, recent, span),
    ]:
        for metric in recent.values:
            yield _difference(window, context, pair, metric, recent)
    yield from novelty(window, context, arms, _CONTROL, span)
    yield from shadows(window, context, span, _TOLERANCE)


# ── what is compared ─────────────────────────────────────────────────────────────────────────


def _version_pairs(
    window: Window,
    context: Context,
    versions: FirstSeen,
    recent: Recent,
    span: int,
) -> Iterator[_Pair]:
    for feature, seen in sorted(versions.values.items()):
        since = max(seen.values())
        first = min(seen.values())
        # Versions that were there when watching began are not new.
        if since == first or window.end - since > _NEW:
            continue
        newest = min(version for version, start in seen.items() if start == since)
        here = np.ones(len(recent.day), dtype=bool)
        if feature:
            here = recent.fields[FEATURE] == feature
        inside = here & (recent.day < span)
        candidate = inside & (recent.fields[VERSION] == newest)
        chosen = _control(recent, here, inside, [v for v, s in seen.items() if s < since], context)
        if chosen is None:
            continue
        name, control = chosen
        hours = (window.end - since).total_seconds() / 3600
        early = hours < context.settings.quality.comparison_hours
        labels = {"candidate": newest, "control": name}
        if feature:
            labels["feature"] = feature
        yield _Pair(VERSION, labels, candidate, control, early)


def _control(
    recent: Recent,
    here: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    older: Sequence[str],
    context: Context,
) -> tuple[str, NDArray[np.bool_]] | None:
    """The older version most seen in the same hours; too little of it, then in those before."""
    for rows, least in ((inside, context.settings.quality.minimum_n), (here, 1)):
        counts = {v: int((rows & (recent.fields[VERSION] == v)).sum()) for v in older}
        most = max(sorted(counts), key=lambda v: counts[v], default=None)
        if most is not None and counts[most] >= least:
            return most, rows & (recent.fields[VERSION] == most)
    return None


def _arms(recent: Recent, span: int) -> list[str]:
    """The arms that served in the compared days beside the control."""
    inside = recent.day < span
    present = {arm for arm in recent.fields[ARM][inside] if arm is not None}
    return sorted(present - {_CONTROL, SHADOW})[: slices.MOST] if _CONTROL in present else []


def _arm_pairs(arms: Sequence[str], recent: Recent, span: int) -> Iterator[_Pair]:
    inside = recent.day < span
    control = inside & (recent.fields[ARM] == _CONTROL)
    for arm in arms:
        candidate = inside & (recent.fields[ARM] == arm)
        # An arm that was there on fewer days than are compared has only begun.
        early = len(set(recent.day[candidate].tolist())) < span
        labels = {"candidate": slices.label_text(arm), "control": _CONTROL}
        yield _Pair(ARM, labels, candidate, control, early)


# ── the difference ───────────────────────────────────────────────────────────────────────────


def _difference(
    window: Window, context: Context, pair: _Pair, metric: str, recent: Recent
) -> Measurement:
    from monitors.statistics.clusters import contrast

    about: dict[str, Any] = {
        "monitor": "comparison",
        "metric": f"comparison.{pair.field}.difference",
        "labels": {**pair.labels, "metric": metric},
        "window": window,
    }
    values = recent.values[metric]
    known = ~np.isnan(values)
    groups = np.full(len(values), -1, dtype=np.intp)
    groups[pair.candidate & known], groups[pair.control & known] = 0, 1
    n = int((groups >= 0).sum())
    people = min(len(np.unique(recent.persons[groups == side])) for side in (0, 1))
    if people < 2:
        reason = "too_early" if pair.early else "too_few"
        return Measurement(**about, n=n, status=Status.INSUFFICIENT, reason=reason)
    found = contrast(values, recent.weights, recent.persons, groups, (1.0, -1.0))
    status, reason = Status.COMPLETE, ""
    if pair.early:
        status, reason = Status.INSUFFICIENT, "too_early"
    elif people < context.settings.quality.minimum_n:
        status, reason = Status.INSUFFICIENT, "too_few"
    return Measurement(
        **about,
        n=n,
        **judged(found, _TOLERANCE, "weighted means"),
        status=status,
        reason=reason,
    )
