"""The web application: who may see a page, which headers it carries, and which page it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitors.suite import Suite, open_suite
from monitors.web import coverage, incidents, reviews, series
from monitors.web.drawing import interval_bar, sparkline
from monitors.web.words import instant, labels_text
from sql.errors import TidegaugeError
from sql.words import between, number

_HERE = Path(__file__).parent
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
    return FileResponse(_HERE / "static" / "style.css", media_type="text/css")


_jinja = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_jinja.filters.update(number=number, instant=instant, labels=labels_text)
_jinja.globals.update(between=between, sparkline=sparkline, interval_bar=interval_bar)


def _page(name: str, user: Any, suite: Suite, **values: Any) -> HTMLResponse:
    template = _jinja.get_template(f"{name}.html")
    zone = suite.settings.timezone
    return HTMLResponse(template.render(page=name, user=user.get_name(), zone=zone, **values))


# ── doors ────────────────────────────────────────────────────────────────────────────────────


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
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
    body = _jinja.get_template("error.html").render(page="", user="", zone="", error=error)
    return HTMLResponse(body, status_code=503)
