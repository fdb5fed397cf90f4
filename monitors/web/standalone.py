"""The rating pages without Airflow: personal links instead of a login, loopback by default."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from monitors.context import Context
from monitors.review.links import Person, secret_of, signed, verified
from monitors.web.judging import judging_routes
from monitors.web.rating import POLICY, Access, problem, rating_routes
from monitors.web.rendering import page
from sql.errors import ConfigurationError, TidegaugeError

COOKIE = "tidegauge_review"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "Content-Security-Policy": POLICY.replace("frame-ancestors 'self'", "frame-ancestors 'none'"),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(open_context: Callable[[], Context], hosts: tuple[str, ...] = LOOPBACK) -> FastAPI:
    """The application.

    Args:
        open_context: the tools of the configuration, asked at every request.
        hosts: names under which it may be called; any other is a rebound DNS name.
    """
    app = FastAPI(title="Tidegauge review", docs_url=None, redoc_url=None, openapi_url=None)

    def identify(request: Request) -> None:
        context = open_context()
        token = request.cookies.get(COOKIE, "")
        person = verified(token, context.clock(), secret_of(context))
        if person is None:
            raise HTTPException(401, "open your personal link again")
        request.state.access = Access(person, context)

    def enter(token: str) -> Response:
        """Take a personal link. The page is left by a click of one's own: a strict cookie does
        not travel with a redirect that began on another site."""
        context = open_context()
        person = verified(token, context.clock(), secret_of(context))
        if person is None:
            raise HTTPException(401, "this link is not valid any more: ask for a new one")
        zone = context.settings.timezone
        answer = page("rate_enter.html", root="", person=person, zone=zone)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
        return answer

    def front() -> Response:
        return RedirectResponse("rate", status_code=303)

    app.get("/enter")(enter)
    app.include_router(rating_routes(identify))
    app.include_router(judging_routes(identify))
    app.get("/", dependencies=[Depends(identify)])(front)
    app.get("/favicon.ico")(lambda: Response(status_code=204))  # browsers ask without being told
    app.exception_handler(HTTPException)(problem)
    app.exception_handler(TidegaugeError)(_explained)
    app.middleware("http")(_with_headers)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return app


def link_for(person: Person, base: str, context: Context, *, days: int) -> str:
    """A personal link below ``base`` that works for ``days``."""
    expires = context.clock() + timedelta(days=days)
    return f"{base.rstrip('/')}/enter?token={signed(person, expires, secret_of(context))}"


def check_host(host: str, *, behind_proxy: bool) -> None:
    """Refuse an address that others reach, unless a proxy in front speaks TLS.

    Raises:
        ConfigurationError: the address is not loopback.
    """
    if host not in LOOPBACK and not behind_proxy:
        raise ConfigurationError(
            "links and answers would travel unencrypted",
            where=host,
            mend="serve on 127.0.0.1, or put a proxy with TLS in front and say --behind-proxy",
        )


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


async def _explained(_request: Request, error: TidegaugeError) -> Response:
    return page("rate_error.html", status=503, root="/", person=Person(""), error=error)
