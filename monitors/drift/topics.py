"""Weekly: which topics are new, which have gone, and is what users get there any worse?

What is kept of a topic is its centre and the ids of its rows, never a word: its terms and examples
are read anew from the sample when the page is made, for as long as retention leaves the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.drift.regions import Region, matched, regions
from monitors.drift.texts import Texts, sampled_inputs
from monitors.drift.topic_values import growth, values_of
from monitors.kept import Kept
from monitors.monitor import monitor
from monitors.reference import is_reference, reference_days
from sql.measurement import Measurement, Status, unmeasured
from sql.window import Grain, Window

_nothing = partial(unmeasured, "topics", "drift.topic.share")

KEPT = Kept("weekly_drift", "topics")
NEW, GONE = "new", "gone"
_MINIMUM = 50
_REMEMBERED = 8  # weeks


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of one week.

    Args:
        key: stays the same while the topic stays near its place: ``2026-W35.1``.
        kind: `NEW` or `GONE` against the reference.
        centre: unit vector.
        members: ids of its rows (of the week, or of the reference for one that is gone), the
            nearest to the centre first.
        share, low, high: of the week's traffic, with its interval.
        baseline: share of the reference's.
        size, of: its texts in the week, and texts looked at.
    """

    key: str
    kind: str
    centre: NDArray[np.float32]
    members: tuple[str, ...]
    share: float
    low: float
    high: float
    baseline: float
    size: int
    of: int


@monitor(name="topics", grain=Grain.WEEK)
def topics(window: Window, context: Context) -> Iterator[Measurement]:
    """``drift.topic.share{topic}``: share of the week's inputs in a topic that is new or has gone.

    A new topic is a dense place where the reference has none (`monitors.drift.regions`); one that
    has gone is the same with the windows swapped. The baseline is its share of the reference.
    Of a new topic's rows, against the rest of the week: ``drift.topic.quality{topic}`` (mean score
    by ``[review] scorer``), ``drift.topic.latency{topic}`` (median) and ``drift.topic.cost{topic}``
    (mean). ``drift.topic.growth{topic}``: its share less that of the week before. A topic keeps
    its name from week to week.
    """
    week = sampled_inputs([window], context)
    found, reason = find_topics(window, week, context)
    keep(window, found, context)
    if reason:
        status = Status.NO_DATA if reason == "empty_window" else Status.INSUFFICIENT
        yield _nothing(window, status, reason)
        return
    yield from (_share(topic, window) for topic in found)
    new = {topic.key: topic.members for topic in found if topic.kind == NEW}
    yield from values_of(new, week, window, context)
    before = {topic.key: topic for topic in read_topics(window.shift(-1), context)}
    for topic in found:
        if topic.kind == NEW and topic.key in before:
            last = before[topic.key]
            now, then = (topic.share, topic.low, topic.high), (last.share, last.low, last.high)
            yield growth(topic.key, now, then, topic.of, window)
    if not found:
        yield _nothing(window, Status.NO_DATA, "no_topic_moved")


def find_topics(window: Window, week: Texts, context: Context) -> tuple[list[Topic], str]:
    """The week's topics; or why it cannot be said."""
    if not len(week):
        return [], "empty_window"
    if is_reference(window, context):
        return [], "reference_period"
    past = sampled_inputs(reference_days(context), context)
    if min(len(past), len(week)) < _MINIMUM:
        return [], "too_few_rows"
    embed = context.embedder().embed
    before, now = np.asarray(embed(past.inputs)), np.asarray(embed(week.inputs))
    known = _lately(window, context)
    found: list[Topic] = []
    for kind, without, having in ((NEW, before, now), (GONE, now, before)):
        places = regions(without, having)
        earlier = [topic for topic in known if topic.kind == kind]
        same = matched([topic.centre for topic in earlier], [place.centre for place in places])
        for place, match in zip(places, same, strict=True):
            key = earlier[match].key if match is not None else ""
            number = len(found) + 1
            key = key or f"{window}.{number}"
            found.append(_topic(key, kind, place, having, week, past))
    return found, ""


def _lately(window: Window, context: Context) -> list[Topic]:
    """The topics of the last weeks, each where it was last: one quiet week does not rename it."""
    found: dict[str, Topic] = {}
    for back in range(_REMEMBERED, 0, -1):
        found.update({topic.key: topic for topic in read_topics(window.shift(-back), context)})
    return list(found.values())


def _topic(
    key: str, kind: str, place: Region, having: NDArray[np.float32], week: Texts, past: Texts
) -> Topic:
    """What the place says of both windows, in shares of their traffic."""
    from monitors.statistics.intervals import mean_interval

    order = np.argsort(-(having[place.members] @ place.centre), kind="stable")
    nearest = place.members[order]
    here, there = (nearest, place.other) if kind == NEW else (place.other, nearest)
    mine = np.zeros(len(week))
    mine[here] = 1
    share, low, high = mean_interval(mine, week.weights, bounded=True)
    baseline = float(past.weights[there].sum() / past.weights.sum())
    ids = (week if kind == NEW else past).ids
    members = tuple(ids[row] for row in nearest)
    return Topic(key, kind, place.centre, members, share, low, high, baseline, len(here), len(week))


# ── what is kept ─────────────────────────────────────────────────────────────────────────────


def keep(window: Window, found: Sequence[Topic], context: Context) -> None:
    """Replace what is kept of the week."""
    KEPT.write(window, {"topics": [_body(topic) for topic in found]}, context)


def read_topics(window: Window, context: Context) -> list[Topic]:
    """What is kept of a week; nothing where it was never looked at."""
    kept = (KEPT.body(window, context) or {"topics": []})["topics"]
    # A week kept before shares were weighted is as one that was never looked at.
    return [_read(each) for each in kept if "share" in each]


def _body(topic: Topic) -> dict[str, Any]:
    # Three digits of each coordinate move a cosine by less than a thousandth.
    centre = [round(float(x), 4) for x in topic.centre]
    return {**asdict(topic), "centre": centre, "members": list(topic.members)}


def _read(body: dict[str, Any]) -> Topic:
    centre = np.array(body["centre"], dtype=np.float32)
    centre /= np.linalg.norm(centre)
    return Topic(**{**body, "centre": centre, "members": tuple(body["members"])})


# ── measurements ─────────────────────────────────────────────────────────────────────────────


def _share(topic: Topic, window: Window) -> Measurement:
    return Measurement(
        monitor="topics",
        metric="drift.topic.share",
        labels={"topic": topic.key},
        window=window,
        value=topic.share,
        low=topic.low,
        high=topic.high,
        n=topic.of,
        baseline=topic.baseline,
        method="weighted share of the texts looked at; Wilson at the effective sample size; "
        "found by the density scan",
        reason=topic.kind,
    )
