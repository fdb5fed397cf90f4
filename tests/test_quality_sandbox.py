"""Code of a model is run against tests, and can do nothing else."""

from __future__ import annotations

import csv
import os
import re
import socket
import threading
from pathlib import Path

import pytest

from monitors.provider.checks import judge
from monitors.provider.prompts import Check
from monitors.quality.sandbox import passes
from monitors.scorer import PASS

SETUP = "from typing import *\nfrom collections import *\nfrom math import *\nimport re, heapq"


@pytest.fixture(scope="module", autouse=True)
def _there_is_a_sandbox() -> None:
    if passes("", "x = 1", "assert x == 1").reason == "no_sandbox":
        pytest.skip("this machine has no user namespaces")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(x):\n    return x + 1", ""),
        ("def f(x):\n    return x", "failed"),
        ("def g(x):\n    return x + 1", "failed"),
        ("raise SystemExit(0)", "failed"),
        ("import os\nos._exit(0)", "failed"),
        ("print('f9' * 9)\nraise ValueError", "failed"),
        ("def f(x):\n    return [0] * 10**10", "failed"),
        ("import subprocess\nsubprocess.run(['true'])\ndef f(x):\n    return x + 1", "failed"),
    ],
)
def test_only_code_that_passes_passes(code: str, reason: str) -> None:
    found = passes("", code, "assert f(1) == 2")
    assert found.reason == reason
    assert found == PASS or found.value == 0


def test_code_that_never_ends_is_ended() -> None:
    """By its processor time; on a busy machine the wall clock may come first."""
    found = passes("", "while True:\n    pass", "")
    assert found.value == 0 and found.reason in ("failed", "timeout")


def test_it_sees_no_file_and_removes_none(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("kept")
    look = "import os\nassert os.listdir('/') == []"
    assert passes("", look, "") == PASS
    assert passes("", f"import os\nos.remove({str(there)!r})", "").value == 0
    assert (
        passes("", "import os\nos.write(os.open('made', os.O_CREAT | os.O_WRONLY), b'x')", "").value
        == 0
    )
    assert there.read_text() == "kept"


@pytest.mark.parametrize(
    "way_out",
    [
        # A second root directory, and up from where the first one was.
        "import os\nos.mkdir('a')\nos.chroot('a')\n"
        "for _ in range(64): os.chdir('..')\nos.chroot('.')",
        # Rights anew, in a namespace within.
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x00020000) == 0",
        # Signal 0 only asks whether one may.
        f"import os\nos.kill({os.getpid()}, 0)",
        "import os\nassert os.getppid() != 0",
    ],
)
def test_there_is_no_way_out(way_out: str) -> None:
    assert passes("", way_out, "").value == 0


def test_a_signal_to_its_group_reaches_only_its_own() -> None:
    assert passes("", "import os\nassert os.getpgrp() == os.getpid() == 1", "") == PASS


def test_code_that_waits_is_ended_with_all_that_it_began() -> None:
    waits = "import ctypes, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\ntime.sleep(600)"
    found = passes("", waits, "")
    assert (found.value, found.reason) == (0.0, "timeout")


def test_code_cannot_say_that_there_is_no_sandbox() -> None:
    for status in (77, 78):
        found = passes("", f"import os\nos._exit({status})", "")
        assert (found.value, found.reason) == (0.0, "failed")


def test_it_reaches_nobody() -> None:
    met: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(3)

        def listen() -> None:
            try:
                met.append(server.accept())
            except TimeoutError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        port = server.getsockname()[1]
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
        assert passes("", call, "").value == 0
        thread.join()
    assert met == []


# ── what GPT-4 and GPT-3.5 wrote in March and June 2023 ─────────────────────────────────────


def prompt_tests(query: str) -> str:
    """The prompt's own examples as asserts on the method that it asks to fill in."""
    method = re.findall(r"def (\w+)\(self", query)[-1]
    found = re.findall(r"Input:\s*(.*?)\s*Output:\s*(.*?)\s*(?:Explanation|$|\n)", query, re.S)
    lines = ["true, false, null = True, False, None"]
    for given, wanted in found:
        lines.append(f"assert Solution().{method}(*dict({given}).values()) == {wanted}")
    assert len(lines) > 1
    return "\n".join(lines)


# Four answers pass the examples of their prompt and are wrong all the same, as LeetCode's hidden
# tests found. Each assert here follows from the task's own words.
FURTHER = {
    # 783, 1566, 2349 hold each digit from 1 to 9, but some of them twice.
    "2729": "[n for n in range(100, 1000) if Solution().isFascinating(n)] == [192, 219, 273, 327]",
    # The whole of it goes up by one, then down by one.
    "2765": "Solution().alternatingSubarray([1, 2, 1]) == 3",
    # The ball goes to friends 1, 2, 4 and then to 1 again, which ends the game.
    "2682": "Solution().circularGameLosers(6, 1) == [3, 5, 6]",
    # The word stands where one begins.
    "2515": "Solution().closetTarget(['a', 'b'], 'a', 0) == 0",
}


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("gpt-4-0314", 26),
        ("gpt-4-0613", 5),
        ("gpt-3.5-turbo-0301", 11),
        ("gpt-3.5-turbo-0613", 1),
    ],
)
def test_directly_executable_is_what_the_paper_says(
    real_data: Path, version: str, usable: int
) -> None:
    """52, 10, 22 and 2 %, answer by answer: code and nothing else, and it passes."""
    with (real_data / "llmdrift" / "LEETCODE_EASY_EVAL.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["model"] == f"openaichat/{version}"]
    assert len(rows) == 50
    ours = {}
    for row in rows:
        tests = prompt_tests(row["query"])
        if further := FURTHER.get(row["id"].split("-")[0]):
            tests += f"\nassert {further}"
        check = Check(kind="code_passes", reference=tests, setup=SETUP)
        found = judge(check, row["answer"])
        ours[row["id"]] = found.format.value == 1 and found.correct.value == 1
    assert ours == {row["id"]: row["Directly Usable"] == "1" for row in rows}
    assert sum(ours.values()) == usable
