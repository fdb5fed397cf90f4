"""Does the Python in an answer parse? It is read by Python's own grammar, and never run."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.scorer import PASS, Layer, Score, Scorer, scorer, version_with

_LONGEST = 200_000
_TAGS = frozenset({"python", "python3", "py", "py3"})
# A fence opens at a line's start; what follows backticks on its line holds none (CommonMark 4.5).
_OPENING = re.compile(r"(?:(`{3,})([^`]*)|(~{3,})(.*))$")
_PROMPT = ">>>"


def code_parses(whole: Sequence[str] = ()) -> Scorer:
    """The scorer ``code_parses``: the share of answers whose Python is well formed.

    Args:
        whole: the features whose answers a program runs as they are: there the whole text must be
            Python, and a fence around it is a fault.
    """
    bare = frozenset(whole)

    @scorer(
        name="code_parses",
        version=version_with("1", whole=sorted(bare)),
        layer=Layer.CORRECTNESS,
        needs=("output", "feature") if bare else ("output",),
    )
    def score(batch: Batch, _context: Context) -> Sequence[Score]:
        """1: every fenced Python block parses. 0: one does not; the reason says how it fails
        (``syntax``, ``indentation``, ``cut_off``, ``empty``, ``fenced``, ``too_long``).

        An answer without a Python block is no verdict. Redaction does no harm: its placeholders,
        such as ``[EMAIL]``, are Python where a string or a number was.
        """
        features = batch["feature"] if bare else [None] * len(batch)
        return [
            _whole(output) if bare and feature in bare else _fenced(output)
            for output, feature in zip(batch["output"], features, strict=True)
        ]

    return score


def python_fault(code: str) -> str:
    """Why a text is not a Python program, as a code; empty when it is one."""
    if len(code) > _LONGEST:
        return "too_long"
    if not code.strip():
        return "empty"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a strange escape in somebody's code is not ours
            ast.parse(code)
    except IndentationError:
        return "indentation"
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "syntax"
    return ""


def _fenced(output: str | None) -> Score:
    if not output:
        return Score(None, "no_output")
    faults = list(_faults(output[:_LONGEST]))
    if not faults:
        return Score(None, "no_code")
    worst = next(filter(None, faults), "")
    return Score(0.0, worst) if worst else PASS


def _whole(output: str | None) -> Score:
    if not output:
        return Score(None, "no_output")
    fault = python_fault(output)
    if fault and any(_blocks(output[:_LONGEST])):
        fault = "fenced"
    return Score(0.0, fault) if fault else PASS


def _faults(text: str) -> Iterator[str]:
    """What is wrong with each Python block (empty: nothing)."""
    for code, closed in _blocks(text):
        if code.lstrip().startswith(_PROMPT):
            continue  # a session that was copied, not a program
        fault = python_fault(textwrap.dedent(code))
        yield "cut_off" if fault and not closed else fault


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """The fenced Python blocks of a text, and whether each was closed."""
    fence, wanted, lines = "", False, list[str]()
    for line in text.split("\n"):
        bare = line.strip()
        if fence:
            if bare.startswith(fence) and not bare.strip(fence[0]):
                if wanted:
                    yield "\n".join(lines), True
                fence = ""
            else:
                lines.append(line)
        elif found := _OPENING.match(bare):
            fence, lines = found[1] or found[3], []
            tag = (found[2] or found[4] or "").strip(" \t{.").split(" ")[0].rstrip("}").casefold()
            wanted = tag in _TAGS
    if fence and wanted:
        yield "\n".join(lines), False
