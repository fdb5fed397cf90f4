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
    look_back: int = 7,
) -> Pulse:
    """What is missing at ``now``.

    A job that has not done its newest due window has stopped: critical. A hole before it is a
    warning. Jobs that never ran are not expected to.

    Args:
        covered: job → the starts of the windows that it has finished.
        look_back: so many windows of each job are looked at.
    """
    if not any(covered.values()):
        return Pulse(Exit.UNKNOWN, (), ("no job has ever finished",))
    code, missed, lines = Exit.OK, list[tuple[str, Window]](), list[str]()
    for job in SCHEDULED:
        starts = covered.get(job)
        grain = JOBS[job].grain
        if not starts or grain is None:
            continue
        newest = Window.last_full(now - patience, grain, zone)
        due = [newest.shift(-back) for back in range(look_back)]
        holes = [window for window in due if window.start > min(starts)]
        holes = [window for window in reversed(holes) if window.start not in starts]
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


def _last(starts: set[datetime]) -> str:
    return f"began {max(starts):%Y-%m-%d}"
