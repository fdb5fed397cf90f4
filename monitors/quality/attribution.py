"""Why is quality lower? The inputs, the provider, the judge, a version: which of them moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from monitors.context import Context
from monitors.kept import Kept
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.profile import Profile, Sums, baseline_in, known_profiles
from monitors.quality.scoring import lacks, sample_scorers
from monitors.quality.slices import WHOLE
from monitors.reference import is_reference, reference_days
from monitors.scorer import Scorer
from monitors.statistics.contribution import Group, Part, contributions
from sql.measurement import Measurement, Status, unmeasured
from sql.window import Grain, Window
from sql.words import between, number

_nothing = partial(unmeasured, "attribution", "quality.change")

_KEPT = Kept("daily_quality", "attribution")
DAYS = 7
# What a team decides; a shift of any other field is one of what users ask.
VERSIONS = ("prompt_version", "request_model")
_Z = 1.959964
_FACTS = (
    "provider.drift",
    "provider.slide",
    "provider.model_changed",
    "provider.served_model_changed",
)
_NONE = "(none)"
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Fall:
    """A change of a mean against the reference, and its table by each field.

    Args:
        days: how many, the newest, it is over.
        change, low, high: of the mean, with a 95 % interval.
        wander: variance that days add to any such difference.
        tables: field → slice → its part; each field's parts add up to ``change``.
    """

    days: int
    change: float
    low: float
    high: float
    wander: float
    tables: Mapping[str, Mapping[str, Part]]


@dataclass(frozen=True, slots=True)
class Others:
    """What else moved in these days: names, empty where nothing did.

    Args:
        judge: the scorer whose anchors are graded lower.
        provider: pins and request models.
    """

    judge: str = ""
    provider: str = ""


@monitor(name="attribution", grain=Grain.DAY)
def attribution(window: Window, context: Context) -> Iterator[Measurement]:
    """``quality.change{scorer}``: mean of the last seven days less the reference's;
    ``quality.cause{scorer}``: 1 where it fell, and ``reason`` names the likely cause;
    ``quality.contribution{scorer, field, slice}``: what the three foremost slices took of it.

    Nothing is scored anew: the days' profiles add up (`monitors.quality.profile`), and by each
    field of ``[quality] slices`` they make an exact table of who contributed what
    (`monitors.statistics.contribution`), which ``tidegauge explain`` and ``attribution`` print.
    The table and the cause (`cause_of`) are of those newest days, one to seven, that show the
    surest fall.
    """
    if is_reference(window, context):
        yield _nothing(window, Status.INSUFFICIENT, "reference_period")
        return
    scorers = [each for each in sample_scorers(context) if not lacks(each, context)]
    today = known_profiles([window], scorers, context).values()
    if not any(WHOLE in profile for profiles in today for profile in profiles):
        yield _nothing(window, Status.NO_DATA, "no_scores")
        return
    past = reference_days(context)
    days = [window.shift(-back) for back in reversed(range(4 * DAYS))]
    days = [day for day in days if day.start >= past[-1].end]
    before = known_profiles(past, scorers, context)
    now = known_profiles(days, scorers, context)
    others = _others(days[-DAYS:][0].start, window, context)
    kept: dict[str, Any] = {}
    for scorer in scorers:
        recent = now[scorer.name]
        spans = ((recent[:-count], recent[-count:]) for count in range(DAYS, 0, -1))
        found = (fall_of(before[scorer.name], *span, context) for span in spans if span[1])
        falls = [fall for fall in found if fall is not None]
        if not falls:
            continue
        surest = min(falls, key=lambda one: one.high)
        own = others if others.judge == scorer.name else replace(others, judge="")
        cause = cause_of(surest, own, context.settings.quality.tolerance)
        kept[scorer.name] = {"fall": asdict(surest), "cause": cause}
        rows = sum(profile[WHOLE].n for profile in recent[-DAYS:] if WHOLE in profile)
        yield from _said(scorer, window, falls[0], cause, rows)
        if cause:
            yield from _parts_said(scorer, window, surest, rows)
    _KEPT.write(window, kept, context)
    if not kept:
        yield _nothing(window, Status.INSUFFICIENT, "too_few_days")


# ── the decision ─────────────────────────────────────────────────────────────────────────────


def cause_of(fall: Fall, others: Others, tolerance: float) -> str:
    """The likely causes of a fall, most telling first; empty when the mean did not fall.

    ``judge``: frozen anchors are graded otherwise, so that the fall may be the yardstick's.
    ``version``, ``inputs``: with the reference's shares of one field the fall vanishes: at least
    half of it is mix, and what is left is within the tolerance or within its own error; a field
    of `VERSIONS` is the team's doing, any other the users'. ``provider``: the pinned replay, or
    the model behind the name, moved. ``slice``: none of these, but one slice that is no more than
    half of the rows holds half of it.
    """
    if fall.high >= 0:
        return ""
    causes = [f"judge: the anchors of {others.judge} fell"] if others.judge else []
    causes += _shifts(fall, tolerance)
    if others.provider:
        causes.append(f"provider {others.provider}")
    if causes:
        return "; ".join(causes)
    for field, name, part in foremost(fall)[:1]:
        if part.total <= fall.change / 2 and part.share1 <= 0.5:
            return f"slice {field}={slices.label_text(name)}"
    return "unknown: inputs, versions, provider and judge did not move"


def foremost(fall: Fall) -> list[tuple[str, str, Part]]:
    """(field, slice, part) of the `_TOLD` slices that took most, of all fields with several."""
    parts = [
        (field, name, part)
        for field, table in fall.tables.items()
        for name, part in table.items()
        if len(table) > 1 and part.total < 0
    ]
    return sorted(parts, key=lambda one: one[2].total)[:_TOLD]


def _shifts(fall: Fall, tolerance: float) -> list[str]:
    """Of the versions and of the inputs each the field whose mix explains most, if one does."""
    best: dict[str, tuple[float, str]] = {}
    for field, table in fall.tables.items():
        mix = sum(part.mix for part in table.values())
        left = fall.change - mix
        error = math.sqrt(sum(part.error**2 for part in table.values()) + fall.wander)
        if mix <= fall.change / 2 and left >= -max(tolerance, _Z * error):
            kind = "version" if field in VERSIONS else "inputs"
            # What grew is what to look at; what gave way has the same share with the other sign.
            grown = [one for one in table if table[one].share1 > table[one].share0]
            name = min(grown or table, key=lambda one: table[one].mix)
            said = f"{kind} {field}={slices.label_text(name)}"
            best[kind] = min(best.get(kind, (0.0, "")), (mix, said))
    return [best[kind][1] for kind in ("version", "inputs") if kind in best]


# ── the numbers ──────────────────────────────────────────────────────────────────────────────


def fall_of(
    before: Sequence[Profile], lately: Sequence[Profile], now: Sequence[Profile], context: Context
) -> Fall | None:
    """The change of the mean and its tables; None with too few days before, or no rows now.

    Args:
        before: the reference.
        lately: the days between, as far as they are near: what a slice that the reference lacks
            was like before it fell, so that a version is not blamed for what befell it later.
    """
    baseline, old, new = baseline_in(WHOLE, before), _merged(before), _merged(now)
    between = _merged(lately)
    if baseline is None or WHOLE not in new:
        return None
    group = _group(new[WHOLE])
    wander = baseline.between * (1 / baseline.days + 1 / len(now))
    change = group.mean - baseline.mean
    error = math.sqrt(group.variance / group.n + baseline.variance / baseline.n + wander)
    names = slices.fields_in(context, context.settings.quality.slices)
    tables = {name: contributions(_by(name, old, between), _by(name, new)) for name in names}
    return Fall(len(now), change, change - _Z * error, change + _Z * error, wander, tables)


def _merged(profiles: Sequence[Profile]) -> dict[slices.Slice, Sums]:
    found: dict[slices.Slice, Sums] = {}
    for profile in profiles:
        for place, sums in profile.items():
            found[place] = found[place] + sums if place in found else sums
    return found


def _by(
    field: str,
    sums: Mapping[slices.Slice, Sums],
    between: Mapping[slices.Slice, Sums] = MappingProxyType({}),
) -> dict[str, Group]:
    """The slices of one field; the rows without a value are one more, so that nothing is lost.

    Args:
        between: where a slice is looked up that ``sums`` lacks; it is there without weight.
    """
    chosen = {name: each for (column, name), each in sums.items() if column == field}
    found = {name: _group(each) for name, each in chosen.items()}
    whole = sums[WHOLE]
    rest = Sums(
        whole.n - sum(each.n for each in chosen.values()),
        whole.w - sum(each.w for each in chosen.values()),
        whole.ww - sum(each.ww for each in chosen.values()),
        whole.wy - sum(each.wy for each in chosen.values()),
        whole.wyy - sum(each.wyy for each in chosen.values()),
    )
    if rest.n > 0:
        found[_NONE] = _group(rest)
    later = {name: _group(each) for (column, name), each in between.items() if column == field}
    return {name: replace(group, weight=0.0) for name, group in later.items()} | found


def _group(sums: Sums) -> Group:
    variance = max(sums.wyy / sums.w - sums.mean**2, 0.0)
    return Group(sums.w, sums.mean, variance, sums.effective)


def _others(since: datetime, window: Window, context: Context) -> Others:
    """What the anchors, the replays and the log said in these days."""

    def found(metric: str) -> list[Measurement]:
        return context.store.measurements(
            metric=metric, grain=window.grain, since=since, until=window.end
        )

    graded = found("evaluation.anchor_change")[-1:]
    lower = [
        one.labels.get("scorer", "") for one in graded if one.high is not None and one.high < 0
    ]
    facts = [one for metric in _FACTS for one in found(metric) if one.value is not None]
    moved = {
        one.labels.get("pin") or one.labels.get("request_model", "") for one in facts if one.value
    }
    names = sorted(slices.label_text(name) for name in moved)
    return Others(lower[0] if lower else "", ", ".join(names)[:60])


# ── what is said and kept ────────────────────────────────────────────────────────────────────


def _said(scorer: Scorer, window: Window, fall: Fall, cause: str, n: int) -> Iterator[Measurement]:
    about: dict[str, Any] = {
        "monitor": "attribution",
        "labels": {"scorer": scorer.name},
        "window": window,
        "n": n,
    }
    yield Measurement(
        **about,
        metric="quality.change",
        value=fall.change,
        low=fall.low,
        high=fall.high,
        baseline=0.0,
        method=f"weighted mean of {DAYS} days less the reference's; normal interval, days as "
        "clusters",
    )
    yield Measurement(
        **about,
        metric="quality.cause",
        value=float(bool(cause)),
        baseline=0.0,
        reason=cause[:200] or "no_fall",
        method="rules over an exact contribution table, replays, anchors and the log's versions",
        unit="fact",
    )


def _parts_said(scorer: Scorer, window: Window, fall: Fall, n: int) -> Iterator[Measurement]:
    for field, name, part in foremost(fall):
        yield Measurement(
            monitor="attribution",
            metric="quality.contribution",
            labels={"scorer": scorer.name, "field": field, "slice": slices.label_text(name)},
            window=window,
            value=part.total,
            n=n,
            baseline=0.0,
            method=f"exact contribution of the slice to the change of {fall.days} days",
        )


def read_attribution(window: Window, context: Context) -> dict[str, tuple[Fall, str]]:
    """Scorer → what was found of its day, and the likely cause."""
    found = {}
    for name, kept in (_KEPT.body(window, context) or {}).items():
        tables = {
            field: {value: Part(**part) for value, part in parts.items()}
            for field, parts in kept["fall"]["tables"].items()
        }
        found[name] = Fall(**{**kept["fall"], "tables": tables}), kept["cause"]
    return found


# ── in words ─────────────────────────────────────────────────────────────────────────────────

COLUMNS = ("field", "slice", "share", "mean", "by share", "by itself", "together")


def parts_of(fall: Fall) -> list[tuple[str, str, Part]]:
    """(field, slice, part), of each field the part that took most first."""
    return [
        (field, value, part)
        for field, table in fall.tables.items()
        for value, part in sorted(table.items(), key=lambda one: one[1].total)
    ]


def change_text(fall: Fall, day: Window) -> str:
    """The change with its interval, and over which days."""
    span = f"{day} and {fall.days - 1} days before" if fall.days > 1 else f"{day}"
    interval = between(fall.low, fall.high, "ratio")
    return f"{number(fall.change, 'ratio')} ({interval}) on {span}"


def rows_of(fall: Fall) -> list[tuple[str, ...]]:
    """A row of words a part, under `COLUMNS`; the parts of one field add up to the change."""
    return [
        (
            field,
            slices.label_text(value),
            f"{number(part.share0, 'ratio')} → {number(part.share1, 'ratio')}",
            f"{number(part.mean0, 'ratio')} → {number(part.mean1, 'ratio')}",
            *(number(each, "ratio") for each in (part.mix, part.within, part.total)),
        )
        for field, value, part in parts_of(fall)
    ]
