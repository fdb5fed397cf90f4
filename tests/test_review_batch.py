"""The batch is drawn once, stands on disk as text and nothing but text, and takes ratings."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitors.review.batch import folder_of, make_batch
from monitors.review.files import broken_files
from monitors.review.labels import LabelError, Rating, record_labels
from monitors.review.rubric import DIMENSIONS
from sql.store import Store
from sql.tables import label, review_assignment, review_batch, review_item, sample
from sql.words import visible
from tests.review_kit import MONTH, NOW, PEOPLE, fill_month, review_context

EVIL = [
    "<script>fetch('http://127.0.0.1:9/x')</script>",
    "<img src=x onerror=alert(1)>",
    "</pre></article></main><meta http-equiv=refresh content='0;url=http://evil'>",
    "{{ 7 * 7 }} {% raw %}",
    "![x](http://evil/?q=1) javascript:alert(1)",
    "safe \u202egnp.exe \u200b\u2066hidden\u2069 \x07 \U000e0041",
    "'\"><svg/onload=alert(1)>",
    "العربية 日本語 🙂",
]
FULL: dict[str, float | None] = dict.fromkeys(DIMENSIONS, 4.0)


def filled(store: Store, folder: Path, count: int = 600, **changes: Any) -> Any:
    context = review_context(store, folder, **changes)
    texts = [
        (f"question {n}: {EVIL[n % 8]}", f"answer {n}: {EVIL[(n + 3) % 8]}") for n in range(count)
    ]
    judge = [None if n % 50 == 0 else 0.5 + 0.5 * ((n % 10) / 10) for n in range(count)]
    fill_month(context, [1.0] * count, judge, texts=texts)
    return context


def everything(store: Store, folder: Path) -> Any:
    tables = [
        [tuple(row) for row in store.rows(select(table).order_by(*table.primary_key))]
        for table in (review_batch, review_item, review_assignment)
    ]
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return tables, files


def test_a_second_run_changes_nothing(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    first = make_batch(MONTH, context)
    assert (first["status"], first["batch"], first["new"]) == ("complete", "log-2026-05", 1)
    assert (first["items"], first["population"], first["cost_usd"]) == (100, 600, 2_000)
    before = everything(store, folder_of("log-2026-05", context))
    later = replace(context, clock=lambda: NOW + timedelta(days=9))
    assert make_batch(MONTH, later) == {**first, "new": 0}
    assert everything(store, folder_of("log-2026-05", context)) == before


def test_lost_files_come_back_the_same(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    folder = folder_of("log-2026-05", context)
    before = everything(store, folder)
    (folder / "items.jsonl").write_text("other")
    (folder / "batch.html").unlink()
    assert set(broken_files(folder)) == {"batch.html", "items.jsonl"}
    make_batch(MONTH, context)
    assert everything(store, folder) == before


def test_what_is_stored_is_the_design(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    items = store.rows(select(review_item))
    places = store.rows(select(review_assignment))
    assert sorted(item.position for item in items) == list(range(1, 101))
    assert {item.kind for item in items} == {"core", "targeted"}
    assert all(0 < item.inclusion_probability <= 0.05 for item in items)
    assert Counter(item.raters for item in items) == {1: 70, 2: 30}
    assert len(places) == 130
    assert {place.evaluator for place in places} == set(PEOPLE)
    known = {row.item_id: row for row in store.rows(select(sample))}
    judged = [item for item in items if int(item.item_id[1:]) % 50]
    assert all(item.judge_score >= 0.5 for item in judged)  # version 2, of which there is as much
    assert all(known[item.item_id].stratum == item.stratum for item in items)
    design = store.rows(select(review_batch.c.design))[0][0]
    assert design["expected_width"] < design["people_width"]
    assert sum(design["strata"].values()) == 100


def test_the_files_are_blind_and_whole(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    folder = folder_of("log-2026-05", context)
    lines = (folder / "items.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    allowed = {"schema", "position", "item_id", "input", "output", "context", "raters"}
    assert all(set(record) == allowed for record in records)
    for file in folder.iterdir():
        text = file.read_text()
        for secret in ("secret-model-9", "targeted", "core", "stratum", "judge_score", "0.05"):
            assert secret not in text, (file.name, secret)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert manifest["items"] == len(records) == 100


def test_the_page_shows_text_as_text(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    page = (folder_of("log-2026-05", context) / "batch.html").read_text()

    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: Counter[str] = Counter()
            self.attributes: Counter[str] = Counter()
            self.policy = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen[tag] += 1
            for name, value in attrs:
                self.attributes[name] += 1
                if value and value.startswith("default-src"):
                    self.policy = value

    tags = Tags()
    tags.feed(page)
    assert tags.seen["article"] == 100
    assert tags.seen["pre"] == 200
    assert tags.seen["meta"] == 4
    assert not {"script", "img", "svg", "link", "iframe", "a", "form"} & set(tags.seen)
    assert not {
        name for name in tags.attributes if name.startswith("on") or name in ("src", "href")
    }
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert tags.policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "\u202e" not in page
    assert "⟦U+202E⟧" in page
    assert "日本語" in page


def test_hidden_signs_are_written_out() -> None:
    assert visible("a\u200bb\x00\n\tc") == "a⟦U+200B⟧b⟦U+0000⟧\n\tc"


def test_a_small_month_is_read_whole_and_an_empty_one_not_at_all(
    store: Store, tmp_path: Path
) -> None:
    context = review_context(store, tmp_path)
    assert make_batch(MONTH, context)["status"] == "no_data"
    assert store.rows(select(review_batch)) == []
    fill_month(context, [1.0] * 40, [0.9] * 40)
    assert make_batch(MONTH, context)["items"] == 40


def test_ratings_are_revised_and_never_doubled(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    place = store.rows(select(review_assignment))[0]
    rating = Rating(place.item_id, place.evaluator, FULL, submitted_at=NOW)
    assert record_labels("log-2026-05", [rating], context) == 5
    assert record_labels("log-2026-05", [rating], context) == 0
    changed = replace(rating, scores={**FULL, "tone": None})
    assert record_labels("log-2026-05", [changed], context) == 1
    rows = {row.dimension: row for row in store.rows(select(label))}
    assert (rows["tone"].value, rows["tone"].revision) == (None, 2)
    assert (rows["accuracy"].value, rows["accuracy"].revision) == (4, 1)


def test_the_last_rating_closes_the_batch(store: Store, tmp_path: Path) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    places = store.rows(select(review_assignment))
    ratings = [Rating(p.item_id, p.evaluator, FULL, submitted_at=NOW) for p in places]
    record_labels("log-2026-05", [replace(r, submitted_at=None) for r in ratings], context)
    assert store.rows(select(review_batch.c.state))[0][0] == "open"  # drafts close nothing
    record_labels("log-2026-05", ratings[:-1], context)
    assert store.rows(select(review_batch.c.state))[0][0] == "open"
    record_labels("log-2026-05", ratings[-1:], context)
    assert store.rows(select(review_batch.c.state))[0][0] == "closed"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"evaluator": "mallory"}, "was not asked"),
        ({"scores": {"accuracy": 4}}, "each dimension"),
        ({"scores": {**FULL, "style": 4}}, "each dimension"),
        ({"scores": {**FULL, "tone": 6}}, "1, 2, 3, 4 or 5"),
        ({"scores": {**FULL, "tone": 2.5}}, "1, 2, 3, 4 or 5"),
        ({"flags": ["nice"]}, "no flag 'nice'"),
    ],
)
def test_one_wrong_rating_refuses_all(
    store: Store, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    context = filled(store, tmp_path)
    make_batch(MONTH, context)
    first, second = store.rows(select(review_assignment))[:2]
    good = Rating(first.item_id, first.evaluator, FULL, submitted_at=NOW)
    bad = replace(Rating(second.item_id, second.evaluator, FULL, submitted_at=NOW), **change)
    with pytest.raises(LabelError, match=told):
        record_labels("log-2026-05", [good, bad], context)
    assert store.rows(select(label)) == []
