"""Who rates what: exact overlap, even load, and pairs that change."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from monitors.review.design import seed_of


@dataclass(frozen=True, slots=True)
class Assignment:
    """A place to be filled: evaluator ``evaluator`` rates item ``item_id`` in slot 1 or 2."""

    item_id: str
    slot: int
    evaluator: str


def assign(
    item_ids: Sequence[str],
    evaluators: Sequence[str],
    *,
    overlap: float,
    seed: str,
    barred: Mapping[str, Collection[str]] | None = None,
) -> list[Assignment]:
    """Give every item one rater, and a share ``overlap`` of them, picked at random, two.

    The pairs of evaluators take turns (no pair meets twice before all have met), and loads differ
    by at most two items where nobody is barred.

    Args:
        barred: item → people who must not rate it.

    Raises:
        ValueError: there are no two evaluators, one is named twice, or too few may rate an item.
    """
    barred = barred or {}
    people = list(evaluators)
    if len(people) < 2 or len(set(people)) != len(people):
        raise ValueError("a review needs at least two different evaluators")
    generator = np.random.default_rng(seed_of(seed))
    order = [item_ids[i] for i in generator.permutation(len(item_ids))]
    people = [people[i] for i in generator.permutation(len(people))]
    twice = round(overlap * len(order))
    load = dict.fromkeys(people, 0)
    met = dict.fromkeys(combinations(people, 2), 0)
    places: list[Assignment] = []
    for number, item_id in enumerate(order[:twice]):
        # Among the pairs that met least, the one with the least to do; they swap the first slot.
        allowed = [pair for pair in met if not set(pair) & set(barred.get(item_id, ()))]
        if not allowed:
            raise ValueError("there are no two people who may rate an item")
        pair = min(allowed, key=lambda pair: (met[pair], load[pair[0]] + load[pair[1]]))
        met[pair] += 1
        for slot, person in enumerate(pair if number % 2 == 0 else pair[::-1], 1):
            places.append(Assignment(item_id, slot, person))
            load[person] += 1
    for item_id in order[twice:]:
        free = [person for person in people if person not in barred.get(item_id, ())]
        if not free:
            raise ValueError("there is nobody who may rate an item")
        person = min(free, key=load.__getitem__)
        places.append(Assignment(item_id, 1, person))
        load[person] += 1
    return places
