"""Fixtures that every test may use: real databases, real data, and no network but loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from sql.store import Store

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

ROOT = Path(__file__).resolve().parent.parent
IN_CI = bool(os.environ.get("CI"))
_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def unavailable(what: str, why: str) -> None:
    """Skip with a reason on a person's machine; fail in CI, where everything must be there."""
    if IN_CI:
        pytest.fail(f"{what} is needed in CI: {why}")
    pytest.skip(f"no {what}: {why}")


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    """A connection to any other host fails the test that makes it."""
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if not host.startswith(_LOOPBACK):
                raise AssertionError(f"a test wanted to reach {host}")
        original(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign]
    yield
    socket.socket.connect = original  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets (see the README); the test is skipped where it is missing."""
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "llmdrift").is_dir():
        pytest.skip(f"the real data sets are not at {folder} (set TIDEGAUGE_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL URL without database: one that runs on 127.0.0.1:5432, else one started here."""
    candidates = [os.environ.get("TIDEGAUGE_TEST_POSTGRES", "")]
    for user in (os.environ.get("USER", ""), "root", "postgres"):
        candidates.append(f"postgresql+psycopg://{user}@127.0.0.1:5432" if user else "")
    for url in filter(None, candidates):
        if _answers(url):
            yield url
            return
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (str(binaries[-1]) if binaries else None)
    if found is None:
        unavailable("PostgreSQL", "none on 127.0.0.1:5432 and no initdb installed")
        return
    yield from _started(Path(found).parent, tmp_path_factory.mktemp("postgres"))


def _answers(url: str) -> bool:
    try:
        engine = create_engine(f"{url}/postgres", connect_args={"connect_timeout": 2})
        with engine.connect():
            return True
    except (SQLAlchemyError, ImportError):
        return False


def _started(binaries: Path, folder: Path) -> Iterator[str]:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if prefix:
        for path in (folder, *folder.parents[:2]):
            path.chmod(0o755)
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    run: Callable[..., Any] = subprocess.run
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    run([*prefix, binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], **quiet)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    run([*prefix, binaries / "pg_ctl", "-D", data, "-w", "-o", options, "start"], **quiet)
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while not _answers(url) and time.monotonic() < deadline:
        time.sleep(0.2)
    yield url
    run([*prefix, binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """A migrated database from which each test's own is copied."""
    name = f"tidegauge_template_{uuid.uuid4().hex[:10]}"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    Store.open(f"{postgres_server}/{name}").close()
    yield name
    _administer(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """URL of a fresh, migrated PostgreSQL database."""
    name = f"tidegauge_test_{uuid.uuid4().hex[:10]}"
    _administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield f"{postgres_server}/{name}"
    _administer(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _administer(server: str, statement: str) -> None:
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh store; every test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store.open(store_url)
    yield store
    store.close()


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated Airflow of the session's own; its modules may be imported from here on."""
    from tests.airflow_env import prepare

    return prepare(tmp_path_factory.mktemp("airflow"))
