"""Many prompts put to one model at once, each answer handed over as soon as it is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitors.provider.clients import (
    CallFailed,
    ChatModel,
    ChatRequest,
    Completion,
    open_model,
)
from monitors.provider.prompts import Prompt
from monitors.provider.spending import Budget, Price, ask
from monitors.settings import ProviderSettings

# So many failures in a row, each after all its attempts, are an outage and not bad luck.
_GIVE_UP_AFTER = 8
# Answers are kept in handfuls: a crash loses at most one.
_HANDFUL = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one question: a completion, or the code of a failure."""

    prompt_id: str
    repeat: int
    completion: Completion | None
    error: str
    cost_usd: float | None


@dataclass(slots=True)
class Tally:
    """How the asking went.

    Args:
        answered: questions with an answer.
        failures: code → how often.
        unasked: questions that were not put, because of the budget or an outage.
        stopped: why the asking ended early: ``over_budget``, ``gave_up`` or nothing.
    """

    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    unasked: int = 0
    stopped: str = ""
    spent_usd: float = 0.0

    @property
    def reason(self) -> str:
        """The most telling single code; empty when everything was answered."""
        if self.stopped == "over_budget" or not self.failures:
            return self.stopped
        return self.failures.most_common(1)[0][0]


Keep = Callable[[Sequence[Reply]], None]


def ask_all(
    settings: ProviderSettings,
    questions: Sequence[tuple[Prompt, int]],
    keep: Keep,
    *,
    day: str,
    budget_usd: float,
    spent_usd: float = 0.0,
) -> Tally:
    """Put all questions (prompt, repeat), at most ``concurrency`` at a time.

    Args:
        keep: gets every reply once, in handfuls, also when the asking breaks off.
        day: travels with each call, for the gateway's books.
        budget_usd: no call is begun that could exceed it, ``spent_usd`` included.

    Raises:
        ConfigurationError: the provider's SDK is not installed.
    """
    run = _Run(settings, keep, day, Budget(settings, budget_usd, spent_usd))
    if questions:
        asyncio.run(run.all(questions))
    return run.tally


class _Run:
    def __init__(self, settings: ProviderSettings, keep: Keep, day: str, budget: Budget) -> None:
        self.settings, self.keep, self.day, self.budget = settings, keep, day, budget
        self.price = Price(settings)
        self.tally = Tally()
        self._handful: list[Reply] = []
        self._failed_in_a_row = 0

    async def all(self, questions: Sequence[tuple[Prompt, int]]) -> None:
        before = self.budget.spent
        waiting = iter(questions)
        model = open_model(self.settings)

        async def work() -> None:
            for prompt, repeat in waiting:
                if self.tally.stopped:
                    self.tally.unasked += 1
                    continue
                self._note(await self._one(model, prompt, repeat))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, len(questions))):
                    group.create_task(work())
        finally:
            self._flush()
            await model.close()
            self.tally.spent_usd = self.budget.spent - before

    async def _one(self, model: ChatModel, prompt: Prompt, repeat: int) -> Reply:
        request = ChatRequest(
            messages=prompt.turns,
            parameters=prompt.parameters,
            trace={"prompt": prompt.id, "repeat": str(repeat), "day": self.day},
        )
        try:
            completion, cost = await ask(
                model,
                request,
                self.budget,
                self.price,
                attempts=self.settings.attempts,
                timeout_s=self.settings.timeout_s,
            )
        except CallFailed as failure:
            return Reply(prompt.id, repeat, None, failure.code, None)
        return Reply(prompt.id, repeat, completion, "", cost)

    def _note(self, reply: Reply) -> None:
        if reply.error == "over_budget":
            self.tally.stopped = "over_budget"
            self.tally.unasked += 1
            return
        if reply.error:
            self.tally.failures[reply.error] += 1
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _GIVE_UP_AFTER:
                self.tally.stopped = self.tally.stopped or "gave_up"
        else:
            self.tally.answered += 1
            self._failed_in_a_row = 0
        self._handful.append(reply)
        if len(self._handful) >= _HANDFUL:
            self._flush()

    def _flush(self) -> None:
        if self._handful:
            handful, self._handful = self._handful, []
            self.keep(handful)
