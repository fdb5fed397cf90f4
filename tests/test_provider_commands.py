"""Pins and candidates as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitors.provider.prompts import write_prompts
from monitors.provider.recorded import Answered, Asked, RecordedProvider
from tests.provider_kit import questions
from tests.test_cli import run
from tests.test_local_approval import CONFIG
from tests.test_provider_replay import said

pytest.importorskip("openai")


def answer(asked: Asked) -> Answered:
    """Another model that knows less."""
    return Answered("[No]", model="small-1") if asked.model == "small" else said(asked)


def test_from_a_first_pin_to_a_candidate(tmp_path: Path) -> None:
    write_prompts(tmp_path / "prompts.jsonl", questions(30))
    write_prompts(tmp_path / "fewer.jsonl", questions(25))
    with RecordedProvider(answer) as server:
        (tmp_path / "tidegauge.toml").write_text(CONFIG.format(url=server.base_url))
        first = run(tmp_path, "pin", "p", "--reason", "start", "--approve", "--actor", "ada")
        assert first.returncode == 0, first.stderr
        assert "30 prompts" in first.stdout and "it is the pin now" in first.stdout
        more = ("--prompts", "fewer.jsonl", "--repeats", "3")
        second = run(tmp_path, "pin", "p", "--reason", "smaller", *more)
        assert "25 prompts" in second.stdout and "baselines approve main" in second.stdout
        one, two = (result.stdout.split()[1].rstrip(",") for result in (first, second))

        listed = run(tmp_path, "baselines", "list").stdout
        assert "in force" in listed and "candidate" in listed
        shown = run(tmp_path, "baselines", "show", one).stdout
        assert "30, 2 answers each" in shown and "100.0% of 60 answers are right" in shown
        changed = run(tmp_path, "baselines", "diff", one, two).stdout.splitlines()
        assert [line.split()[:2] for line in changed[1:3]] == [["added", "0"], ["removed", "5"]]

        approved = run(tmp_path, "baselines", "approve", "main", two, "--reason", "less is enough")
        assert approved.returncode == 0, approved.stderr
        unknown = run(tmp_path, "baselines", "show", "zz")
        assert unknown.returncode == 2 and "baselines list" in unknown.stderr
        assert run(tmp_path, "baselines", "approve", "main", one, "--reason", " ").returncode == 2

        worse = run(tmp_path, "candidate", "p", "--model", "small")
        assert worse.returncode == 1 and "No-go: worse: correctness" in worse.stdout
        assert Path(worse.stdout.splitlines()[-1]).is_file()
        same = run(tmp_path, "candidate", "p", "--model", "gpt-1-next")
        assert same.returncode == 0 and "Go: nothing moved" in same.stdout
