"""Run code that a model wrote against given tests, where it can do no harm.

A process of its own, in namespaces without a network, in an empty root directory (so there is no
file to read or to remove), with bounds on time, memory, processes and file size. What it prints is
thrown away: only "passed" comes out, as a word that the code is not told. That holds code in, and
tells wrong code from right; code that searches the frames around it can still find the word and
claim to pass.
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
_NO_SANDBOX, _LATE = 77, 78

# Runs isolated (-I: no environment, no user site; -S: no site packages). All that code may want is
# imported before the root directory is empty. The first line of stdin is the word, the rest the
# program. A new namespace of processes begins with the next child, so the answer runs in a child:
# it sees no process but its own, and all of them end with it. Whoever keeps the rights that the
# new user namespace gives can leave the root directory again, so they are dropped before it runs.
_LAUNCHER = """
import ctypes, os, resource, signal, sys
import bisect, collections, copy, datetime, decimal, fractions, functools, heapq, itertools, json
import math, operator, random, re, statistics, string, time, typing

libc = ctypes.CDLL(None)

def lock():
    os.setsid()  # a signal to its own group would reach whoever started this
    os.chroot(os.getcwd())
    os.chdir("/")
    for what, most in (
        (resource.RLIMIT_CPU, 5), (resource.RLIMIT_AS, 512 << 20), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))
    head, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(head, none) or libc.prctl(38, 1, 0, 0, 0) or libc.prctl(1, 9, 0, 0, 0):
        raise OSError

def run(word, program, out, ready):
    try:
        lock()
    except (OSError, AttributeError, ValueError):
        os._exit(1)
    os.write(ready, b"1")
    os.close(ready)
    code = compile(program, "answer", "exec")
    exec(code, {"__name__": "answer"})
    os.write(out, word.encode())

def main():
    word, program = sys.stdin.readline().strip(), sys.stdin.read()
    out = os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    user, net, mount, pid, ipc = 0x10000000, 0x40000000, 0x00020000, 0x20000000, 0x08000000
    if libc.unshare(user | net | mount | pid | ipc):
        os._exit(77)
    locked, ready = os.pipe()
    child = os.fork()
    if not child:
        os.close(locked)
        return run(word, program, out, ready)
    os.close(ready)
    if os.read(locked, 1) != b"1":
        os._exit(77)
    late = []
    signal.signal(signal.SIGALRM, lambda *_: (late.append(1), os.kill(child, 9)))
    signal.alarm(8)
    status = os.waitpid(child, 0)[1]
    os._exit(78 if late else 1 if status else 0)

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
    if done.returncode == _LATE:
        return Score(0.0, "timeout")
    with contextlib.suppress(UnicodeDecodeError):
        if done.returncode == 0 and done.stdout.decode() == word:
            return PASS
    return Score(0.0, "failed")
