"""What the LLM judge has spent today, kept where every worker and every retry sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Update, select, update

from monitors.provider.clients import CallFailed, ChatRequest
from monitors.provider.spending import Price, Purse
from monitors.settings import ChatSettings
from sql.store import Store
from sql.tables import spending

PURPOSE = "judge"
REST = timedelta(minutes=15)


def real_time() -> datetime:
    """Money is spent on real days, also where the past is replayed."""
    return datetime.now(UTC)


class Ledger(Purse):
    """A purse in the store: the day's budget holds for all processes together.

    What a call may cost at most is booked before it begins, by one conditional update, and
    corrected after it. A process that is killed leaves its reservation booked: its call may have
    been charged.
    """

    def __init__(
        self, settings: ChatSettings, store: Store, now: Callable[[], datetime] = real_time
    ) -> None:
        super().__init__()
        self._price, self._limit = Price(settings), settings.budget_usd_per_day
        self._store, self._now = store, now
        self._today = now().date()
        row = {"purpose": PURPOSE, "day": self._today, "usd": 0.0, "calls": 0, "rests_until": None}
        with store.begin() as connection:
            store.upsert(connection, spending, [row], keep=True)

    def reserve(self, request: ChatRequest) -> float:
        """Set aside what the call may cost at most, for all processes.

        Raises:
            CallFailed: ``over_budget``, or ``resting`` while an outage is waited out.
        """
        most = self._price.at_most(request)
        if self.resting():
            raise CallFailed("resting", retryable=False)
        change = (
            self._mine()
            .where(spending.c.usd + most <= self._limit)
            .values(usd=spending.c.usd + most, calls=spending.c.calls + 1)
        )
        with self._store.begin() as connection:
            if not connection.execute(change).rowcount:
                raise CallFailed("over_budget", retryable=False)
        return most

    def settle(self, reserved: float, cost: float | None) -> None:
        """Book the true cost in the place of the reservation; None, not known, keeps it."""
        if cost is None:
            return
        # Rounding must not make a day's sum negative.
        less = min(reserved - cost, reserved)
        with self._store.begin() as connection:
            connection.execute(self._mine().values(usd=spending.c.usd - less))

    def rest(self) -> None:
        """Nobody asks for a quarter of an hour: the provider is down."""
        with self._store.begin() as connection:
            connection.execute(self._mine().values(rests_until=self._now() + REST))

    def resting(self) -> bool:
        table = spending.c
        query = select(table.rests_until).where(
            table.purpose == PURPOSE, table.day == self._today, table.rests_until > self._now()
        )
        return bool(self._store.rows(query))

    def _mine(self) -> Update:
        return update(spending).where(spending.c.purpose == PURPOSE, spending.c.day == self._today)
