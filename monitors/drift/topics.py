"""Weekly: which topics are new, which have gone, and is what users get there any worse?

What is kept of a topic is its centre and the ids of its rows, never a word: its terms and examples
are read anew from the sample when the page is made, for as long as retention leaves the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from monitors.context import Context
from monitors.drift.regions import Region, matched, regions
from monitors.drift.texts import Texts, sampled_inputs
from monitors.monitor import monitor
from monitors.reference import is_reference, reference_days
from sql.measurement import Measurement, Status
from sql.tables import partial_result, score
from sql.window import Grain, Window

JOB, STEP = "weekly_drift", "topics"
NEW, GONE = "new", "gone"
_MINIMUM, _FEWEST_SCORES = 50, 10
_KEPT = 500
_REMEMBERED = 8  # weeks


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of one week.

    Args:
        key: stays the same while the topic stays near its place: ``2026-W35.1``.
        kind: `NEW` or `GONE` against the reference.
        centre: unit vector.
        members: ids of its rows, the nearest to the centre first, at most 500.
        size, of: rows of the topic among the texts looked at (of the week, or of the reference
            for one that is gone).
        other, other_of: the same of the other window.
    """

    key: str
    kind: str
    centre: NDArray[np.float32]
    members: tuple[str, ...]
    size: int
    of: int
    other: int
    other_of: int

    @property
    def week(self) -> tuple[int, int]:
        """Rows of the topic in the week, and rows looked at."""
        return (self.size, self.of) if self.kind == NEW else (self.other, self.other_of)

    @property
    def reference(self) -> tuple[int, int]:
        return (self.other, self.other_of) if self.kind == NEW else (self.size, self.of)


@monitor(name="topics", grain=Grain.WEEK)
def topics(window: Window, context: Context) -> Iterator[Measurement]:
    """``drift.topic.share{topic}``: share of the week's inputs in a topic that is new or has gone.

    A new topic is a dense place where the reference has none (`monitors.drift.regions`); one that
    has gone is the same with the windows swapped. The baseline is its share of the reference.
    ``drift.topic.quality{topic}``: mean score of its rows by ``[review] scorer``, against the rest
    of the week. A topic keeps its name from week to week.
    """
    found, reason = find_topics(window, context)
    keep(window, found, context)
    if reason:
        status = Status.NO_DATA if reason == "empty_window" else Status.INSUFFICIENT
        yield _nothing(window, status, reason)
        return
    for topic in found:
        yield _share(topic, window)
        if topic.kind == NEW:
            yield _quality(topic, window, context)
    if not found:
        yield _nothing(window, Status.NO_DATA, "no_topic_moved")


def find_topics(window: Window, context: Context) -> tuple[list[Topic], str]:
    """The week's topics; or why it cannot be said."""
    week = sampled_inputs([window], context)
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
    for kind, without, having, rows in ((NEW, before, now, week), (GONE, now, before, past)):
        places = regions(without, having)
        earlier = [topic for topic in known if topic.kind == kind]
        same = matched([topic.centre for topic in earlier], [place.centre for place in places])
        for place, match in zip(places, same, strict=True):
            key = earlier[match].key if match is not None else ""
            number = len(found) + 1
            key = key or f"{window}.{number}"
            found.append(_topic(key, kind, place, having, rows, len(without)))
    return found, ""


def _lately(window: Window, context: Context) -> list[Topic]:
    """The topics of the last weeks, each where it was last: one quiet week does not rename it."""
    found: dict[str, Topic] = {}
    for back in range(_REMEMBERED, 0, -1):
        found.update({topic.key: topic for topic in read_topics(window.shift(-back), context)})
    return list(found.values())


def _topic(
    key: str, kind: str, place: Region, having: NDArray[np.float32], rows: Texts, other_of: int
) -> Topic:
    order = np.argsort(-(having[place.members] @ place.centre), kind="stable")
    members = [rows.ids[place.members[row]] for row in order[:_KEPT]]
    return Topic(
        key,
        kind,
        place.centre,
        tuple(members),
        len(place.members),
        len(rows),
        place.other,
        other_of,
    )


# ── what is kept ─────────────────────────────────────────────────────────────────────────────


def keep(window: Window, found: Sequence[Topic], context: Context) -> None:
    """Replace what is kept of the week."""
    body = {"topics": [_body(topic) for topic in found]}
    row = {
        "job": JOB,
        "grain": window.grain.value,
        "window_start": window.start,
        "step": STEP,
        "shard": 0,
        "body": body,
        "finished_at": context.clock(),
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, partial_result, [row])


def read_topics(window: Window, context: Context) -> list[Topic]:
    """What is kept of a week; nothing where it was never looked at."""
    table = partial_result.c
    query = select(table.body).where(
        table.job == JOB,
        table.step == STEP,
        table.grain == window.grain.value,
        table.window_start == window.start,
    )
    rows = context.store.rows(query)
    return [_read(each) for each in rows[0].body["topics"]] if rows else []


def _body(topic: Topic) -> dict[str, Any]:
    return {
        "key": topic.key,
        "kind": topic.kind,
        # Three digits of each coordinate move a cosine by less than a thousandth.
        "centre": [round(float(x), 4) for x in topic.centre],
        "members": list(topic.members),
        "size": topic.size,
        "of": topic.of,
        "other": topic.other,
        "other_of": topic.other_of,
    }


def _read(body: dict[str, Any]) -> Topic:
    centre = np.array(body["centre"], dtype=np.float32)
    centre /= np.linalg.norm(centre)
    return Topic(**{**body, "centre": centre, "members": tuple(body["members"])})


# ── measurements ─────────────────────────────────────────────────────────────────────────────


def _share(topic: Topic, window: Window) -> Measurement:
    from monitors.statistics.intervals import wilson

    (size, of), (before, before_of) = topic.week, topic.reference
    low, high = wilson(size, of)
    return Measurement(
        monitor="topics",
        metric="drift.topic.share",
        labels={"topic": topic.key},
        window=window,
        value=size / of,
        low=low,
        high=high,
        n=of,
        baseline=before / before_of,
        method="share of the texts looked at; Wilson; found by the density scan",
        reason=topic.kind,
    )


def scores_of(ids: Sequence[str], context: Context) -> NDArray[np.float64]:
    """What ``[review] scorer`` said of rows, by its present version; those without are left out."""
    name = context.settings.review.scorer
    chosen = next((each for each in context.scorers if each.name == name), None)
    if chosen is None or not ids:
        return np.zeros(0)
    table = score.c
    query = select(table.value).where(
        table.source == context.source.name,
        table.scorer == name,
        table.scorer_version == chosen.version_in(context),
        table.item_id.in_(list(ids)[:_KEPT]),
        table.value.is_not(None),
    )
    return np.array([row.value for row in context.store.rows(query)], dtype=float)


def _quality(topic: Topic, window: Window, context: Context) -> Measurement:
    from monitors.statistics.intervals import mean_interval

    week = sampled_inputs([window], context).ids
    inside = scores_of(topic.members, context)
    mine = set(topic.members)
    outside = scores_of([item for item in week if item not in mine], context)
    about: dict[str, Any] = {
        "monitor": "topics",
        "metric": "drift.topic.quality",
        "labels": {"topic": topic.key},
        "window": window,
        "n": len(inside),
    }
    if min(len(inside), len(outside)) < _FEWEST_SCORES:
        reason = "too_few_scores" if len(inside) else "not_scored"
        return Measurement(**about, status=Status.INSUFFICIENT, reason=reason)
    mean, low, high = mean_interval(inside, bounded=True)
    return Measurement(
        **about,
        value=mean,
        low=low,
        high=high,
        baseline=float(outside.mean()),
        method="mean score of the topic's rows; baseline: of other rows of the week",
    )


def _nothing(window: Window, status: Status, reason: str) -> Measurement:
    return Measurement(
        monitor="topics",
        metric="drift.topic.share",
        window=window,
        n=0,
        status=status,
        reason=reason,
    )
