"""Fixtures that every test may use: real databases, real data, and no network but loopback."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
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
def postgres_server() -> Iterator[str]:
    """A PostgreSQL URL without database: the named one, else one started here, else one that runs.

    One of our own need not survive a power cut: on it a test's database is made and dropped in a
    tenth of the time that a server takes which waits for the disk.
    """
    named = os.environ.get("TIDEGAUGE_TEST_POSTGRES", "")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (str(binaries[-1]) if binaries else None)
    if found and not named:
        # Not below pytest's own folder: each session that starts closes that to other users.
        with tempfile.TemporaryDirectory(prefix="tidegauge-postgres-") as folder:
            yield from _started(Path(found).parent, Path(folder))
        return
    users = [name for name in (os.environ.get("USER", ""), "root", "postgres") if name]
    for url in [named] if named else [f"postgresql+psycopg://{u}@127.0.0.1:5432" for u in users]:
        if _answers(url):
            yield url
            return
    unavailable("PostgreSQL", "no initdb installed and none on 127.0.0.1:5432")


def _answers(url: str) -> bool:
    try:
        engine = create_engine(f"{url}/postgres", connect_args={"connect_timeout": 2})
        with engine.connect():
            return True
    except (SQLAlchemyError, ImportError):
        return False


def _started(binaries: Path, folder: Path) -> Iterator[str]:
    """A server in ``folder`` that ends with this process, however that ends (on Linux)."""
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run: Callable[..., Any] = subprocess.run
    make = [
        binaries / "initdb",
        "-D",
        folder / "data",
        "-U",
        "postgres",
        "-A",
        "trust",
        "--no-sync",
    ]
    run(make, stdout=subprocess.DEVNULL, check=True, cwd=folder, **owner)
    settings = ("listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off")
    server = subprocess.Popen(
        [
            *(binaries / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder),
            *(word for setting in settings for word in ("-c", setting)),
        ],
        stderr=(folder / "log").open("wb"),
        cwd=folder,
        preexec_fn=_end_with_parent(),
        **owner,
    )
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    try:
        while not _answers(url):
            if server.poll() is not None:
                pytest.fail(f"PostgreSQL did not start: see {folder / 'log'}")
            time.sleep(0.1)
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _end_with_parent() -> Callable[[], None] | None:
    """What a child does first, so that it ends with us even if we are killed; Linux alone has it.

    Looked up before the fork: the other user may not read the folders that we import from.
    """
    if sys.platform != "linux":
        return None
    set_death_signal = 1  # PR_SET_PDEATHSIG
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(set_death_signal, signal.SIGQUIT)


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
    with _administrator(server).connect() as connection:
        connection.execute(text(statement))


@cache
def _administrator(server: str) -> Engine:
    """Its one connection is kept: a new one for each statement takes longer than the statement."""
    return create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file from which each test's own is copied."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh store; every test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "store.db")
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
