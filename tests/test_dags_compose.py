"""docker-compose.yml: no daemon runs here, so its structure is checked, and what must agree."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
TEXT = (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(TEXT)["services"]


def test_the_whole_team_is_there(services: dict[str, Any]) -> None:
    assert set(services) == {*AIRFLOW, "init", "postgres", "redis"}


@pytest.mark.parametrize("name", AIRFLOW)
def test_components_share_what_they_must(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["environment"] == services["scheduler"]["environment"]
    environment = service["environment"]
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    for shared in (
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__FERNET_KEY",
    ):
        assert re.fullmatch(r"\$\{\w+:\?.+\}", environment[shared]), "no default for a secret"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == (
        "http://api-server:8080/execution/"
    )
    assert service["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


def test_database_urls_name_their_driver() -> None:
    """Under SQLAlchemy 2.1 a bare postgresql:// would silently mean psycopg 3."""
    urls = re.findall(r"(\S*postgresql\S*)://", TEXT)
    assert sorted(set(urls)) == [
        "db+postgresql+psycopg2",
        "postgresql+psycopg",
        "postgresql+psycopg2",
    ]


def test_no_secret_is_written_down() -> None:
    named = re.findall(
        r"^ +(\w*(?:PASSWORD|SECRET|KEY|TOKEN)\w*|\w*_URL): (.+)$", TEXT, re.MULTILINE
    )
    assert len(named) >= 8
    assert [
        name for name, value in named if "PASSWORD" in name and not value.startswith("${")
    ] == []
    assert not re.search(r"://\w*:(?!\$\{)[^@\s]+@", TEXT), "a password stands in a URL"
    assert [n for n, v in named if n.endswith(("SECRET", "KEY", "TOKEN")) and "${" not in v] == []


def test_only_the_ui_is_published_and_only_here(services: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert {name for name, some in ports.items() if some} == {"api-server"}
    assert all(port.startswith("127.0.0.1:") for port in ports["api-server"])


def test_the_image_is_the_lock_and_no_root(services: dict[str, Any]) -> None:
    recipe = services["scheduler"]["build"]["dockerfile_inline"]
    assert "--require-hashes -r requirements.lock" in recipe
    assert "USER 50000" in recipe
    torch = re.search(r"torch==\S+", recipe)
    assert torch is not None
    assert torch[0] in (ROOT / "pyproject.toml").read_text()
    for folder in re.findall(r"COPY (\w+) \1", recipe):
        assert (ROOT / folder).is_dir()


def test_init_is_run_once(services: dict[str, Any]) -> None:
    init = services["init"]
    assert init["restart"] == "no"
    assert "db migrate" in init["command"][-1]
    assert "init" not in init["depends_on"]
