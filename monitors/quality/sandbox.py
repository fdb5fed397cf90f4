"""Run code that a model wrote against given tests, where it can do no harm.

A process of its own, in namespaces without a network, in an empty root directory (so there is no
file to read or to remove), with bounds on time, memory, processes and file size. What it prints is
thrown away: only "passed" comes out, as a word that the code is not told.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile

from monitors.scorer import PASS, Score

SECONDS = 10.0
_LONGEST = 200_000
_NO_SANDBOX = 77

# Runs isolated (-I: no environment, no user site; -S: no site packages). All that code may want is
# imported before the root directory is empty. The first line of stdin is the word, the rest the
# program; the word is a local of a function that the program's globals do not reach.
_LAUNCHER = """
import ctypes, os, resource, sys
import bisect, collections, copy, datetime, decimal, fractions, functools, heapq, itertools, json
import math, operator, random, re, statistics, string, time, typing

def main():
    word, program = sys.stdin.readline().strip(), sys.stdin.read()
    out = os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    new_user, new_net, new_mount, new_pid = 0x10000000, 0x40000000, 0x00020000, 0x20000000
    try:
        if ctypes.CDLL(None).unshare(new_user | new_net | new_mount | new_pid):
            os._exit(77)
        os.chroot(os.getcwd())
        os.chdir("/")
        for what, most in (
            (resource.RLIMIT_CPU, 5), (resource.RLIMIT_AS, 512 << 20), (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 0),
        ):
            resource.setrlimit(what, (most, most))
    except (OSError, AttributeError, ValueError):
        os._exit(77)
    code = compile(program, "answer", "exec")
    exec(code, {"__name__": "answer"})
    os.write(out, word.encode())

main()
"""


def passes(setup: str, code: str, tests: str) -> Score:
    """Does ``code`` pass ``tests`` (assert statements) after ``setup`` (imports)?

    Returns:
        1; 0 with ``failed`` or ``timeout``; or no value with ``no_sandbox`` where this machine
        cannot lock a process in (it needs Linux with user namespaces).
    """
    word = secrets.token_hex(8)
    program = "\n\n".join((setup, code[:_LONGEST], tests))
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(  # noqa: S603 - that is what the sandbox is for
                [sys.executable, "-I", "-S", "-c", _LAUNCHER],
                input=f"{word}\n{program}".encode("utf-8", "replace"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=empty,
                env={},
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Score(0.0, "timeout")
        except OSError:
            return Score(None, "no_sandbox")
    if done.returncode == _NO_SANDBOX:
        return Score(None, "no_sandbox")
    with contextlib.suppress(UnicodeDecodeError):
        if done.returncode == 0 and done.stdout.decode() == word:
            return PASS
    return Score(0.0, "failed")
