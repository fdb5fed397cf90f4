"""What stands at the close: kindness, splits, gold, what to fix; and who may look at it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import select, update

from monitors.review import closing, desk, tallies
from monitors.review.batch import make_batch
from monitors.review.golden import Golden, import_golden
from monitors.review.labels import LabelError, Rating, record_labels
from monitors.review.links import Person, secret_of, signed
from monitors.review.rated import Rated, rated_items
from monitors.review.review import review
from monitors.review.rubric import DIMENSIONS
from monitors.web.standalone import COOKIE
from sql.store import Store
from sql.tables import audit, review_assignment, sample
from tests.review_kit import MONTH, NOW, fill_month, rate_all, review_context
from tests.test_review_pages import BATCH, Served, batch_of, rate, serving, token_in


def split_batch(store: Store, folder: Path) -> desk.Context:
    """Eva gives a point more than everybody; every fifth item of two raters is disputed."""
    context = batch_of(store, folder)
    rng = np.random.default_rng(1)
    level = {f"r{n:05d}": float(rng.integers(2, 5)) for n in range(120)}
    ratings = []
    for place in store.rows(select(review_assignment).order_by(review_assignment.c.item_id)):
        scores: dict[str, float | None] = dict.fromkeys(DIMENSIONS, 4.0)
        scores["accuracy"] = level[place.item_id] + (place.evaluator == "eva")
        if int(place.item_id[1:]) % 5 == 0 and place.slot == 2:
            scores["tone"] = 1.0
        ratings.append(
            Rating(place.item_id, place.evaluator, scores, seconds=60.0, submitted_at=NOW)
        )
    record_labels(BATCH, ratings, context)
    return context


def test_the_kind_are_seen(store: Store, tmp_path: Path) -> None:
    context = split_batch(store, tmp_path)
    found = {one.name: one for one in closing.raters(BATCH, context)}
    eva = found["eva"].leniency
    assert eva is not None
    assert eva[0] == pytest.approx(1.0)
    others = [one.leniency[0] for one in found.values() if one.leniency and one.name != "eva"]
    assert max(others) <= 0.0
    assert {one.given == one.assigned for one in found.values()} == {True}
    assert {one.seconds for one in found.values()} == {60.0}


@pytest.mark.parametrize(
    ("first", "second", "splits"),
    [
        ({"accuracy": 3.0}, {"accuracy": 5.0}, True),
        ({"accuracy": 4.0}, {"accuracy": 5.0}, False),
        ({"safety": 2.0}, {"safety": 3.0}, True),
        ({"safety": 4.0}, {"safety": 3.0}, False),
        ({"tone": None}, {"tone": 1.0}, False),
    ],
)
def test_where_people_split(
    first: dict[str, float | None], second: dict[str, float | None], splits: bool
) -> None:
    assert closing.split([first, second]) is splits
    assert closing.split([first]) is False


def test_a_third_person_settles_what_counts(store: Store, tmp_path: Path) -> None:
    context = split_batch(store, tmp_path)
    found = closing.disputes(BATCH, context)
    assert found
    assert {int(one.item_id[1:]) % 5 for one in found} == {0}
    worst = dict.fromkeys(DIMENSIONS, 1.0)
    closing.settle_dispute(BATCH, found[0].position, worst, "grace", context)
    (settled,) = [i for i in rated_items([BATCH], context) if i.item_id == found[0].item_id]
    assert settled.is_good(2) is False
    assert len(settled.ratings) == 2, "the raters' own ratings stand for their agreement"
    assert [one.settled for one in closing.disputes(BATCH, context)].count(True) == 1
    (entry,) = store.rows(select(audit).where(audit.c.action == "settle_dispute"))
    assert entry.actor == "grace"
    with pytest.raises(LabelError, match="do not differ"):
        closing.settle_dispute(BATCH, 0, worst, "grace", context)


def test_what_to_fix_names_the_bad_slice_and_is_else_silent(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, size=200)
    rng = np.random.default_rng(2)
    truth = (rng.random(400) < 0.9).astype(float)
    truth[np.arange(400) % 4 == 0] = 0.0  # one prompt version is broken
    ids = fill_month(context, list(truth), [0.8] * 400)
    with store.begin() as connection:
        for number, item_id in enumerate(ids):
            fields = {
                "prompt_version": "v2" if number % 4 == 0 else "v1",
                "segment": "ab"[number % 2],
            }
            connection.execute(
                update(sample).where(sample.c.item_id == item_id).values(fields=fields)
            )
    make_batch(MONTH, context)
    rate_all(context, BATCH, dict(zip(ids, truth, strict=True)))
    first, *_ = closing.what_to_fix(BATCH, context)
    assert (first.column, first.value) == ("prompt_version", "v2")
    assert first.bad > 0.9 > 0.3 > first.elsewhere
    with store.begin() as connection:
        connection.execute(update(sample).values(fields={"segment": "a"}))
    assert closing.what_to_fix(BATCH, context) == []


def test_practice_comes_first_and_gold_is_hidden(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, calibration=5, hidden_gold=0.1)
    fill_month(context, [1.0] * 120, [0.8] * 120)
    golden = [Golden(f"q{n}", f"a{n}", float(n % 2), feature="x") for n in range(120)]
    import_golden(golden, context)
    make_batch(MONTH, context)
    places = desk.queue(BATCH, "eva", context)
    assert [place.calibration for place in places[:6]] == [True] * 5 + [False]
    hidden = [p for p in places[5:] if p.item_id.startswith(desk.GOLD)]
    assert len(hidden) == 2  # a tenth of a person's twenty-odd
    for place in [*places[:5], *hidden]:
        good = desk.gold_verdict(place.item_id, context) or 0.0
        scores = dict.fromkeys(DIMENSIONS, 5.0 if good else 1.0)
        desk.save(BATCH, place.item_id, "eva", desk.Entry(scores=scores), "submit", context)
    (eva,) = [one for one in closing.raters(BATCH, context) if one.name == "eva"]
    assert eva.gold is not None
    assert eva.gold[0] == 1.0
    assert eva.gold[1] < 0.8, "seven items prove little"
    assert rated_items([BATCH], context) == [], "no estimate counts them"
    for served in serving(context):
        with served.client("finn") as client:
            said = rate(client, 1, **dict.fromkeys(DIMENSIONS, "4")).json()
            assert said["next"] == "1"
            assert "people agreed that this is" in client.get(f"/rate/{BATCH}/1").text
            number = hidden[0].number
            shown = client.get(f"/rate/{BATCH}/{number}").text
            assert "practice" not in shown
            assert "gold" not in shown


# ── the administrators' pages ────────────────────────────────────────────────────────────────

ADMIN_PAGES = ("", "/agreement", "/disputes")


def admin_of(served: Served) -> httpx.Client:
    person = Person("ada", admin=True)
    token = signed(person, NOW + timedelta(days=1), secret_of(served.context))
    return httpx.Client(base_url=served.url, cookies={COOKIE: token}, timeout=20)


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    yield from serving(batch_of(store, tmp_path))


@pytest.fixture
def closed(store: Store, tmp_path: Path) -> Iterator[Served]:
    context = split_batch(store, tmp_path)
    with store.begin() as connection:
        store.publish(connection, "review", MONTH, list(review.measure(MONTH, context)))
    yield from serving(context)


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_evaluators_do_not_see_the_batch(closed: Served, page: str) -> None:
    with closed.client("eva") as client:
        assert client.get(f"/batch/{BATCH}{page}").status_code == 403
    assert httpx.get(f"{closed.url}/batch/{BATCH}{page}").status_code == 401


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", ["eva", "100 items of 120", "people alone would give", "60 s"]),
        (
            "/agreement",
            ["Krippendorff&#39;s alpha", "dimension accuracy", "+1.00", "Judge and people agree"],
        ),
        ("/agreement", ["The judge fails", "People say bad", "bar of 85.0 %", "kappa"]),
        ("/disputes", ["Rating 1", "What stands", "question"]),
    ],
)
def test_administrators_see_it(closed: Served, page: str, words: list[str]) -> None:
    with admin_of(closed) as client:
        answer = client.get(f"/batch/{BATCH}{page}")
    assert answer.status_code == 200
    assert [word for word in words if word not in answer.text] == []
    assert "secret-model" not in answer.text
    if page == "/disputes":
        assert not any(name in answer.text for name in ("eva", "finn", "grace", "hugo", "iris"))


def test_the_judge_is_shown_only_when_the_last_rating_is_in(served: Served) -> None:
    with served.client("eva") as eva:
        assert rate(eva, 1, "skip", reason="unreadable").status_code == 200
        assert rate(eva, 2, "skip", reason="not_my_field").status_code == 200
        assert rate(eva, 3, "skip", reason="unreadable").status_code == 200
    with admin_of(served) as client:
        progress = client.get(f"/batch/{BATCH}").text
        assert "unreadable</th><td>2<" in progress
        assert "not my field</th><td>1<" in progress
        assert "The judge fails" not in client.get(f"/batch/{BATCH}/agreement").text


def test_the_judge_beside_people_by_hand(store: Store, tmp_path: Path) -> None:
    """Sixty good answers of which the judge fails six, forty bad of which it passes ten."""
    context = review_context(store, tmp_path)

    def items(count: int, accuracy: float, judge: float) -> list[Rated]:
        ratings = {"eva": {"accuracy": accuracy}}
        return [Rated(f"r{n}", 20.0, judge, ratings) for n in range(count)]

    batch = [*items(54, 5, 0.9), *items(6, 4, 0.2), *items(10, 2, 0.8), *items(30, 1, 0.1)]
    found = tallies.confusion(batch, context)
    assert found is not None
    assert list(found.counts.values()) == [54, 6, 10, 30]
    assert found.shares["bad", "good"] == pytest.approx(0.1)
    assert found.agreement[0] == pytest.approx(0.84)
    assert found.agreement[1] < found.lower_limit < 0.84
    # Cohen (1960): (0.84 − 0.528) / (1 − 0.528)
    assert found.kappa[0] == pytest.approx(0.312 / 0.472)
    assert found.recall is not None
    assert (found.recall[0], found.always_pass) == (pytest.approx(0.75), pytest.approx(0.6))
    assert tallies.confusion(batch[:9], context) is None


def test_which_questions_tell_something(served: Served) -> None:
    with served.client("eva") as eva:
        for number in range(1, 6):
            given = {"accuracy": str(number), "tone": "0", "safety": "5", "helpfulness": "3"}
            rate(eva, number, **given, completeness="3", flag="unsafe")
    found = {use.dimension: use for use in tallies.uses([BATCH], served.context)}
    assert (found["tone"].unable, found["tone"].usual) == (1.0, 0.0)
    assert (found["safety"].usual, found["accuracy"].usual) == (1.0, 0.2)
    assert found["accuracy"].given == 5
    assert tallies.flags([BATCH], served.context) == {"unsafe": 5}


def test_a_dispute_is_settled_on_the_page(closed: Served) -> None:
    open_ones = closing.disputes(BATCH, closed.context)
    path = f"/batch/{BATCH}/disputes"
    with admin_of(closed) as client:
        form = {"token": token_in(client.get(path).text), **dict.fromkeys(DIMENSIONS, "2")}
        place = f"{path}/{open_ones[0].position}"
        assert client.post(place, data=form | {"token": "0"}).status_code == 403
        assert client.post(place, data=form, headers={"Origin": "https://e.vil"}).status_code == 403
        assert client.post(place, data={"token": form["token"]}).status_code == 422
        assert client.post(place, data=form).status_code == 303
        assert f"{len(open_ones) - 1} of {len(open_ones)}" in client.get(path).text
    with closed.client("eva") as client:
        assert client.post(place, data=form).status_code == 403
