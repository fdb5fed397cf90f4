"""The page of a week's topics: their words, their nearest examples, what covers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select

from monitors import pages
from monitors.context import Context
from monitors.drift.regions import SAME
from monitors.drift.terms import terms
from monitors.drift.texts import Texts, sampled_inputs
from monitors.drift.topic_values import values_of
from monitors.drift.topics import GONE, NEW, Topic, read_topics
from monitors.reference import reference_days
from monitors.review.golden import list_golden
from sql.measurement import Measurement
from sql.tables import review_item, sample
from sql.window import Window
from sql.words import between, number

_EXAMPLES, _CHARACTERS = 5, 300
_CHUNK = 500
_TEMPLATE = Path(__file__).parent / "templates" / "topics.html"


@dataclass(frozen=True, slots=True)
class Line:
    """A topic as the page shows it.

    Args:
        values: what is measured of its rows, beside the other rows of their window.
        examples: redacted inputs, the nearest to the centre first.
        golden: examples of the golden set that are of this topic.
        reviewed: of its rows, how many are in a review batch.
    """

    title: str
    kind: str
    week: str
    reference: str
    values: Mapping[str, str]
    terms: Sequence[str]
    examples: Sequence[str]
    golden: int
    reviewed: int


def write_topics(window: Window, context: Context) -> Path | None:
    """Write ``drift/<window>-topics.html``; None in a week in which no topic moved."""
    found = read_topics(window, context)
    if not found:
        return None
    lines = []
    for kind, windows in ((NEW, [window]), (GONE, reference_days(context))):
        chosen = [topic for topic in found if topic.kind == kind]
        lines += _lines(chosen, sampled_inputs(windows, context), window, context) if chosen else []
    text = pages.render(_TEMPLATE, window=str(window), lines=lines)
    return pages.write(pages.reports(context.settings, "drift") / f"{window}-topics.html", text)


def _lines(topics: Sequence[Topic], rows: Texts, window: Window, context: Context) -> list[Line]:
    """The topics of one kind; ``rows`` are of the window that has them."""
    members = {topic.key: topic.members for topic in topics}
    values: dict[str, dict[str, str]] = {topic.key: {} for topic in topics}
    for item in values_of(members, rows, window, context):
        name = item.metric.rpartition(".")[2].capitalize()
        values[item.labels["topic"]][name] = _beside(item)
    before = {topic.key: topic.share for topic in read_topics(window.shift(-1), context)}
    for topic in topics:
        if topic.key in before:
            change = number(topic.share - before[topic.key], "ratio")
            values[topic.key]["Growth"] = f"{change} of all requests since the week before"
    return [_line(topic, rows, values[topic.key], context) for topic in topics]


def _line(topic: Topic, rows: Texts, values: Mapping[str, str], context: Context) -> Line:
    mine = set(topic.members)
    outside = [text for item, text in zip(rows.ids, rows.inputs, strict=True) if item not in mine]
    inside = _inputs(topic.members, context)
    examples = [inside[item][0] for item in topic.members if item in inside]
    return Line(
        title=topic.key,
        kind=topic.kind,
        week=f"{number(topic.share, 'ratio')} ({topic.size:,} of {topic.of:,} texts)",
        reference=number(topic.baseline, "ratio"),
        values=values,
        terms=terms(
            [text for text, _ in inside.values()],
            outside,
            authors=[author for _, author in inside.values()],
        ),
        examples=[text[:_CHARACTERS] for text in list(dict.fromkeys(examples))[:_EXAMPLES]],
        golden=_golden(topic, context),
        reviewed=_reviewed(topic.members, context),
    )


def _beside(item: Measurement) -> str:
    if item.value is None:
        return item.reason.replace("_", " ")
    interval = between(item.low, item.high, item.unit)
    shown = number(item.value, item.unit) + (f" ({interval})" if interval else "")
    return f"{shown} of {item.n:,} rows, {number(item.baseline, item.unit)} elsewhere"


def _inputs(ids: Sequence[str], context: Context) -> dict[str, tuple[str, str | None]]:
    """Id → input and the key of who wrote it, where that is known."""
    found: dict[str, tuple[str, str | None]] = {}
    for start in range(0, len(ids), _CHUNK):
        query = select(sample.c.item_id, sample.c.input, sample.c.user_key).where(
            sample.c.source == context.source.name,
            sample.c.item_id.in_(list(ids[start : start + _CHUNK])),
            sample.c.input.is_not(None),
        )
        found.update({row.item_id: (row.input, row.user_key) for row in context.store.rows(query)})
    return found


def _golden(topic: Topic, context: Context) -> int:
    inputs = list(dict.fromkeys(each.input for each in list_golden(context)))
    if not inputs:
        return 0
    vectors = np.asarray(context.embedder().embed(inputs))
    return int(np.count_nonzero(vectors @ topic.centre >= SAME))


def _reviewed(ids: Sequence[str], context: Context) -> int:
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        query = select(review_item.c.item_id).where(
            review_item.c.source == context.source.name,
            review_item.c.item_id.in_(list(ids[start : start + _CHUNK])),
        )
        found.update(row.item_id for row in context.store.rows(query))
    return len(found)
