"""The page of all topics: how much of the week each is, what its users get, what it contributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitors import pages
from monitors.context import Context
from monitors.drift.terms import terms
from monitors.drift.texts import Texts, sampled_inputs
from monitors.drift.topic_map import OTHER, TopicMap, map_in_force, members_of, parts_of
from monitors.drift.topic_values import values_of
from monitors.logs.sampled import read_sample
from monitors.reference import is_reference
from monitors.statistics.contribution import Part
from sql.window import Window
from sql.words import number

_TEMPLATE = Path(__file__).parent / "templates" / "map.html"


@dataclass(frozen=True, slots=True)
class Line:
    """A topic as the page shows it; ``values`` by ``quality``, ``latency`` and ``cost``."""

    key: str
    terms: Sequence[str]
    share: str
    reference: str
    values: Mapping[str, str]
    mix: str
    within: str


def write_map(window: Window, context: Context) -> Path | None:
    """Write ``drift/<window>-map.html``; None where the week has no map."""
    week = sampled_inputs([window], context)
    if not len(week) or is_reference(window, context):
        return None
    found = map_in_force(context)
    if found is None:
        return None
    members = members_of(found, week, context)
    parts = parts_of(found, week, members, context)
    lines = _lines(found, week, members, parts, window, context)
    text = pages.render(
        _TEMPLATE,
        window=str(window),
        lines=lines,
        change=number(sum(part.total for part in parts.values()), "ratio") if parts else "",
        scorer=context.settings.review.scorer,
    )
    return pages.write(pages.reports(context.settings, "drift") / f"{window}-map.html", text)


def _lines(
    found: TopicMap,
    week: Texts,
    members: Mapping[str, Sequence[str]],
    parts: Mapping[str, Part],
    window: Window,
    context: Context,
) -> list[Line]:
    values: dict[str, dict[str, str]] = {key: {} for key in members}
    some = {key: ids for key, ids in members.items() if ids}
    for item in values_of(some, week, window, context):
        if item.value is not None:
            name = item.metric.rpartition(".")[2]
            values[item.labels["topic"]][name] = number(item.value, item.unit)
    words = _words(week, members, window, context)
    total = sum(weight for rows in found.rows.values() for _, weight in rows)
    lines = []
    for key in (*found.keys, OTHER):
        share = float(week.weights[np.isin(week.ids, members[key])].sum() / week.weights.sum())
        before = sum(weight for _, weight in found.rows[key]) / total
        part = parts.get(key)
        lines.append(
            Line(
                key=key,
                terms=words[key],
                share=number(share, "ratio"),
                reference=number(before, "ratio"),
                values=values[key],
                mix=number(part.mix if part else None, "ratio"),
                within=number(part.within if part else None, "ratio"),
            )
        )
    return lines


def _words(
    week: Texts, members: Mapping[str, Sequence[str]], window: Window, context: Context
) -> dict[str, list[str]]:
    """Of each topic what sets its texts apart, in no single person's words."""
    batch = read_sample(window, context).batch
    known = batch["user_key"] if "user_key" in batch else [None] * len(batch)
    author = dict(zip(batch["id"], known, strict=True))
    text = dict(zip(week.ids, week.inputs, strict=True))
    found = {}
    for key, ids in members.items():
        mine = set(ids)
        inside = [text[item] for item in ids]
        outside = [text[item] for item in week.ids if item not in mine]
        found[key] = terms(inside, outside, authors=[author[item] for item in ids])
    return found
