"""An LLM judge over real HTTP that answers as it is told, and a worker that can be killed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

from monitors.provider.recorded import Asked
from monitors.quality.judge_prompt import RUBRIC
from sql.window import Grain, Window


def case_of(asked: Asked) -> str:
    """The word that the verdict must repeat."""
    found = re.search(r"The word for this case: (\w+)\Z", str(asked.messages[-1]["content"]))
    assert found is not None
    return found[1]


def answer_of(asked: Asked) -> str:
    """The text that is to be graded."""
    found = re.search(
        r"\[\w+ answer\]\n(.*)\n\[\w+ end of answer\]", str(asked.messages[-1]["content"]), re.S
    )
    assert found is not None
    return found[1]


def verdict(asked: Asked, *, case: str | None = None, **scores: Any) -> str:
    """A sound verdict: 4 everywhere but where ``scores`` says otherwise."""
    grades = {name: {"why": "so it seems", "score": scores.get(name, 4)} for name in RUBRIC}
    return json.dumps({"case": case or case_of(asked), **grades})


def llm(base_url: str, **changes: Any) -> Mapping[str, Any]:
    """The section ``[judge]`` for a judge at ``base_url``."""
    return {
        "kind": "llm",
        "llm": {
            "base_url": base_url,
            "model": "judge-1",
            "usd_per_million_input_tokens": 1,
            "usd_per_million_output_tokens": 2,
            "attempts": 1,
            "timeout_s": 5,
            "concurrency": 4,
            **changes,
        },
    }


def work(store_url: str, log_url: str, judge: str, day: str) -> None:
    """Score one day's sample, in a process of its own: ``python -m tests.judge_kit …``."""
    from monitors.logs.draw import draw_sample
    from monitors.quality.judge import judge as judged
    from monitors.quality.scoring import score_sample
    from sql.store import Store
    from tests.logs_kit import context_over

    window = Window.of(date.fromisoformat(day), Grain.DAY)
    sections = {"sampling": {"rate": 1, "force": True}, "judge": json.loads(judge)}
    with context_over(Store.open(store_url), log_url, **sections) as context:
        draw_sample(window, context)
        score_sample(window, context, [judged])


if __name__ == "__main__":
    work(*sys.argv[1:])
