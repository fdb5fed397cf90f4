"""Windows that nobody measured become incidents: the dead-man's switch that runs with the relay.

What should be there is `monitors.heart`'s to say. Here it is published like any measurement, as
``heart.missed_window{job}``: 1 where a window is missing, 0 once it is there or the job goes on. So
it opens one incident a job, is told, routed, acknowledged and closed like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select

from alerts.configuration import AlertConfiguration
from alerts.evaluate import evaluate
from alerts.history import HISTORY
from alerts.rules import MISSED_WINDOW
from monitors.heart import LOOK_BACK, Outbox, due_windows, pulse
from sql.measurement import Measurement
from sql.store import Store
from sql.tables import coverage
from sql.window import Window

MONITOR = "heart"
_Known = dict[Window, dict[str, bool]]


def watch(
    store: Store,
    alerting: AlertConfiguration,
    zone: str,
    now: datetime,
    late: Collection[tuple[str, Window]] = (),
) -> int:
    """Publish and judge what changed since the last look; nothing when all is as it was.

    Args:
        late: (job, window) that somebody else found overdue before its time (`monitors.deadline`).

    Returns:
        how many windows were judged.
    """
    covered = covered_windows(store)
    missing = {
        (job, window)
        for job, window in pulse(covered, Outbox(), now, zone).missed
        if _lately(covered[job], window)
    }
    missing |= {(job, window) for job, window in late if window.start not in covered.get(job, ())}
    known = _known(store, now)
    wanted = wanted_facts(known, missing, covered, now, zone)
    changed = [window for window in wanted if wanted[window] != known.get(window)]
    own = replace(alerting, rules=(MISSED_WINDOW,))
    for window in sorted(changed, key=lambda one: (one.start, one.grain)):
        with store.begin() as connection:
            store.publish(connection, MONITOR, window, _measured(window, wanted[window]))
        evaluate(store, own, window, [MONITOR], now=now)
    return len(changed)


def wanted_facts(
    known: Mapping[Window, Mapping[str, bool]],
    missing: Collection[tuple[str, Window]],
    covered: Mapping[str, set[datetime]],
    now: datetime,
    zone: str,
) -> _Known:
    """Window → job → is it missing, as it should be published now. Pure.

    What was missing and is there counts as there; of a job that goes on after a window that stays
    missing the later windows say so, and end its incident.
    """
    found: _Known = defaultdict(dict)
    for window, facts in known.items():
        for job, gone in facts.items():
            found[window][job] = gone and window.start not in covered.get(job, ())
    for job, window in missing:
        found[window][job] = True
    for job in {job for facts in found.values() for job in facts}:
        holes = [window for window, facts in found.items() if facts.get(job)]
        last = max(holes, key=lambda one: one.start, default=None)
        if last is None or any(one.start > last.start and job in found[one] for one in known):
            continue
        for window in due_windows(job, now, zone):
            if window.start > last.start and window.start in covered.get(job, ()):
                found[window][job] = False
    return dict(found)


def _lately(starts: set[datetime], window: Window) -> bool:
    """Did the job do one of the windows before it? A log of the past was never to go on."""
    return bool(starts) and max(starts) >= window.shift(-LOOK_BACK).start


def covered_windows(store: Store) -> dict[str, set[datetime]]:
    """Job → the starts of the windows that it has finished."""
    starts: dict[str, set[datetime]] = defaultdict(set)
    for job, start in store.rows(select(coverage.c.job, coverage.c.window_start)):
        starts[job].add(start)
    return starts


def _known(store: Store, now: datetime) -> _Known:
    found: _Known = defaultdict(dict)
    for item in store.measurements(monitor=MONITOR, since=now - HISTORY):
        found[item.window][item.labels["job"]] = bool(item.value)
    return dict(found)


def _measured(window: Window, facts: Mapping[str, bool]) -> Iterable[Measurement]:
    for job, gone in sorted(facts.items()):
        yield Measurement(
            monitor=MONITOR,
            metric=MISSED_WINDOW.metric,
            labels={"job": job},
            window=window,
            value=float(gone),
            n=1,
            unit="fact",
            method="the ledger of finished windows against the calendar",
        )
