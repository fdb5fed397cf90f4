"""Weekly: all of the traffic by topic, under names that stay the same from week to week.

The places of the topics are fixed once, with the reference, so that a topic of this week is the
topic of the same name of any other. What is kept is places, ids and weights, never a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from monitors.context import Context
from monitors.drift.texts import Texts, Values, sampled_inputs
from monitors.drift.topic_values import scores_of, values_of
from monitors.monitor import monitor
from monitors.reference import is_reference, reference_days
from monitors.statistics.contribution import Group, Part, contributions
from sql.measurement import Measurement, Status, unmeasured
from sql.tables import model_artifact
from sql.types import canonical_json
from sql.window import Grain, Window

NAME, OTHER = "topic_map", "other"
_nothing = partial(unmeasured, NAME, "drift.map.share")
_MINIMUM, _FEWEST = 50, 5
_TEXTS_A_TOPIC, _MOST_TOPICS = 30, 24
# So much of a topic's own texts lies too far out to be counted as its.
_FAR = 0.05
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TopicMap:
    """The topics of the reference.

    Args:
        keys: their names, ``T01`` the largest.
        centres: shape (topics, d), unit vectors.
        floors: shape (topics,); a text with a smaller cosine to its topic is `OTHER`.
        rows: name → (id, weight) of the reference's texts that did not make the places.
    """

    keys: tuple[str, ...]
    centres: Vectors
    floors: Values
    rows: Mapping[str, Sequence[tuple[str, float]]]

    def topics_of(self, vectors: Vectors) -> list[str]:
        """The topic of each text."""
        cosine = vectors @ self.centres.T
        nearest = cosine.argmax(axis=1)
        inside = cosine[np.arange(len(vectors)), nearest] >= self.floors[nearest]
        return [
            self.keys[place] if near else OTHER for place, near in zip(nearest, inside, strict=True)
        ]


@monitor(name=NAME, grain=Grain.WEEK)
def topic_map(window: Window, context: Context) -> Iterator[Measurement]:
    """``drift.map.share{topic}``: share of the week's traffic in each topic of the reference.

    ``drift.map.quality``, ``drift.map.latency`` and ``drift.map.cost`` ``{topic}``: of its rows,
    against the other rows of the week. A topic is a cluster of the reference's inputs (spherical
    k-means on one half; the other half gives its share, so that the fit flatters nothing); what is
    far from all of them is ``other``.
    """
    week = sampled_inputs([window], context)
    if not len(week):
        yield _nothing(window, Status.NO_DATA, "empty_window")
        return
    if is_reference(window, context):
        yield _nothing(window, Status.INSUFFICIENT, "reference_period")
        return
    found = map_in_force(context)
    if found is None or len(week) < _MINIMUM:
        yield _nothing(window, Status.INSUFFICIENT, "too_few_rows")
        return
    members = members_of(found, week, context)
    before = {key: sum(weight for _, weight in rows) for key, rows in found.rows.items()}
    for key in (*found.keys, OTHER):
        mine = np.isin(week.ids, members[key]).astype(float)
        baseline = before[key] / sum(before.values())
        yield _share(key, mine, week, baseline, window)
    some = {key: ids for key, ids in members.items() if ids}
    yield from values_of(some, week, window, context, monitor=NAME, family="drift.map.")


def members_of(found: TopicMap, week: Texts, context: Context) -> dict[str, list[str]]:
    """Topic → ids of the week's rows."""
    members: dict[str, list[str]] = {key: [] for key in (*found.keys, OTHER)}
    vectors = np.asarray(context.embedder().embed(week.inputs))
    for item, key in zip(week.ids, found.topics_of(vectors), strict=True):
        members[key].append(item)
    return members


def parts_of(
    found: TopicMap, week: Texts, members: Mapping[str, Sequence[str]], context: Context
) -> dict[str, Part]:
    """What each topic contributed to the change of ``[review] scorer``; empty without scores."""
    place = {item: number for number, item in enumerate(week.ids)}
    weights = {
        key: [(item, float(week.weights[place[item]])) for item in ids]
        for key, ids in members.items()
    }
    before, now = _groups(found.rows, context), _groups(weights, context)
    return contributions(before, now) if before and now else {}


def _groups(rows: Mapping[str, Sequence[tuple[str, float]]], context: Context) -> dict[str, Group]:
    ids = [item for each in rows.values() for item, _ in each]
    scores = dict(zip(ids, scores_of(ids, context), strict=True))
    groups = {}
    for key, each in rows.items():
        known = [(scores[item], weight) for item, weight in each if not np.isnan(scores[item])]
        if known:
            values, weights = (np.array(side) for side in zip(*known, strict=True))
            mean = float(values @ weights / weights.sum())
            variance = float(weights @ (values - mean) ** 2 / weights.sum())
            effective = float(weights.sum() ** 2 / (weights @ weights))
            groups[key] = Group(float(weights.sum()), mean, variance, effective)
    return groups


# ── making and keeping the map ───────────────────────────────────────────────────────────────


def map_in_force(context: Context) -> TopicMap | None:
    """The map of this reference and this embedding model, made at its first use.

    It outlives the reference's texts, which retention takes; None with too few of them.
    """
    days = reference_days(context)
    embedder = context.embedder()
    card = {"embedder": embedder.digest, "reference": f"{days[0]} to {days[-1]}"}
    table = model_artifact.c
    query = select(table.body, table.card).where(table.name == NAME).order_by(table.created_at)
    for row in context.store.rows(query):
        if row.card == card:
            return _read(row.body)
    past = sampled_inputs(days, context)
    if len(past) < 2 * _MINIMUM:
        return None
    seed = context.settings.drift.seed
    made = made_map(past, np.asarray(embedder.embed(past.inputs)), seed)
    if made is None:
        return None
    body = _body(made)
    record = {
        "name": NAME,
        "digest": hashlib.sha256(body).hexdigest(),
        "body": body,
        "card": card,
        "created_at": context.clock(),
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, model_artifact, [record], keep=True)
    return _read(body)


def made_map(past: Texts, vectors: Vectors, seed: int) -> TopicMap | None:
    """Places from one half of the texts, floors and shares from the other; None if all are one."""
    from sklearn.cluster import KMeans

    order = np.random.default_rng(seed).permutation(len(past))
    learn, ask = order[::2], order[1::2]
    distinct = len(np.unique(vectors[learn], axis=0))
    count = min(len(learn) // _TEXTS_A_TOPIC + 1, _MOST_TOPICS, distinct)
    if count < 2:
        return None
    fitted = KMeans(count, n_init=4, random_state=seed).fit(vectors[learn])
    sizes = np.bincount(fitted.labels_, minlength=count)
    centres = fitted.cluster_centers_[sizes >= _FEWEST]
    if len(centres) < 2:
        return None
    centres = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)
    cosine = vectors[ask] @ centres.T
    nearest = cosine.argmax(axis=1)
    shares = [float(past.weights[ask[nearest == place]].sum()) for place in range(len(centres))]
    by_size = np.argsort(-np.array(shares), kind="stable")
    own = [cosine[nearest == place, place] for place in by_size]
    floors = np.array([np.quantile(each, _FAR) - 1e-6 if len(each) else 1.0 for each in own])
    keys = tuple(f"T{number:02d}" for number in range(1, len(centres) + 1))
    places = TopicMap(keys, centres[by_size], floors, {})
    rows: dict[str, list[tuple[str, float]]] = {key: [] for key in (*keys, OTHER)}
    for row, key in zip(ask, places.topics_of(vectors[ask]), strict=True):
        rows[key].append((past.ids[row], float(past.weights[row])))
    return TopicMap(keys, places.centres, floors, rows)


def _body(made: TopicMap) -> bytes:
    return canonical_json(
        {
            "keys": list(made.keys),
            "centres": [[round(float(x), 5) for x in centre] for centre in made.centres],
            "floors": [round(float(floor), 5) for floor in made.floors],
            "rows": {key: [list(row) for row in rows] for key, rows in made.rows.items()},
        }
    ).encode()


def _read(body: bytes) -> TopicMap:
    kept = json.loads(body)
    centres = np.array(kept["centres"], dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = {key: [(item, weight) for item, weight in each] for key, each in kept["rows"].items()}
    return TopicMap(tuple(kept["keys"]), centres, np.array(kept["floors"]), rows)


# ── measurements ─────────────────────────────────────────────────────────────────────────────


def _share(key: str, mine: Values, week: Texts, baseline: float, window: Window) -> Measurement:
    from monitors.statistics.intervals import mean_interval

    share, low, high = mean_interval(mine, week.weights, bounded=True)
    return Measurement(
        monitor=NAME,
        metric="drift.map.share",
        labels={"topic": key},
        window=window,
        value=share,
        low=low,
        high=high,
        n=len(week),
        baseline=baseline,
        method="weighted share of the texts looked at; Wilson at the effective sample size",
    )
