"""What the provider's tests share: a context, prompts with known answers, and LLMDrift's own."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from monitors.context import Context
from monitors.provider.baselines import Answer
from monitors.provider.prompts import Check, Prompt, write_prompts
from monitors.provider.recorded import RecordedProvider
from monitors.settings import ProviderSettings, Settings
from sql.store import Store
from sql.window import Grain, Window

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = Window.of(date(2026, 6, 1), Grain.DAY)
OPTIONS = ("[Yes]", "[No]")


def questions(count: int, *, prefix: str = "q") -> list[Prompt]:
    """Yes/no questions; the right answer to every other one is yes."""
    return [
        Prompt(
            id=f"{prefix}{number:03d}",
            input=f"Is {number} even? Answer [Yes] or [No].",
            parameters={"temperature": 0.1, "max_tokens": 100},
            feature="arithmetic",
            check=Check(kind="option", options=OPTIONS, reference=OPTIONS[number % 2]),
        )
        for number in range(count)
    ]


def right(prompt_id: str) -> str:
    return OPTIONS[int(prompt_id[-3:]) % 2]


def settings_for(
    folder: Path, prompts: list[Prompt], server: RecordedProvider | None = None, **changes: Any
) -> Settings:
    """A configuration with one provider ``p`` whose prompts stand in ``folder``."""
    write_prompts(folder / "prompts.jsonl", prompts)
    section: dict[str, Any] = {
        "base_url": server.base_url if server else "http://127.0.0.1:9/v1",
        "model": "gpt-test",
        "pin": "main",
        "prompts": "prompts.jsonl",
        "usd_per_million_input_tokens": 1,
        "usd_per_million_output_tokens": 2,
        "attempts": 1,
        "timeout_s": 5,
        "compare_meaning": False,
    }
    return Settings(root=folder, providers={"p": ProviderSettings(**{**section, **changes})})


def context_for(settings: Settings, store: Store, *, source: Any = None) -> Context:
    def no_embedder() -> Any:
        raise AssertionError("nothing here embeds")

    return Context(
        settings=settings,
        store=store,
        source=source,
        scorers=(),
        clock=lambda: NOON,
        embedder=no_embedder,
    )


def llmdrift(folder: Path, task: str, version: str) -> tuple[list[Prompt], dict[str, Answer]]:
    """The prompts of a task and what the model version really answered to them."""
    file = {"primes": "PRIME_FULL_EVAL.csv", "code": "LEETCODE_EASY_EVAL.csv"}[task]
    prompts, answers = [], {}
    with (folder / "llmdrift" / file).open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["model"] != f"openaichat/{version}":
                continue
            prompt = Prompt(
                id=f"{task}/{row['id']}",
                input=row["query"],
                parameters={"temperature": 0.1},
                feature=task,
                check=_check(task, row),
            )
            prompts.append(prompt)
            answers[prompt.id] = Answer(
                text=row["answer"],
                model=version,
                finish_reason="stop",
                input_tokens=len(row["query"]) // 4,
                output_tokens=int(row["answer_token"]),
                latency_ms=float(row["latency"]) * 1_000,
            )
    return prompts, answers


def _check(task: str, row: Mapping[str, str]) -> Check:
    if task == "code":
        return Check(kind="code_parses")
    return Check(kind="option", options=OPTIONS, reference=f"[{row['ref_answer'].title()}]")
