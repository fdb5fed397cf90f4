"""The administrators' pages of a batch: progress, agreement, what to fix, and disputes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from monitors.review import closing, tallies
from monitors.review.labels import LabelError
from monitors.review.links import form_token, secret_of
from monitors.review.rated import rated_items
from monitors.review.rubric import RUBRIC
from monitors.web.rating import Access, access_of, answer, check_token, form_of, same_origin
from sql.tables import review_batch
from sql.words import visible

_JUDGED = {
    "review.judge_agreement": "Judge and people agree",
    "review.quality": "Good answers, corrected by people",
    "review.feature_quality": "Good answers of a feature, corrected by people",
}
_METRICS = {
    "review.agreement": "People agree",
    "review.krippendorff_alpha": "Krippendorff's alpha",
}


def judging_routes(identify: Callable[..., Any]) -> APIRouter:
    """The routes; each refuses who is no administrator."""
    router = APIRouter(dependencies=[Depends(identify), Depends(_administrator)])
    router.get("/batch/{batch}")(batch_page)
    router.get("/batch/{batch}/agreement")(agreement_page)
    router.get("/batch/{batch}/disputes")(disputes_page)
    router.post("/batch/{batch}/disputes/{position}")(settle)
    return router


def _administrator(request: Request) -> None:
    if not access_of(request).person.admin:
        raise HTTPException(403, "this page is for administrators")


def batch_page(request: Request, batch: str) -> Response:
    """How far each person has come, what was promised, and what it costs."""
    access = access_of(request)
    row = _batch(batch, access)
    return answer(
        "batch.html",
        access,
        root="../",
        tab="Progress",
        batch=row,
        raters=closing.raters(batch, access.context),
        skips=tallies.skips([batch], access.context),
        fixes=closing.what_to_fix(batch, access.context) if row.state == "closed" else None,
    )


def agreement_page(request: Request, batch: str) -> Response:
    """How far people agree with each other, with the gold, and the judge with them."""
    access = access_of(request)
    row = _batch(batch, access)
    found = access.context.store.measurements(
        monitor="review", since=row.window_start, until=row.window_end
    )
    span = (row.window_start, row.window_end)
    found = [item for item in found if (item.window.start, item.window.end) == span]
    # What the judge says of the items is shown to nobody before the last rating is in.
    closed = row.state == "closed"
    items = rated_items([batch], access.context) if closed else []
    return answer(
        "agreement.html",
        access,
        root="../../",
        tab="Agreement",
        words=_JUDGED | _METRICS,
        batch=row,
        raters=closing.raters(batch, access.context),
        agreement=[item for item in found if item.metric in _METRICS],
        judged=[item for item in found if item.metric in _JUDGED and closed],
        table=tallies.confusion(items, access.context),
    )


def disputes_page(request: Request, batch: str) -> Response:
    """Items on which people split, one form each; without the names of who said what."""
    access = access_of(request)
    row = _batch(batch, access)
    return answer(
        "disputes.html",
        access,
        root="../../",
        tab="Disputes",
        batch=row,
        disputes=closing.disputes(batch, access.context),
        rubric=RUBRIC,
        visible=visible,
        token=form_token(access.person, batch, secret_of(access.context)),
    )


async def settle(request: Request, batch: str, position: int) -> Response:
    """Store what stands."""
    access = access_of(request)
    same_origin(request)
    form = await form_of(request)
    return await run_in_threadpool(_settle, access, batch, position, form)


def _settle(access: Access, batch: str, position: int, form: Mapping[str, list[str]]) -> Response:
    check_token(access, batch, form)
    try:
        scores = {
            dimension.name: float(form[dimension.name][-1]) or None
            for dimension in RUBRIC
            if dimension.name in form
        }
    except ValueError:
        raise HTTPException(422, "a score is a number") from None
    try:
        closing.settle_dispute(batch, position, scores, access.person.name, access.context)
    except LabelError as error:
        raise HTTPException(422, error.what) from None
    return RedirectResponse("../disputes", status_code=303)


def _batch(batch: str, access: Access) -> Any:
    found = access.context.store.rows(select(review_batch).where(review_batch.c.batch_id == batch))
    if not found:
        raise HTTPException(404, "there is no such batch")
    return found[0]
