"""An incident's own page: its whole lineage, and the forms by which a person answers for it.

What `tidegauge ack` and `tidegauge silence` say by hand, a message's link says here, for those who
have no shell and no Slack buttons. Whoever has a login may read; who may change DAGs may act.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from alerts import charts, silences
from alerts.acknowledgements import VERDICTS, acknowledge, find_incident
from monitors.lineage import lineage
from monitors.review.links import form_token, secret_of
from monitors.suite import open_suite
from monitors.web.rating import Access, access_of, check_token, form_of, same_origin
from monitors.web.rendering import page
from sql.errors import ConfigurationError

HOURS = {"4": "4 hours", "24": "a day", "72": "three days"}
_LONGEST = 1_000


def attending_routes(identify: Callable[..., Any]) -> APIRouter:
    """The routes; reading asks for a login, acting for more."""
    router = APIRouter(dependencies=[Depends(identify)])
    router.get("/incidents/{incident}")(incident_page)
    router.get("/incidents/{incident}/chart.png")(chart)
    router.post("/incidents/{incident}")(answer)
    return router


def incident_page(request: Request, incident: str) -> Response:
    """Everything that decided it, and who said what."""
    return _page(access_of(request), incident)


def _page(access: Access, incident: str, *, error: str = "", status: int = 200) -> Response:
    row = _found(access, incident)
    suite, context, person = open_suite(), access.context, access.person
    subject = f"{row.fingerprint}:{row.generation}"
    running = silences.read(context.store, at=context.clock())
    facts = {"labels": json.loads(row.labels), "rule": row.rule}
    facts |= {"metric": row.metric, "severity": row.severity}
    return page(
        "incident.html",
        status=status,
        page="incidents",
        root="../",
        user=person.name,
        zone=context.settings.timezone,
        row=row,
        found=lineage(suite, row.fingerprint, row.generation),
        silent=[each for each in running if each.takes(facts)],
        may=person.admin,
        hours=HOURS,
        error=error,
        token=form_token(person, subject, secret_of(context)),
    )


def chart(request: Request, incident: str) -> Response:
    """The series with its interval, baseline, threshold and breaches, as PNG."""
    access = access_of(request)
    row = _found(access, incident)
    facts = {"fingerprint": row.fingerprint, "generation": row.generation}
    drawn = charts.png(charts.read(access.context.store, facts))
    return Response(drawn, media_type="image/png")


async def answer(request: Request, incident: str) -> Response:
    """Do what the form says, and show the page again."""
    access = access_of(request)
    if not access.person.admin:
        raise HTTPException(403, "who may change DAGs may answer for an incident")
    same_origin(request)
    form = await form_of(request)
    return await run_in_threadpool(_answer, access, incident, form)


def _answer(access: Access, incident: str, form: Mapping[str, list[str]]) -> Response:
    row = _found(access, incident)
    check_token(access, f"{row.fingerprint}:{row.generation}", form)
    said = {name: values[-1].strip() for name, values in form.items()}
    try:
        _do(access, row, said)
    except ConfigurationError as error:
        mend = f": {error.mend}" if error.mend else ""
        return _page(access, incident, error=f"{error.what}{mend}", status=422)
    return RedirectResponse(row.fingerprint[:10], status_code=303)


def _do(access: Access, row: Any, said: Mapping[str, str]) -> None:
    store, now, actor = access.context.store, access.context.clock(), access.person.name
    comment, act = said.get("comment", "")[:_LONGEST], said.get("act", "")
    if act == "silence" and said.get("hours") in HOURS:
        silences.add(
            store,
            silences.series(row),
            starts=now,
            ends=now + timedelta(hours=int(said["hours"])),
            author=actor,
            comment=comment,
            now=now,
        )
    elif act == "ack" or act in VERDICTS:
        verdict = act if act in VERDICTS else ""
        acknowledge(
            store, row, actor=actor, comment=comment, action="page", now=now, verdict=verdict
        )
    else:
        raise ConfigurationError("the form does not say what to do", mend="load the page again")


def _found(access: Access, incident: str) -> Any:
    try:
        return find_incident(access.context.store, incident)
    except ConfigurationError as error:
        raise HTTPException(404, error.what) from None
