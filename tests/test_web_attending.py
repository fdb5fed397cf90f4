"""An incident's page: what decided it for every login, forms for those who may change DAGs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from alerts import silences
from sql.store import Store
from sql.tables import acknowledgement, audit, notification
from tests.test_report_lineage import HOSTILE, Story, story  # noqa: F401
from tests.test_web_pages import client, signed_in  # noqa: F401


@pytest.fixture
def page(client: Any, story: Story, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Asks for the incident's page, or posts to it, as somebody."""
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(story.folder / "tidegauge.toml"))
    address = f"/tidegauge/incidents/{story.name}"

    def ask(headers: dict[str, str], form: dict[str, str] | None = None, below: str = "") -> Any:
        if form is None:
            return client.get(address + below, headers=headers)
        return client.post(address + below, headers=headers, data=form)

    return ask


@pytest.fixture
def editor(client: Any) -> dict[str, str]:  # noqa: F811
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    user = SimpleAuthManagerUser(username="eve", role="admin")
    return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}


def token_of(text: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', text)
    assert found is not None
    return found[1]


def said(store: Store) -> list[tuple[str, str, str]]:
    return [
        (row.actor, row.verdict, row.comment)
        for row in store.rows(select(acknowledgement).order_by(acknowledgement.c.at))
    ]


def test_everybody_reads_and_nobody_else_acts(
    page: Any,
    signed_in: dict[str, str],  # noqa: F811
    story: Story,  # noqa: F811
) -> None:
    shown = page(signed_in)
    assert shown.status_code == 200
    assert "on it" in shown.text and "quality" in shown.text
    assert HOSTILE not in shown.text and "&lt;script&gt;" in shown.text
    assert "<form" not in shown.text and "unsafe" not in shown.headers["content-security-policy"]
    drawn = page(signed_in, below="/chart.png")
    assert drawn.content.startswith(b"\x89PNG")
    before = said(story.suite.store)
    assert page(signed_in, {"act": "ack", "token": "0" * 64}).status_code == 403
    assert said(story.suite.store) == before


def test_an_editor_answers_for_it(page: Any, editor: dict[str, str], story: Story) -> None:  # noqa: F811
    store = story.suite.store
    token = token_of(page(editor).text)
    posted = page(editor, {"act": "ack", "comment": "rolling back", "token": token})
    assert posted.status_code == 303
    assert posted.headers["location"] == story.name
    assert ("eve", "", "rolling back") in said(store)
    told = [row.payload for row in store.rows(select(notification)) if row.kind == "thread"]
    assert any(facts.get("by") == "eve" for facts in told), "the thread hears of it"
    assert page(editor, {"act": "false", "comment": "", "token": token}).status_code == 303
    assert ("eve", "false", "") in said(store)
    assert "a false alarm" in page(editor).text
    assert "eve" in {row.actor for row in store.rows(select(audit))}


def test_a_silence_takes_this_series_and_needs_a_reason(
    page: Any,
    editor: dict[str, str],
    story: Story,  # noqa: F811
) -> None:
    store = story.suite.store
    token = token_of(page(editor).text)
    form = {"act": "silence", "hours": "4", "token": token}
    refused = page(editor, {**form, "comment": " "})
    assert refused.status_code == 422
    assert "a silence needs an author and a comment" in refused.text
    assert page(editor, {**form, "comment": "known, mended at noon"}).status_code == 303
    made = next(each for each in silences.read(store) if each.author == "eve")
    assert (made.ends - made.starts).total_seconds() == 4 * 3600
    labels = {"feature": HOSTILE}
    mine = {"labels": labels, "rule": "quality", "metric": "quality.score", "severity": "warning"}
    assert made.takes(mine)
    assert not made.takes({**mine, "labels": {"feature": "another"}})
    assert not made.takes({**mine, "rule": "another"})
    assert f"tidegauge silence end {made.key}" in page(editor).text


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"token": "0" * 64}, {}, 403),
        ({}, {"Origin": "https://evil.example"}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"act": "delete"}, {}, 422),
        ({"act": "silence", "hours": "9999"}, {}, 422),
    ],
)
def test_forged_and_broken_forms_change_nothing(
    change: dict[str, str],
    headers: dict[str, str],
    status: int,
    page: Any,
    editor: dict[str, str],
    story: Story,  # noqa: F811
) -> None:
    before = said(story.suite.store)
    form = {"act": "ack", "comment": "x", "token": token_of(page(editor).text), **change}
    assert page(editor | headers, form).status_code == status
    assert said(story.suite.store) == before
    assert len(silences.read(story.suite.store)) == 1


def test_an_unknown_incident_is_not_found(
    client: Any,  # noqa: F811
    page: Any,
    editor: dict[str, str],
) -> None:
    assert client.get("/tidegauge/incidents/ffffffffff", headers=editor).status_code == 404
