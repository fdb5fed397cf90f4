"""The pages inside Airflow's api-server: closed to strangers, safe in any browser, and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sql.store import Store
from sql.tables import incident as incident_table
from tests.test_web_views import _incident, cover, day, fill_review, measured, publish

PAGES = ("", "incidents", "coverage", "reviews")
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def client(airflow_home: Path) -> Any:
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    return TestClient(create_app(apps="core"), follow_redirects=False)


@pytest.fixture(scope="module")
def signed_in(client: Any) -> dict[str, str]:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    user = SimpleAuthManagerUser(username="vic", role="viewer")
    return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A configuration with an empty store, which the pages shall find."""
    file = tmp_path / "tidegauge.toml"
    file.write_text('[store]\nurl = "sqlite:///store.db"\n')
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(file))
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


@pytest.fixture
def filled(project: Store) -> Store:
    publish(project, *[measured(day(k), 0.9, low=0.88, high=0.92, baseline=0.95) for k in range(8)])
    publish(project, measured(day(8), 0.8, labels={"feature": HOSTILE, "scorer": "pii"}))
    for count in range(5):
        cover(project, "daily_quality", day(count), "complete")
    row = _incident("a", rule="safety fell", severity="critical", state="open")
    with project.begin() as connection:
        project.upsert(connection, incident_table, [row])
    fill_review(project)
    return project


def test_every_route_refuses_strangers(client: Any) -> None:
    from monitors.web.app import create_app

    routes = [route for route in create_app().routes if hasattr(route, "methods")]
    assert len(routes) >= 5
    for route in routes:
        for method in route.methods:
            answer = client.request(method, f"/tidegauge{route.path}")
            assert answer.status_code == 401, (
                f"{method} {route.path} answers without a login: give the app's routes get_user"
            )


def test_a_browser_is_sent_to_the_login_and_back(client: Any) -> None:
    answer = client.get("/tidegauge/incidents", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert "/auth/login" in answer.headers["location"]
    assert "tidegauge%2Fincidents" in answer.headers["location"]


def test_a_forged_token_is_refused(client: Any) -> None:
    answer = client.get("/tidegauge/", headers={"Authorization": "Bearer forged"})
    assert answer.status_code in (401, 403)


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_an_empty_store(
    client: Any, signed_in: dict[str, str], project: Store, page: str
) -> None:
    answer = client.get(f"/tidegauge/{page}", headers=signed_in)
    assert answer.status_code == 200
    assert "vic" in answer.text


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", ["safety.pass_rate", "90.0 %", "88.0 % to 92.0 %", "95.0 %", "<polyline"]),
        ("?monitor=safety&slices=true", ["80.0 %", "&lt;script&gt;"]),
        ("incidents", ["safety fell", "critical", "2026-05-05"]),
        ("coverage", ["daily_quality", "<rect", "2026-05-08: complete, 2,000 rows"]),
        ("reviews", ["may", "1 of 3", "<progress"]),
    ],
)
def test_pages_show_what_the_store_holds(
    client: Any, signed_in: dict[str, str], filled: Store, page: str, words: list[str]
) -> None:
    answer = client.get(f"/tidegauge/{page}", headers=signed_in)
    assert answer.status_code == 200
    assert [word for word in words if word not in answer.text] == []
    assert HOSTILE not in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_pages_run_no_script_and_reach_nowhere(
    client: Any, signed_in: dict[str, str], filled: Store, page: str
) -> None:
    answer = client.get(f"/tidegauge/{page}", headers=signed_in)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|\son\w+=|\sstyle=|<meta[^>]+refresh", answer.text)
    for link in re.findall(r'(?:href|src)="([^"]*)"', answer.text):
        assert not re.match(r"/|[a-z]+:", link), f"{link} would break under [api] base_url"


def test_a_missing_configuration_is_explained(
    client: Any, signed_in: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGAUGE_CONFIG", str(tmp_path / "nowhere.toml"))
    answer = client.get("/tidegauge/", headers=signed_in)
    assert answer.status_code == 503
    assert "there is no configuration" in answer.text
    assert "content-security-policy" in answer.headers


def test_the_plugin_is_light(airflow_home: Path) -> None:
    """Every task imports it, so it must neither build nor import the application."""
    heavy = ("monitors.web.app", "monitors.suite", "torch", "pandas")
    program = f"""
import sys
import monitors.web.airflow_plugin
print([name for name in {heavy!r} if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_airflow_finds_the_plugin(airflow_home: Path) -> None:
    from airflow import plugins_manager

    assert plugins_manager.get_import_errors() == {}
    assert "tidegauge" in {entry["name"] for entry in plugins_manager.get_plugin_info(["name"])}
