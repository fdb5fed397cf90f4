"""The README's pictures of the review: ``python -m tests.pictures_review``.

A month of an invented shop, rated by five invented people, and photographed in Chromium.
"""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import select, update

from monitors.context import Context
from monitors.review.batch import make_batch
from monitors.review.labels import Rating, record_labels
from monitors.review.links import Person, secret_of, signed
from monitors.review.review import review
from monitors.review.rubric import DIMENSIONS
from monitors.web.standalone import COOKIE
from sql.store import Store
from sql.tables import review_assignment, sample
from tests.browser import Browser, browser
from tests.pictures import PICTURES
from tests.review_kit import MONTH, NOW, fill_month, review_context
from tests.test_review_pages import BATCH, serving

_ASKED = (
    "I ordered the blue kettle on Monday and it still says “packing”. Where is it?",
    "Can I send back a lamp after three weeks if the box is open?",
    "Which of your tents keeps dry in a storm and fits four people?",
)
_ANSWERED = (
    "Your kettle left our store this morning and should reach you on Thursday. You get a message "
    "with the courier's number as soon as it is scanned; there is nothing that you need to do.",
    "Yes. Within 30 days you may send the lamp back, even if the box is open, as long as the lamp "
    "itself is unused. I can make the label now; the money is back five days after it arrives.",
    "The Fjell 4 is the one: its seams are taped, it stands up to 90 km/h and sleeps four. It is "
    "in stock in green and in sand.",
)


def main() -> None:
    """Take the three of them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        store = Store.open(f"sqlite:///{scratch}/store.db")
        context = review_context(store, Path(scratch), size=200)
        truth = _month(context)
        _rate(context, truth, share=0.6)
        for served in serving(context):
            with browser(1180, 860) as tab:
                _open(tab, served.url, context, Person("eva"), f"rate/{BATCH}")
                for key in "543":
                    tab.key(key)
                time.sleep(1)  # until the draft is kept
                _take(tab, "review-item")
                _rate(context, truth, share=1.0)
                with store.begin() as connection:
                    store.publish(connection, "review", MONTH, list(review.measure(MONTH, context)))
                _open(tab, served.url, context, Person("ada", admin=True), f"batch/{BATCH}")
                _take(tab, "review-batch")
                tab.open(f"{served.url}/batch/{BATCH}/agreement")
                _take(tab, "review-agreement", whole=True)
        store.close()


def _month(context: Context) -> dict[str, float]:
    rng = np.random.default_rng(7)
    truth = (rng.random(1_200) < 0.88).astype(float)
    broken = np.arange(1_200) % 5 == 0
    truth[broken & (rng.random(1_200) < 0.5)] = 0.0
    judge = np.clip(np.where(truth > 0, rng.beta(6, 2, 1_200), rng.beta(3, 4, 1_200)), 0.02, 0.98)
    texts = [(_ASKED[n % 3], _ANSWERED[n % 3]) for n in range(1_200)]
    ids = fill_month(context, list(truth), list(judge), texts=texts)
    with context.store.begin() as connection:
        for number, item_id in enumerate(ids):
            fields = {"prompt_version": f"v{2 if broken[number] else 1}", "feature": "support"}
            connection.execute(
                update(sample).where(sample.c.item_id == item_id).values(fields=fields)
            )
    make_batch(MONTH, context)
    return dict(zip(ids, truth, strict=True))


def _rate(context: Context, truth: dict[str, float], *, share: float) -> None:
    places = context.store.rows(
        select(review_assignment).order_by(review_assignment.c.item_id, review_assignment.c.slot)
    )
    ratings = []
    for place in places[: round(share * len(places))]:
        rng = np.random.default_rng([len(place.evaluator), int(place.item_id[1:]), place.slot])
        level = 4.4 if truth[place.item_id] else 1.8
        kind = 0.4 if place.evaluator == "grace" else 0.0
        scores: dict[str, float | None] = {
            name: float(np.clip(round(level + kind + 0.6 * rng.normal()), 1, 5))
            for name in DIMENSIONS
        }
        seconds = float(50 + 40 * rng.random())
        ratings.append(
            Rating(place.item_id, place.evaluator, scores, seconds=seconds, submitted_at=NOW)
        )
    record_labels(BATCH, ratings, context)


def _open(tab: Browser, url: str, context: Context, person: Person, path: str) -> None:
    token = signed(person, NOW + timedelta(days=1), secret_of(context))
    tab.cookie(COOKIE, token, url)
    tab.open(f"{url}/{path}")


def _take(tab: Browser, name: str, *, whole: bool = False) -> None:
    path = tab.picture(PICTURES / f"{name}.png", whole=whole)
    Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)
    print(f"{path.name}\t{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
