"""The page of a week's topics: their words, their nearest examples, what covers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.drift.regions import SAME
from monitors.drift.terms import terms
from monitors.drift.texts import sampled_inputs
from monitors.drift.topics import NEW, Topic, read_topics, scores_of
from monitors.reference import reference_days
from monitors.review.golden import list_golden
from sql.tables import review_item, sample
from sql.window import Window
from sql.words import number

_EXAMPLES, _CHARACTERS = 5, 300
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Line:
    """A topic as the page shows it.

    Args:
        examples: redacted inputs, the nearest to the centre first.
        golden: examples of the golden set that are of this topic.
        reviewed: of its rows, how many are in a review batch.
    """

    title: str
    kind: str
    week: str
    reference: str
    quality: str
    terms: Sequence[str]
    examples: Sequence[str]
    golden: int
    reviewed: int


def write_topics(window: Window, context: Context) -> Path | None:
    """Write ``drift/<window>-topics.html``; None in a week in which no topic moved."""
    found = read_topics(window, context)
    if not found:
        return None
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from monitors.review.files import visible

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(visible=visible)
    lines = [_line(topic, window, context) for topic in found]
    text = environment.get_template("topics.html").render(window=str(window), lines=lines)
    folder = context.settings.path(context.settings.reports) / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{window}-topics.html"
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(path)


def _line(topic: Topic, window: Window, context: Context) -> Line:
    windows = [window] if topic.kind == NEW else reference_days(context)
    mine = set(topic.members)
    everybody = sampled_inputs(windows, context)
    outside = [
        text for item, text in zip(everybody.ids, everybody.inputs, strict=True) if item not in mine
    ]
    inside = _inputs(topic.members, context)
    examples = [inside[item][0] for item in topic.members if item in inside]
    return Line(
        title=topic.key,
        kind="new" if topic.kind == NEW else "gone",
        week=_share(*topic.week),
        reference=_share(*topic.reference),
        quality=_quality(topic, everybody.ids, context),
        terms=terms(
            [text for text, _ in inside.values()],
            outside,
            authors=[author for _, author in inside.values()],
        ),
        examples=[text[:_CHARACTERS] for text in list(dict.fromkeys(examples))[:_EXAMPLES]],
        golden=_golden(topic, context),
        reviewed=_reviewed(topic.members, context),
    )


def _share(size: int, of: int) -> str:
    return f"{number(size / of, 'ratio')} ({size:,} of {of:,})"


def _quality(topic: Topic, everybody: Sequence[str], context: Context) -> str:
    inside = scores_of(topic.members, context)
    mine = set(topic.members)
    outside = scores_of([item for item in everybody if item not in mine], context)
    if not len(inside) or not len(outside):
        return "not scored"
    return (
        f"{number(float(inside.mean()), 'ratio')} of {len(inside)} rows, "
        f"{number(float(outside.mean()), 'ratio')} elsewhere"
    )


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
    query = select(review_item.c.item_id).where(
        review_item.c.source == context.source.name,
        review_item.c.item_id.in_(list(ids)[:_CHUNK]),
    )
    return len({row.item_id for row in context.store.rows(query)})
