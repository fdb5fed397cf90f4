"""The web application: who may see a page, which headers it carries, and which page it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from monitors.review.links import Person
from monitors.suite import Suite, open_suite
from monitors.web import coverage, incidents, reviews, series
from monitors.web.attending import attending_routes
from monitors.web.judging import judging_routes
from monitors.web.rating import Access, rating_routes
from monitors.web.rendering import HERE, page
from sql.errors import TidegaugeError

_HEADERS = {
    # No script at all, nothing from elsewhere; only Airflow's own UI may frame the pages.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app() -> FastAPI:
    """The pages, to be mounted below a prefix of Airflow's api-server."""
    app = FastAPI(
        title="Tidegauge",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(get_user)],  # every route below
    )
    app.middleware("http")(_with_headers)
    app.exception_handler(HTTPException)(_to_login)
    app.exception_handler(TidegaugeError)(_explained)
    app.get("/")(monitors_page)
    app.get("/incidents")(incidents_page)
    app.get("/coverage")(coverage_page)
    app.get("/reviews")(reviews_page)
    app.get("/style.css")(style)
    app.include_router(attending_routes(_identify))
    app.include_router(rating_routes(_identify))
    app.include_router(judging_routes(_identify))
    return app


# ── pages ────────────────────────────────────────────────────────────────────────────────────


def monitors_page(
    user: GetUserDep,
    monitor: Annotated[str, Query(max_length=80)] = "",
    slices: bool = False,
) -> HTMLResponse:
    suite = open_suite()
    groups = series.latest(suite.store, monitor=monitor, slices=slices)
    return _page("monitors", user, suite, groups=groups, monitor=monitor, slices=slices)


def incidents_page(user: GetUserDep) -> HTMLResponse:
    suite = open_suite()
    groups = incidents.by_state(suite.store, suite.settings.timezone)
    return _page("incidents", user, suite, groups=groups)


def coverage_page(user: GetUserDep) -> HTMLResponse:
    suite = open_suite()
    calendars = coverage.calendars(suite.store, suite.settings.timezone)
    return _page("coverage", user, suite, calendars=calendars)


def reviews_page(user: GetUserDep) -> HTMLResponse:
    suite = open_suite()
    found = reviews.batches(suite.store, suite.settings.timezone)
    return _page("reviews", user, suite, batches=found)


def style() -> FileResponse:
    return FileResponse(HERE / "static" / "style.css", media_type="text/css")


def _page(name: str, user: Any, suite: Suite, **values: Any) -> HTMLResponse:
    zone = suite.settings.timezone
    return page(f"{name}.html", page=name, user=user.get_name(), zone=zone, **values)


def _identify(request: Request, user: GetUserDep) -> None:
    """Airflow's user; who may change DAGs may answer for incidents and see how a batch goes."""
    allowed = get_auth_manager().is_authorized_dag(
        method="PUT", details=DagDetails(id=None), user=user
    )
    person = Person(user.get_name(), admin=allowed)
    request.state.access = Access(person, open_suite().context)


# ── doors ────────────────────────────────────────────────────────────────────────────────────


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)  # the rating pages bring their own policy
    return response


async def _to_login(request: Request, error: HTTPException) -> Response:
    """A person without a session goes to Airflow's login and comes back; a program gets its 401."""
    wants_html = "text/html" in request.headers.get("accept", "")
    if error.status_code == 401 and request.method == "GET" and wants_html:
        back = get_auth_manager().get_url_login(next_url=str(request.url))
        return RedirectResponse(back, status_code=303)
    return await http_exception_handler(request, error)


async def _explained(_request: Request, error: TidegaugeError) -> HTMLResponse:
    """Our errors hold no text of a user or model and may be shown."""
    return page("error.html", status=503, page="", user="", zone="", error=error)
