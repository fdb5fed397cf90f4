"""Is Tidegauge itself alive? Which windows should be there and are not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from monitors.jobs import JOBS, SCHEDULED
from sql.window import Window

# A day's job may wait for its log; see `dags._common.PATIENCE`.
PATIENCE = timedelta(hours=8)
# So many windows of each job are looked at.
LOOK_BACK = 7
# What waits in the outbox for longer has nobody who sends it.
_STUCK = timedelta(hours=1)


class Exit(IntEnum):
    """As Nagios, cron and Kubernetes read exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Outbox:
    """``oldest``: since when the oldest message waits that nobody silenced; ``dead``: given up."""

    oldest: datetime | None = None
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """``missed``: (job, window) that should be there; ``lines`` say it all in words."""

    code: Exit
    missed: tuple[tuple[str, Window], ...]
    lines: tuple[str, ...]


def pulse(
    covered: Mapping[str, set[datetime]],
    outbox: Outbox,
    now: datetime,
    zone: str,
    *,
    patience: timedelta = PATIENCE,
) -> Pulse:
    """What is missing at ``now``.

    A job that has not done its newest due window has stopped: critical. A hole before it is a
    warning. Jobs that never ran are not expected to.

    Args:
        covered: job → the starts of the windows that it has finished.
    """
    if not any(covered.values()):
        return Pulse(Exit.UNKNOWN, (), ("no job has ever finished",))
    code, missed, lines = Exit.OK, list[tuple[str, Window]](), list[str]()
    for job in SCHEDULED:
        starts = covered.get(job)
        if not starts:
            continue
        due = due_windows(job, now, zone, patience)
        newest = due[-1]
        holes = [one for one in due if one.start > min(starts) and one.start not in starts]
        missed += [(job, window) for window in holes]
        if newest in holes:
            code = Exit.CRITICAL
            lines.append(f"{job} has stopped: {newest} is not there, last {_last(starts)}")
        elif holes:
            code = max(code, Exit.WARNING)
            lines.append(f"{job} has a hole: {', '.join(map(str, holes))}")
        else:
            lines.append(f"{job} is up to date: {newest}")
    if outbox.dead:
        code = Exit.CRITICAL
        lines.append(f"{outbox.dead} messages were given up after seven days")
    if outbox.oldest is not None and now - outbox.oldest > _STUCK:
        code = max(code, Exit.WARNING)
        lines.append(
            f"a message waits since {outbox.oldest:%Y-%m-%d %H:%M} UTC: does the relay run?"
        )
    return Pulse(code, tuple(missed), tuple(lines))


def due_windows(job: str, now: datetime, zone: str, patience: timedelta = PATIENCE) -> list[Window]:
    """The newest windows that should be there at ``now``, oldest first; none for other jobs."""
    grain = JOBS[job].grain
    if grain is None:
        return []
    newest = Window.last_full(now - patience, grain, zone)
    return [newest.shift(-back) for back in reversed(range(LOOK_BACK))]


def _last(starts: set[datetime]) -> str:
    return f"began {max(starts):%Y-%m-%d}"
