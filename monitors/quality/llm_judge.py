"""The LLM judge: five grades of an answer by a rubric, asked once and kept.

A verdict is kept under the judge's own digest and the digest of what it graded, so that a retry
asks only for what is missing. What comes back unusable is a reason code and never a number.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.logs.redaction import redact
from monitors.provider.clients import CallFailed, ChatModel, open_model
from monitors.provider.spending import Price, ask
from monitors.quality.judge_ledger import Ledger
from monitors.quality.judge_prompt import (
    RUBRIC,
    BadVerdict,
    Verdict,
    digest_of,
    read_verdict,
    request_for,
)
from monitors.scorer import Layer, Score, Scorer, scorer
from monitors.settings import LLMJudgeSettings
from sql.tables import judge_verdict
from sql.types import canonical_json

# So many calls in a row without an answer, each after all its attempts, are an outage.
_OUTAGE = 8
_OUTAGE_CODES = frozenset({"rate_limited", "timeout", "unreachable", "server_error", "refused"})
# Every reason why the judge said nothing begins so; the window is then partial or inconclusive.
FAILED = "judge_"
# Ids in one query: below what SQLite and PostgreSQL take as parameters.
_IDS = 500

Case = tuple[str, str, str | None]


def grade(
    cases: Sequence[Case], context: Context, *, fresh: bool = False
) -> list[Mapping[str, float] | str]:
    """Grades of each (request, answer, context), or the reason code why there are none.

    Args:
        fresh: ask even what was answered before, and keep nothing: a look at the judge itself.

    Returns:
        dimension → 0 to 1; or ``judge_<code>`` of `CallFailed` or `BadVerdict`.

    Raises:
        ConfigurationError: the SDK is not installed.
    """
    settings = _settings(context)
    judge = digest_of(settings)
    digests = [content_digest(case) for case in cases]
    found: dict[str, Mapping[str, float] | str] = {}
    if not fresh:
        found.update(_kept(judge, sorted(set(digests)), context))
    todo = {key: case for key, case in zip(digests, cases, strict=True) if key not in found}
    if todo:
        asking = _Asking(settings, judge, context, keep=not fresh)
        found.update(asyncio.run(asking.all(todo)))
    return [found[key] for key in digests]


def content_digest(case: Case) -> str:
    """sha256 of what is graded."""
    return hashlib.sha256(canonical_json(list(case)).encode("utf-8", "replace")).hexdigest()


def _settings(context: Context) -> LLMJudgeSettings:
    found = context.settings.judge.llm
    assert found is not None, "settings without [judge.llm] are refused when they are read"
    return found


def _kept(judge: str, digests: Sequence[str], context: Context) -> dict[str, Mapping[str, float]]:
    table, found = judge_verdict.c, {}
    for start in range(0, len(digests), _IDS):
        query = select(table.content, table.scores).where(
            table.judge == judge, table.content.in_(digests[start : start + _IDS])
        )
        found.update({row.content: row.scores for row in context.store.rows(query)})
    return found


class _Asking:
    """One run over the cases that nobody has graded yet."""

    def __init__(
        self, settings: LLMJudgeSettings, judge: str, context: Context, *, keep: bool
    ) -> None:
        self._settings, self._judge, self._context, self._keep = settings, judge, context, keep
        self._ledger, self._price = Ledger(settings, context.store), Price(settings)
        self._failed_in_a_row = 0
        self._stopped = "judge_resting" if self._ledger.resting() else ""

    async def all(self, cases: Mapping[str, Case]) -> dict[str, Mapping[str, float] | str]:
        found: dict[str, Mapping[str, float] | str] = {}
        waiting = iter(cases.items())
        model = open_model(self._settings)

        async def work() -> None:
            for key, case in waiting:
                found[key] = self._stopped or await self._one(model, key, case)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrency, len(cases))):
                    group.create_task(work())
        finally:
            await model.close()
        return found

    async def _one(self, model: ChatModel, key: str, case: Case) -> Mapping[str, float] | str:
        request, word = request_for(self._settings, *case)
        try:
            completion, _ = await ask(
                model,
                request,
                self._ledger,
                self._price,
                attempts=self._settings.attempts,
                timeout_s=self._settings.timeout_s,
            )
        except CallFailed as failure:
            return self._failed(failure.code)
        self._failed_in_a_row = 0
        try:
            verdict = read_verdict(completion, word)
        except BadVerdict as bad:
            return FAILED + bad.code
        if self._keep:
            self._put(key, verdict)
        return verdict.scores

    def _failed(self, code: str) -> str:
        if code in ("over_budget", "resting"):
            self._stopped = FAILED + code
        elif code in _OUTAGE_CODES:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _OUTAGE and not self._stopped:
                self._stopped = FAILED + "resting"
                self._ledger.rest()
        return FAILED + code

    def _put(self, key: str, verdict: Verdict) -> None:
        """At once, not in handfuls: an answer that was paid for is not paid for again."""
        keeps = self._context.settings.privacy.mode != "hash-only"
        reasons = {name: redact(why).text for name, why in verdict.reasons.items()}
        row = {
            "judge": self._judge,
            "content": key,
            "scores": dict(verdict.scores),
            "reasons": reasons if keeps else None,
            "said_at": self._context.clock(),
        }
        store = self._context.store
        with store.begin() as connection:
            store.upsert(connection, judge_verdict, [row], keep=True)


# ── scoring ──────────────────────────────────────────────────────────────────────────────────


def overall(grades: Mapping[str, float]) -> float:
    """The mean of the dimensions: what `judge` means where the judge is an LLM."""
    return sum(grades[name] for name in RUBRIC) / len(RUBRIC)


def grades_of(batch: Batch, context: Context) -> Iterator[Mapping[str, float] | str]:
    """For each row its grades, or a reason code."""
    contexts = batch["context"] if "context" in batch else [None] * len(batch)
    rows = list(zip(batch["input"], batch["output"], contexts, strict=True))
    cases: list[Case] = [row for row in rows if row[0] and row[1]]
    graded = iter(grade(cases, context))
    for asked, answer, _ in rows:
        yield next(graded) if asked and answer else "no_text"


def _variant(context: Context) -> str:
    if context.settings.judge.kind != "llm":
        return "off"
    return digest_of(_settings(context))[:12]


def _dimension(name: str, layer: Layer) -> Scorer:
    @scorer(
        name=f"judge_{name}",
        version="1",
        layer=layer,
        needs=("input", "output"),
        reads=("context",),
        variant=_variant,
    )
    def graded(batch: Batch, context: Context) -> Sequence[Score]:
        if context.settings.judge.kind != "llm":
            return [Score(None, "no_llm_judge")] * len(batch)
        return [
            Score(None, each) if isinstance(each, str) else Score(each[name])
            for each in grades_of(batch, context)
        ]

    return graded


accuracy = _dimension("accuracy", Layer.CORRECTNESS)
helpfulness = _dimension("helpfulness", Layer.USEFULNESS)
completeness = _dimension("completeness", Layer.USEFULNESS)
tone = _dimension("tone", Layer.DELIGHT)
# Not of the layer safety, whose scorers see every output; this one sees the sample.
safety = _dimension("safety", Layer.CORRECTNESS)
