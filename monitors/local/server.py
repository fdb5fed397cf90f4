"""Airflow's four components on this machine: started together, awaited, stopped together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitors.local.home import PORT, Home
from sql.errors import ConfigurationError, TidegaugeError

# Task logs lie in the home, where the api-server reads them: no process needs to serve them.
_COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
COMPONENTS = tuple(_COMMANDS)
_START_SECONDS = 180
_STOP_SECONDS = 30
Progress = Callable[[str, int, int], None]


class AirflowError(TidegaugeError):
    """A component ended, or did not become healthy."""


@dataclass(frozen=True, slots=True)
class Up:
    """Airflow that runs.

    Args:
        users: user name → (role, password).
        started: False when it ran already.
    """

    url: str
    users: dict[str, tuple[str, str]]
    started: bool
    folder: Path


def up(
    config: str | Path | None = None, *, port: int = PORT, progress: Progress | None = None
) -> Up:
    """Start the components and wait until all are healthy; where they run already, say so.

    Args:
        progress: called with (what is awaited, components healthy, components).

    Raises:
        ConfigurationError: no usable configuration, or the port is taken.
        AirflowError: a component ended or is not healthy after three minutes; all are stopped.
    """
    home = Home.beside(config)
    passwords = home.make()
    alive = running(home)
    if set(alive) == set(COMPONENTS):
        return _report(home, passwords, _port(home), started=False)
    down(config)
    _refuse_taken(port)
    # Settings of another Airflow in this shell (a secret, an executor) must not mix with these.
    inherited = {k: v for k, v in os.environ.items() if "AIRFLOW" not in k}
    environment = {**inherited, **home.environment(port=port)}
    tell = progress or (lambda *_: None)
    tell("metadata database", 0, len(COMPONENTS))
    _migrate(home, environment)
    processes = {name: _start(name, home, environment) for name in COMPONENTS}
    _write_down(home, processes, port)
    try:
        _await_health(processes, home, port, tell)
    except BaseException:
        down(config)
        raise
    return _report(home, passwords, port, started=True)


def down(config: str | Path | None = None) -> list[str]:
    """Stop what `up` started: SIGTERM to each component's process group, SIGKILL after 30 s.

    Returns:
        names of the components that were stopped.
    """
    home = Home.beside(config)
    alive = running(home)
    for pid in alive.values():
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and any(_group_lives(pid) for pid in alive.values()):
        time.sleep(0.2)
    for pid in alive.values():
        if _group_lives(pid):
            _signal(pid, signal.SIGKILL)
    home.processes.unlink(missing_ok=True)
    return sorted(alive)


def running(home: Home) -> dict[str, int]:
    """Component → process id (also its group's) of those that `up` started and that still live."""
    if not home.processes.exists():
        return {}
    noted = json.loads(home.processes.read_text())["components"]
    return {
        name: entry["pid"] for name, entry in noted.items() if _born(entry["pid"]) == entry["born"]
    }


def _report(home: Home, passwords: dict[str, str], port: int, *, started: bool) -> Up:
    users = {name: (role, passwords[name]) for name, role in home.roles.items()}
    return Up(f"http://127.0.0.1:{port}", users, started, home.folder)


def _port(home: Home) -> int:
    return int(json.loads(home.processes.read_text())["port"])


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigurationError(
                f"port {port} of 127.0.0.1 is taken by another program",
                where="tidegauge up",
                mend="stop that program, or choose another port: tidegauge up --port 8081",
            ) from None


def _migrate(home: Home, environment: dict[str, str]) -> None:
    log = home.folder / "logs" / "migrate.log"
    with log.open("w") as file:
        result = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode:
        raise AirflowError(
            "the metadata database cannot be migrated", where=str(log), mend="read that file"
        )


def _start(name: str, home: Home, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (home.folder / "logs" / f"{name}.log").open("wb") as file:
        # A session of its own: Ctrl-C in the terminal does not reach it, `down` reaches all of it.
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "airflow", *_COMMANDS[name]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _write_down(home: Home, processes: dict[str, subprocess.Popen[bytes]], port: int) -> None:
    components = {
        name: {"pid": process.pid, "born": _born(process.pid)}
        for name, process in processes.items()
    }
    home.processes.write_text(json.dumps({"port": port, "components": components}))


def _await_health(
    processes: dict[str, subprocess.Popen[bytes]], home: Home, port: int, tell: Progress
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                log = home.folder / "logs" / f"{name}.log"
                raise AirflowError(
                    f"Airflow's {name} ended while starting (exit {process.returncode})",
                    where=str(log),
                    mend="read the end of that file",
                )
        healthy = _healthy(port)
        waiting = [name for name in COMPONENTS if name not in healthy]
        tell(waiting[0] if waiting else "all", len(healthy), len(COMPONENTS))
        if not waiting:
            return
        time.sleep(0.5)
    raise AirflowError(
        f"Airflow is not healthy after {_START_SECONDS} s",
        where=str(home.folder / "logs"),
        mend="read the logs there; a slow machine may need a second try",
    )


def _healthy(port: int) -> set[str]:
    """Components that the api-server calls healthy."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5
        ) as answer:
            body = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return set()
    found = {name.replace("_", "-") for name, part in body.items() if _is_healthy(part)}
    return {"api-server"} | (found & set(COMPONENTS))


def _is_healthy(part: dict[str, str | None] | None) -> bool:
    return part is not None and part.get("status") == "healthy"


def _born(pid: int) -> float | None:
    """When the process began: with its id, an identity that no later process shares."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _signal(group: int, what: signal.Signals) -> None:
    try:
        os.killpg(group, what)
    except (ProcessLookupError, PermissionError):
        return


def _group_lives(group: int) -> bool:
    import psutil

    for process in psutil.process_iter(["pid", "status"]):
        try:
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group:
                return True
        except (ProcessLookupError, psutil.Error):
            continue
    return False
