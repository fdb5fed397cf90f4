"""Those who are done help the others; what somebody has begun or looks at stays theirs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from monitors.review import desk
from monitors.review.batch import make_batch
from monitors.review.handover import AT_A_TIME, free_places, take_over
from monitors.review.rubric import DIMENSIONS
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import review_assignment, review_item, sample
from tests.review_kit import MONTH, NOW, fill_month, review_context
from tests.test_review_pages import BATCH, FULL, batch_of, rate, serving, token_in


def test_places_change_hands_and_the_overlap_stays(store: Store, tmp_path: Path) -> None:
    context = batch_of(store, tmp_path)
    finn = desk.queue(BATCH, "finn", context)
    draft = desk.Entry(scores={"tone": 3.0})
    desk.save(BATCH, finn[0].item_id, "finn", draft, "draft", context)
    desk.reserve(BATCH, finn[1].item_id, "finn", context)
    held = {
        (place.item_id, place.slot)
        for place in store.rows(select(review_assignment))
        if place.evaluator == "finn" and place.item_id in (finn[0].item_id, finn[1].item_id)
    }
    assert len(held) == 2
    assert not held & set(free_places(BATCH, "eva", context))
    later = replace(context, clock=lambda: NOW + timedelta(minutes=31))
    assert len(held & set(free_places(BATCH, "grace", later))) <= 1, "the begun one stays"
    assert len(free_places(BATCH, "kira", later)) == 1 + len(free_places(BATCH, "kira", context))
    assert take_over(BATCH, "eva", context) == AT_A_TIME
    places = store.rows(select(review_assignment).where(review_assignment.c.batch_id == BATCH))
    assert max(Counter((place.item_id, place.evaluator) for place in places).values()) == 1
    slots = Counter(place.item_id for place in places)
    raters = {row.item_id: row.raters for row in store.rows(select(review_item))}
    assert slots == raters


def test_one_who_is_done_may_help_on_the_page(store: Store, tmp_path: Path) -> None:
    context = batch_of(store, tmp_path)
    for place in desk.queue(BATCH, "eva", context):
        entry = desk.Entry(scores=dict.fromkeys(DIMENSIONS, 4.0))
        desk.save(BATCH, place.item_id, "eva", entry, "submit", context)
    for served in serving(context):
        with served.client("finn") as client:
            before = len(desk.queue(BATCH, "finn", context))
            stale = token_in(client.get(f"/rate/{BATCH}/1").text)
            other = client.post(
                f"/rate/{BATCH}/2", data={"token": stale, "action": "submit", **FULL}
            )
            assert other.status_code == 403, "a form of one item is not taken for another"
        with served.client("eva") as client:
            page = client.get(f"/rate/{BATCH}").text
            assert "nobody has begun" in page
            done = client.post(f"/rate/{BATCH}/help", data={"token": token_in(page)})
            assert done.status_code == 303
            answer = client.get(f"/rate/{BATCH}")
            assert answer.status_code == 303
            number = int(answer.headers["location"].rsplit("/", 1)[1])
            assert rate(client, number, **FULL).status_code == 200
    assert len(desk.queue(BATCH, "finn", context)) <= before


def test_nobody_is_asked_about_their_own_feature(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, conflicts={"eva": ["ask"]})
    ids = fill_month(context, [1.0] * 120, [0.8] * 120)
    with store.begin() as connection:
        connection.execute(
            update(sample).where(sample.c.item_id.in_(ids[::2])).values(fields={"feature": "ask"})
        )
    make_batch(MONTH, context)
    mine = {place.item_id for place in desk.queue(BATCH, "eva", context)}
    assert mine
    assert not mine & set(ids[::2])
    take_over(BATCH, "eva", context, count=100)
    mine = {place.item_id for place in desk.queue(BATCH, "eva", context)}
    assert not mine & set(ids[::2])


def test_a_feature_that_nobody_may_rate_is_explained(store: Store, tmp_path: Path) -> None:
    people = ["eva", "finn", "grace"]
    context = review_context(
        store, tmp_path, evaluators=people, conflicts={name: ["ask"] for name in people}
    )
    fill_month(context, [1.0] * 120, [0.8] * 120)
    with store.begin() as connection:
        connection.execute(update(sample).values(fields={"feature": "ask"}))
    with pytest.raises(ConfigurationError, match="may rate"):
        make_batch(MONTH, context)
