"""The money and the patience that calls may cost: decided here, once, for every chat model."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from monitors.provider.clients import (
    DEFAULT_OUTPUT_TOKENS,
    CallFailed,
    ChatModel,
    ChatRequest,
    Completion,
)
from monitors.settings import ChatSettings

# The provider said that it did not answer, so nothing is charged.
_FREE = frozenset({"rate_limited", "server_error", "refused"})


class Price:
    """What calls cost, in US dollars."""

    def __init__(self, settings: ChatSettings) -> None:
        self._input = settings.usd_per_million_input_tokens / 1e6
        self._output = settings.usd_per_million_output_tokens / 1e6

    def at_most(self, request: ChatRequest) -> float:
        """Before the call.

        A token of any tokenizer in use is at least one byte of UTF-8, so bytes bound the input;
        ``max_tokens`` bounds the output.
        """
        size = sum(len(m.content.encode()) + 16 for m in request.messages)
        parameters = request.parameters
        longest = parameters.get("max_tokens") or parameters.get("max_completion_tokens")
        return size * self._input + float(longest or DEFAULT_OUTPUT_TOKENS) * self._output

    def of(self, completion: Completion) -> float | None:
        """After it; None when the provider does not say its usage."""
        if completion.input_tokens is None or completion.output_tokens is None:
            return None
        return completion.input_tokens * self._input + completion.output_tokens * self._output


class Purse(ABC):
    """Money, set aside before a call and settled after it: what is promised is never exceeded."""

    def __init__(self) -> None:
        self._under_way = 0
        self._settled = asyncio.Event()

    @abstractmethod
    def reserve(self, request: ChatRequest) -> float:
        """Set aside what the call may cost at most.

        Raises:
            CallFailed: ``over_budget``.
        """

    @abstractmethod
    def settle(self, reserved: float, cost: float | None) -> None:
        """Book the true cost in the place of the reservation; None, not known, books it all."""

    async def set_aside(self, request: ChatRequest) -> float:
        """``reserve``, as often as a call of this process still holds money that it may not need.

        A call costs far less than it may cost at most: without the waiting, a handful of calls at
        once would look like a spent budget.
        """
        while True:
            try:
                reserved = self.reserve(request)
            except CallFailed as refused:
                if refused.code != "over_budget" or not self._under_way:
                    raise
                await self._settled.wait()
            else:
                self._under_way += 1
                return reserved

    def book(self, reserved: float, cost: float | None) -> None:
        """``settle``, and whoever waits for money looks again."""
        self.settle(reserved, cost)
        self._under_way -= 1
        self._settled.set()
        self._settled = asyncio.Event()


class Budget(Purse):
    """The purse of one process.

    Args:
        limit_usd: in all.
        spent_usd: what earlier calls of the same day have cost.
    """

    def __init__(self, settings: ChatSettings, limit_usd: float, spent_usd: float = 0) -> None:
        super().__init__()
        self._price = Price(settings)
        self.limit, self.spent, self._reserved = limit_usd, spent_usd, 0.0

    def reserve(self, request: ChatRequest) -> float:
        most = self._price.at_most(request)
        if self.spent + self._reserved + most > self.limit:
            raise CallFailed("over_budget", retryable=False)
        self._reserved += most
        return most

    def settle(self, reserved: float, cost: float | None) -> None:
        self._reserved -= reserved
        self.spent += reserved if cost is None else cost


Sleep = Callable[[float], Awaitable[None]]


async def ask(
    model: ChatModel,
    request: ChatRequest,
    purse: Purse,
    price: Price,
    *,
    attempts: int,
    timeout_s: float,
    sleep: Sleep = asyncio.sleep,
) -> tuple[Completion, float | None]:
    """An answer and its cost in US dollars, trying again where that can help.

    Waits 0.5, 1, 2 … s (half of it random, so that callers do not come back together), or as
    long as the provider asks. A call whose end nobody saw (a timeout, a line that broke, an answer
    that cannot be read) may have been charged, so its whole reservation stays booked.

    Raises:
        CallFailed: no answer within ``attempts``, or no money left.
    """
    for attempt in range(1, attempts + 1):
        reserved = await purse.set_aside(request)
        cost: float | None = None
        try:
            # The SDK's timeout bounds each read; this one bounds the whole call.
            async with asyncio.timeout(timeout_s):
                completion = await model.complete(request)
            cost = price.of(completion)
            return completion, cost
        except TimeoutError:
            failure = CallFailed("timeout", retryable=True)
        except CallFailed as error:
            failure = error
            cost = 0.0 if error.code in _FREE else None
        finally:
            purse.book(reserved, cost)
        if not failure.retryable or attempt == attempts:
            raise failure
        pause = 0.5 * 2 ** (attempt - 1)
        jittered = pause * (0.5 + random.random() / 2)  # noqa: S311 - spread, not secrecy
        await sleep(failure.after_s if failure.after_s is not None else jittered)
    raise AssertionError("unreachable")
