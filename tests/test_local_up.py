"""Airflow's four components, truly started and stopped."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from monitors.local.home import Home
from monitors.local.server import COMPONENTS, down, running, up


def post(url: str, body: dict[str, str]) -> dict[str, str]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(json.load(answer))


def status(url: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_up_twice_then_down(tmp_path: Path) -> None:
    config = tmp_path / "tidegauge.toml"
    config.write_text('[store]\nurl = "sqlite:///store.db"\n')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heard: list[int] = []
    try:
        first = up(config, port=port, progress=lambda _, healthy, __: heard.append(healthy))
        assert first.started
        assert heard[-1] == len(COMPONENTS)
        home = Home.beside(config)
        processes = running(home)
        assert set(processes) == set(COMPONENTS)
        family = [
            child.pid for pid in processes.values() for child in psutil.Process(pid).children(True)
        ]

        again = up(config, port=port)
        assert not again.started
        assert running(home) == processes

        role, password = first.users["eva"]
        assert role == "user"
        token = post(f"{first.url}/auth/token", {"username": "eva", "password": password})
        assert status(f"{first.url}/tidegauge/") == 401
        assert status(f"{first.url}/tidegauge/", token["access_token"]) == 200
        assert _listens_elsewhere([*processes.values(), *family]) == []
    finally:
        stopped = down(config)
    assert sorted(stopped) == sorted(COMPONENTS)
    assert [pid for pid in [*processes.values(), *family] if _lives(pid)] == []
    assert down(config) == []


def _lives(pid: int) -> bool:
    # The four are children of this very process, which has not asked for their exit status.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _listens_elsewhere(pids: list[int]) -> list[str]:
    """Addresses other than this machine's own on which any of the processes listens."""
    return [
        f"{connection.laddr.ip}:{connection.laddr.port}"
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip != "127.0.0.1"
    ]
