"""Who is called: routes by what an incident is and when it opens. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from alerts.silences import Matcher, fits

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Route:
    """Where an incident is told, and who is called.

    Args:
        matchers: as of a silence; all must fit.
        days: of the week, by the clock of ``zone``.
        begins, ends: hours of the day; an end before the begin lies on the next day, which still
            counts as the day before. Equal: the whole day.
        channel: ``""`` leaves it to the configuration.
        mention: id of a user or user group that the opening message calls.
        escalate_after: unacknowledged for so long, and ``escalate_mention`` is called, in
            ``escalate_channel`` or below the message.
        repeat_after: open and unacknowledged, it is told again each time so much has passed.
    """

    matchers: tuple[Matcher, ...]
    days: tuple[Day, ...]
    begins: time
    ends: time
    zone: str
    channel: str = ""
    mention: str = ""
    escalate_after: timedelta | None = None
    escalate_channel: str = ""
    escalate_mention: str = ""
    repeat_after: timedelta | None = None

    def takes(self, facts: Mapping[str, Any], at: datetime) -> bool:
        return self._on_duty(at) and fits(self.matchers, facts)

    def _on_duty(self, at: datetime) -> bool:
        here = at.astimezone(ZoneInfo(self.zone))
        now, day = here.time(), here.weekday()
        if self.begins < self.ends:
            inside = self.begins <= now < self.ends
        else:
            inside = now >= self.begins or now < self.ends
            if now < self.ends and self.ends != self.begins:
                day = (day - 1) % 7
        return inside and DAYS[day] in self.days

    def told(self) -> dict[str, Any]:
        """What goes into the facts of a message that opens an incident."""
        found: dict[str, Any] = {"mention": self.mention} if self.mention else {}
        if self.escalate_after is not None:
            found["escalate"] = {
                "after_s": self.escalate_after.total_seconds(),
                "channel": self.escalate_channel,
                "mention": self.escalate_mention,
            }
        if self.repeat_after is not None:
            found["repeat_s"] = self.repeat_after.total_seconds()
        return found


def route_of(routes: Sequence[Route], facts: Mapping[str, Any], at: datetime) -> Route | None:
    """The first that takes it."""
    return next((route for route in routes if route.takes(facts, at)), None)
