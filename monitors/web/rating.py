"""The rating pages: one item a screen, the same inside Airflow and by `tidegauge review serve`.

Whoever mounts the routes puts an `Access` on the request before they run; they ask it who is
there and know nothing of logins.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from monitors.context import Context
from monitors.review import desk, handover
from monitors.review.labels import LabelError
from monitors.review.links import Person, form_token, secret_of
from monitors.review.rubric import DIMENSIONS, FLAGS, GUIDELINES_VERSION, RUBRIC, SKIP_REASONS
from monitors.web.rendering import page
from sql.words import visible

_STATIC = Path(__file__).parent / "static"
# Our own script and style; nothing from elsewhere, nothing inline, no frame but Airflow's.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_LARGEST_FORM = 256 * 1024
_WORDS = {"pii": "private data", "unsafe": "unsafe", "duplicate": "duplicate", "bad_data": "broken"}


@dataclass(frozen=True, slots=True)
class Access:
    """Who is there, and the tools of the configuration."""

    person: Person
    context: Context


def access_of(request: Request) -> Access:
    """Whom the application let in.

    Raises:
        HTTPException: 401, nobody has been identified.
    """
    found = getattr(request.state, "access", None)
    if not isinstance(found, Access):
        raise HTTPException(401, "sign in, or open your personal link")
    return found


def rating_routes(identify: Callable[..., Any]) -> APIRouter:
    """The evaluators' routes.

    Args:
        identify: a dependency that sets ``request.state.access`` or refuses.
    """
    router = APIRouter(dependencies=[Depends(identify)])
    router.get("/rate")(start_page)
    router.get("/rate/{batch}")(batch_page)
    router.get("/rate/{batch}/{number}")(item_page)
    router.post("/rate/{batch}/help")(help_out)
    router.post("/rate/{batch}/{number}")(save_item)
    router.get("/rating.css")(_file("rating.css", "text/css"))
    router.get("/rating.js")(_file("rating.js", "text/javascript"))
    return router


def _file(name: str, kind: str) -> Callable[[], FileResponse]:
    def serve() -> FileResponse:
        return FileResponse(_STATIC / name, media_type=kind)

    return serve


# ── pages ────────────────────────────────────────────────────────────────────────────────────


def start_page(request: Request) -> Response:
    """The person's batches."""
    access = access_of(request)
    name = access.person.name
    batches = []
    for batch_id, due in desk.open_batches(name, access.context):
        places = desk.queue(batch_id, name, access.context)
        left = sum(place.state in ("open", "draft") for place in places)
        batches.append({"id": batch_id, "due": due, "left": left, "all": len(places)})
    led = desk.all_batches(access.context) if access.person.admin else []
    return answer("rate_start.html", access, root="", batches=batches, led=led)


def batch_page(request: Request, batch: str) -> Response:
    """To the first item that is not finished, or the word that all is done."""
    access = access_of(request)
    places = _places(batch, access)
    place = desk.next_place(places)
    if place is None:
        return answer(
            "rate_done.html",
            access,
            root="../",
            batch=batch,
            places=places,
            open=desk.is_open(batch, access.context),
            token=form_token(access.person, batch, secret_of(access.context)),
            others=len(handover.free_places(batch, access.person.name, access.context)),
        )
    return RedirectResponse(f"{batch}/{place.number}", status_code=303)


def item_page(request: Request, batch: str, number: int, raw: bool = False) -> Response:
    """One item."""
    access = access_of(request)
    return _item(access, batch, number, raw=raw)


def _item(
    access: Access,
    batch: str,
    number: int,
    *,
    raw: bool = False,
    error: str = "",
    status: int = 200,
) -> Response:
    name, context = access.person.name, access.context
    places = _places(batch, access)
    place = _place(places, number)
    sitting, today = desk.sitting_seconds(name, context), desk.finished_today(name, context)
    if sitting >= desk.HARD_STOP_S and place.state == "open":
        return answer("rate_pause.html", access, root="../../", batch=batch, minutes=sitting / 60)
    if place.state == "open":
        desk.reserve(batch, place.item_id, name, context)
    entry = desk.entry_of(batch, place.item_id, name, context)
    text = desk.text_of(batch, place.item_id, context)
    show = str if raw else visible
    return answer(
        "rate_item.html",
        access,
        status=status,
        root="../../",
        batch=batch,
        place=place,
        total=len(places),
        done=sum(one.state in ("done", "skipped") for one in places),
        today=today,
        enough=place.state == "open" and today >= context.settings.review.items_a_day,
        optional=context.settings.review.optional,
        entry=entry,
        asked=show(text.input),
        answered=show(text.output),
        background=show(text.context),
        lengths={"answer": len(text.output), "background": len(text.context)},
        raw=raw,
        error=error,
        sitting=round(sitting),
        soft=desk.SOFT_STOP_S,
        hard=desk.HARD_STOP_S,
        opened=context.clock().timestamp(),
        rubric=RUBRIC,
        flags=[(flag, _WORDS[flag]) for flag in sorted(FLAGS)],
        reasons=SKIP_REASONS,
        guidelines=GUIDELINES_VERSION,
        token=form_token(access.person, place.item_id, secret_of(context)),
        verdict=_feedback(place, entry, context),
    )


def _feedback(place: desk.Place, entry: desk.Entry, context: Context) -> str:
    """On a submitted calibration item, and on no other: what people agreed on."""
    if not place.calibration or entry.state != "done":
        return ""
    good = desk.gold_verdict(place.item_id, context)
    return "" if good is None else "a good answer" if good >= 0.5 else "a bad answer"


async def save_item(request: Request, batch: str, number: int) -> Response:
    """Keep a draft, submit or skip; answers a script in JSON and a form with the next page."""
    access = access_of(request)
    same_origin(request)
    form = await form_of(request)
    return await run_in_threadpool(_save, request, access, batch, number, form)


async def help_out(request: Request, batch: str) -> Response:
    """Take some of what others have left open, once one's own items are done."""
    access = access_of(request)
    same_origin(request)
    form = await form_of(request)
    return await run_in_threadpool(_help_out, access, batch, form)


def _help_out(access: Access, batch: str, form: Mapping[str, list[str]]) -> Response:
    check_token(access, batch, form)
    if desk.next_place(_places(batch, access)) is None:
        handover.take_over(batch, access.person.name, access.context)
    return RedirectResponse(f"../{batch}", status_code=303)


def _save(
    request: Request, access: Access, batch: str, number: int, form: Mapping[str, list[str]]
) -> Response:
    action = _one(form, "action") or "draft"
    script = "application/json" in request.headers.get("accept", "")
    places = _places(batch, access)
    place = _place(places, number)
    check_token(access, place.item_id, form)
    try:
        entry = entry_from(form, access.context.clock().timestamp())
        saved = desk.save(batch, place.item_id, access.person.name, entry, action, access.context)
    except (LabelError, ValueError) as error:
        what = error.what if isinstance(error, LabelError) else "the form cannot be read"
        if script:
            return JSONResponse({"error": what}, status_code=422)
        _keep(access, batch, place, form)
        return _item(access, batch, number, error=what, status=422)
    stays = action == "draft" or (place.calibration and action == "submit")
    following = place if stays else desk.next_place(_places(batch, access), number)
    onwards = f"{following.number}" if following else f"../{batch}"
    if script:
        said = {"revision": saved.revision, "state": saved.state, "notice": saved.notice}
        return JSONResponse({**said, "next": onwards})
    return RedirectResponse(onwards, status_code=303)


def _keep(access: Access, batch: str, place: desk.Place, form: Mapping[str, list[str]]) -> None:
    """What a refused form holds is kept as a draft, so that the page can show it again."""
    try:
        entry = entry_from(form, access.context.clock().timestamp())
        desk.save(batch, place.item_id, access.person.name, entry, "draft", access.context)
    except (LabelError, ValueError):
        return  # it holds nothing that could be kept


def entry_from(form: Mapping[str, list[str]], now: float) -> desk.Entry:
    """A form's fields as an entry; 0 is "cannot judge".

    Raises:
        ValueError: a number cannot be read.
    """
    scores: dict[str, float | None] = {}
    for name in DIMENSIONS:
        if value := _one(form, name):
            scores[name] = float(value) or None
    # Without a script nobody measured the time: then it is what passed since the page was made.
    measured = _one(form, "seconds")
    seconds = float(measured) if measured else now - float(_one(form, "opened") or now)
    return desk.Entry(
        scores=scores,
        comment=_one(form, "comment")[: desk.COMMENT_LIMIT],
        flags=tuple(form.get("flag", ())),
        correction=_one(form, "correction")[: desk.COMMENT_LIMIT],
        reason=_one(form, "reason") if _one(form, "action") == "skip" else "",
        seconds=min(max(seconds, 0.0), desk.LONGEST_S) if seconds == seconds else 0.0,
        revision=int(_one(form, "revision") or 0),
    )


# ── doors ────────────────────────────────────────────────────────────────────────────────────


def check_token(access: Access, subject: str, form: Mapping[str, list[str]]) -> None:
    """Refuse a form that was not made for this person and subject."""
    wanted = form_token(access.person, subject, secret_of(access.context))
    if not hmac.compare_digest(_one(form, "token").encode(), wanted.encode()):
        raise HTTPException(403, "this form is not of this session: load the page again")


def same_origin(request: Request) -> None:
    """Refuse a post that another site's page sent; a browser always names the sender."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    if site != "same-origin" or (origin is not None and urlsplit(origin).netloc != host):
        raise HTTPException(403, "a page of another site may not rate")


async def form_of(request: Request) -> dict[str, list[str]]:
    """The fields of a posted form, with line ends as they were typed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "send the page's form")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, "a comment has at most 10,000 characters")
    try:
        fields = parse_qs(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100
        )
    except ValueError:
        raise HTTPException(413, "too many fields") from None
    return {
        name: [value.replace("\r\n", "\n") for value in values] for name, values in fields.items()
    }


def _places(batch: str, access: Access) -> list[desk.Place]:
    places = desk.queue(batch, access.person.name, access.context)
    if not places:
        raise HTTPException(404, "no items of this batch are assigned to you")
    return places


def _place(places: list[desk.Place], number: int) -> desk.Place:
    if not 1 <= number <= len(places):
        raise HTTPException(404, "there is no such item")
    return places[number - 1]


def _one(form: Mapping[str, list[str]], name: str) -> str:
    values = form.get(name, ())
    return values[-1] if values else ""


def answer(template: str, access: Access, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of ours, under the policy."""
    response = page(
        template,
        status=status,
        person=access.person,
        zone=access.context.settings.timezone,
        **values,
    )
    response.headers["Content-Security-Policy"] = POLICY
    return response


def problem(request: Request, error: HTTPException) -> Response:
    """A refusal, to a person as a page and to a script in JSON; without a word of what was sent."""
    if "text/html" in request.headers.get("accept", ""):
        said = {"what": error.detail, "mend": ""}
        status = error.status_code
        return page("rate_error.html", status=status, root="/", person=Person(""), error=said)
    return Response(
        json.dumps({"detail": error.detail}), error.status_code, media_type="application/json"
    )
