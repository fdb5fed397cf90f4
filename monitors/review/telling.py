"""What is told of a batch, once each: it is there, half is done, it is due, it is closed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

REMIND_BEFORE = timedelta(hours=24)
# The place of each message in the batch's story; a message is sent once.
STORY = ("queued", "half", "due", "overdue", "closed")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a batch stands.

    Args:
        open: evaluator → ratings still to be given; nobody who has finished.
    """

    batch_id: str
    state: str
    due: datetime
    created: datetime
    items: int
    assigned: int
    open: Mapping[str, int]

    @property
    def given(self) -> int:
        return self.assigned - sum(self.open.values())


def due_stage(standing: Standing, now: datetime) -> str:
    """The latest chapter that holds; earlier ones are not told after it."""
    if standing.state == "closed":
        return "closed"
    if now >= standing.due:
        return "overdue"
    # A batch that is queued shortly before it is due is announced all the same.
    if now >= max(standing.due - REMIND_BEFORE, standing.created + timedelta(hours=1)):
        return "due"
    return "half" if 2 * standing.given >= standing.assigned > 0 else "queued"


def facts_of(
    standing: Standing, stage: str, mentions: Mapping[str, str], url: str
) -> dict[str, object]:
    """What the message says: counts, dates and names; only a reminder names anybody."""
    reminded = standing.open if stage in ("due", "overdue") else {}
    return {
        "stage": stage,
        "batch": standing.batch_id,
        "items": standing.items,
        "given": standing.given,
        "assigned": standing.assigned,
        "due": f"{standing.due:%Y-%m-%d %H:%M} UTC",
        "url": url,
        "people": [
            {"name": name, "open": count, "mention": mentions.get(name, "")}
            for name, count in sorted(reminded.items())
        ],
    }
