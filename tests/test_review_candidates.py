"""From rated answers to golden examples: only what people agree on, only by a person's word."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from monitors.review import closing, desk
from monitors.review.candidates import approve, candidates
from monitors.review.golden import list_golden
from monitors.review.rubric import DIMENSIONS
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import audit, review_batch, review_item
from tests.review_kit import rate_all
from tests.test_review_closing import split_batch
from tests.test_review_pages import BATCH, batch_of


def test_what_people_agree_on_is_offered_and_taken_once(store: Store, tmp_path: Path) -> None:
    context = split_batch(store, tmp_path)
    disputed = {one.position for one in closing.disputes(BATCH, context)}
    offered = candidates(BATCH, context)
    assert len(offered) == 100 - len(disputed)
    assert not disputed & {one.position for one in offered}
    first = offered[0]
    with pytest.raises(ConfigurationError, match="long gone"):
        approve(BATCH, [first.position], "ada", False, context)
    assert list_golden(context) == []
    assert approve(BATCH, [first.position], "ada", True, context) == 1
    (golden,) = list_golden(context)
    assert (golden.provenance, golden.label) == (f"batch {BATCH}", first.golden.label)
    assert len(candidates(BATCH, context)) == len(offered) - 1
    with pytest.raises(ConfigurationError, match="no candidate"):
        approve(BATCH, [first.position], "ada", True, context)
    (entry,) = store.rows(select(audit).where(audit.c.action == "approve_golden"))
    assert (entry.actor, entry.detail["items"]) == ("ada", [first.position])
    position = min(disputed)
    closing.settle_dispute(BATCH, position, dict.fromkeys(DIMENSIONS, 5.0), "ada", context)
    assert position in {one.position for one in candidates(BATCH, context)}


def test_a_better_answer_becomes_the_reference(store: Store, tmp_path: Path) -> None:
    context = batch_of(store, tmp_path)
    place = desk.queue(BATCH, "eva", context)[0]
    entry = desk.Entry(scores=dict.fromkeys(DIMENSIONS, 1.0), correction="say it so")
    desk.save(BATCH, place.item_id, "eva", entry, "submit", context)
    with pytest.raises(ConfigurationError, match="not closed"):
        candidates(BATCH, context)
    rate_all(context, BATCH, {f"r{n:05d}": 0.0 for n in range(120)})
    assert [row.state for row in store.rows(select(review_batch))] == ["closed"]
    position = store.rows(
        select(review_item.c.position).where(review_item.c.item_id == place.item_id)
    )[0].position
    found = {one.position: one.golden for one in candidates(BATCH, context)}
    assert found[position].reference == "say it so"
    assert {golden.label for golden in found.values()} == {0.0}
    with pytest.raises(ConfigurationError, match="no batch"):
        candidates("nothing", context)
