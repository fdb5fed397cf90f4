"""Safety of every output of a day: scanned in shards, counted, and merged into pass rates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitors.context import Context
from monitors.kept import Kept
from monitors.logs.interaction import Batch
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.baseline import Baseline, Key, Past, reference_history, reference_value
from monitors.quality.slices import WHOLE, Slice
from monitors.scorer import Layer, Score, Scorer
from sql.measurement import Measurement, Status, labels_key, unmeasured
from sql.window import Grain, Window

_KEPT = Kept("daily_quality", "safety")
METRIC = "safety.pass_rate"
_HITS = 20
_VALUES = 1_000
# A rise by less than this share of the usual failures is no matter, however common they are.
_RELATIVE = 0.25


@dataclass(slots=True)
class Tally:
    """What one scorer said: counts that add up, over batches, shards and days.

    Args:
        counts: slice → [passed, failed, could not be judged].
        reasons: why rows failed → how many.
        hits: ids of rows that failed, at most 20, the smallest; never a text.
    """

    version: str
    counts: dict[Slice, list[int]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    hits: list[str] = field(default_factory=list)

    def add(self, ids: Sequence[str], scores: Sequence[Score], columns: Mapping[str, Any]) -> None:
        """Count one batch; ``columns`` are the slice fields, one value or None a row."""
        marks = [1 if s.value is None else 2 if s.value < 1 else 0 for s in scores]
        odd = [row for row, mark in enumerate(marks) if mark]
        self._count(WHOLE, len(marks), (marks[row] for row in odd))
        for name, values in columns.items():
            by_value: dict[str, list[int]] = {}
            for row in odd:
                by_value.setdefault(values[row], []).append(marks[row])
            for value, total in Counter(values).items():
                if value is not None:
                    self._count((name, value), total, by_value.get(value, ()))
        failed = [row for row in odd if marks[row] == 2]
        self.reasons.update(scores[row].reason for row in failed)
        # The smallest ids, so that neither order nor sharding changes which are kept.
        self.hits = sorted({*self.hits, *(ids[row] for row in failed)})[:_HITS]

    def _count(self, place: Slice, total: int, odd: Iterable[int]) -> None:
        marks = Counter(odd)
        counts = self.counts.setdefault(place, [0, 0, 0])
        counts[0] += total - marks[1] - marks[2]
        counts[1] += marks[2]
        counts[2] += marks[1]

    def merge(self, other: Tally) -> None:
        for place, counts in other.counts.items():
            mine = self.counts.setdefault(place, [0, 0, 0])
            for index, count in enumerate(counts):
                mine[index] += count
        self.reasons.update(other.reasons)
        self.hits = sorted({*self.hits, *other.hits})[:_HITS]

    def body(self) -> dict[str, Any]:
        """As JSON, the largest values of each field only."""
        by_field: dict[str, dict[str, list[int]]] = {}
        for (name, value), counts in sorted(self.counts.items(), key=lambda c: (-sum(c[1]), c[0])):
            values = by_field.setdefault(name, {})
            if len(values) < _VALUES:
                values[value] = counts
        reasons = dict(sorted(self.reasons.items()))
        return {
            "version": self.version,
            "counts": by_field,
            "reasons": reasons,
            "hits": self.hits,
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Tally:
        counts = {
            (name, value): list(found)
            for name, values in body["counts"].items()
            for value, found in values.items()
        }
        return cls(body["version"], counts, Counter(body["reasons"]), list(body["hits"]))


# ── scanning ─────────────────────────────────────────────────────────────────────────────────


def scan_shard(
    window: Window, context: Context, shard: int = 0, shards: int = 1
) -> dict[str, int | float | str]:
    """Run every configured safety scorer over one shard of the window's rows; flat memory.

    The counts replace those of an earlier scan of the same shard, so scanning twice is scanning
    once.

    Returns:
        how many rows were read and how many verdicts were failures.

    Raises:
        ConfigurationError: the log cannot be read as configured. StoreError: a database refused.
    """
    names = slices.fields_in(context, context.settings.quality.slices)
    scorers = _runnable(context)
    tallies = {scorer.name: Tally(scorer.version_in(context)) for scorer in scorers}
    wanted = [*("id", "output"), *names]
    for scorer in scorers:
        wanted += [n for n in (*scorer.needs, *scorer.reads) if n in context.source.attributes]
    rows = 0
    for batch in context.source.stream(
        window, list(dict.fromkeys(wanted)), shard=shard, shards=shards
    ):
        rows += len(batch)
        columns = {name: slices.as_text(batch[name]) for name in names}
        for scorer in scorers:
            tallies[scorer.name].add(batch["id"], _scored(scorer, batch, context), columns)
    body = {
        "shards": shards,
        "rows": rows,
        "scorers": {name: tally.body() for name, tally in tallies.items()},
    }
    _KEPT.write(window, body, context, shard)
    failed = sum(tally.counts.get(WHOLE, [0, 0, 0])[1] for tally in tallies.values())
    return {"rows": rows, "failed": failed}


def _runnable(context: Context) -> list[Scorer]:
    """The safety scorers whose needs the log can serve and that have something to say."""
    return [
        scorer
        for scorer in context.scorers
        if scorer.layer is Layer.SAFETY
        and set(scorer.needs) <= context.source.attributes
        and not scorer.silent_in(context)
    ]


def _scored(scorer: Scorer, batch: Batch, context: Context) -> Sequence[Score]:
    try:
        return scorer(batch, context)
    except Exception:  # a scorer of a user's own may raise anything; the others go on
        return [Score(None, "scorer_error")] * len(batch)


# ── merging ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Scan:
    """A window's shards together.

    Args:
        missing: shards that have not been scanned.
    """

    rows: int
    shards: int
    missing: int
    tallies: Mapping[str, Tally]


def merged(window: Window, context: Context) -> Scan | None:
    """The counts of the window; None when nothing was scanned.

    After a change of the number of shards, the split with the fewest missing counts, and of two
    the later one.
    """
    splits: dict[int, list[Any]] = {}
    for row in _KEPT.rows(window, window, context):
        splits.setdefault(row.body["shards"], []).append(row)
    if not splits:
        return None
    shards, parts = min(
        splits.items(),
        key=lambda split: (
            split[0] - len(split[1]),
            -max(row.finished_at for row in split[1]).timestamp(),
        ),
    )
    tallies: dict[str, Tally] = {}
    for part in parts:
        for name, body in part.body["scorers"].items():
            tally = Tally.of(body)
            if name in tallies and tallies[name].version == tally.version:
                tallies[name].merge(tally)
            else:
                tallies.setdefault(name, tally)
    total = sum(part.body["rows"] for part in parts)
    return Scan(total, shards, shards - len(parts), tallies)


@monitor(name="safety", grain=Grain.DAY)
def safety(window: Window, context: Context) -> Iterator[Measurement]:
    """``safety.pass_rate{scorer}`` of all outputs, overall and by each slice field.

    Wilson interval; baseline from the reference's days; evidence is the log e-value that the rate
    fell by more than ``[quality] safety_tolerance`` (or by a quarter of the usual failures, if
    that is more), with days as clusters. A shard that is missing makes the window partial.
    """
    scan = merged(window, context)
    history = reference_history("safety", window, context)
    for scorer in (s for s in context.scorers if s.layer is Layer.SAFETY):
        reason = ""
        if not set(scorer.needs) <= context.source.attributes:
            reason = f"no_{min(set(scorer.needs) - context.source.attributes)}"
        elif scan is None:
            reason = "not_scanned"
        elif scan.rows == 0 and not scan.missing:
            reason = "empty_window"
        elif scorer.name not in scan.tallies:
            reason = scorer.silent_in(context) or "not_scanned"
        elif not sum(scan.tallies[scorer.name].counts.get(WHOLE, [0, 0])[:2]):
            reason = "nothing_to_judge"
        if reason or scan is None:
            labels = {"scorer": scorer.name}
            yield unmeasured("safety", METRIC, window, Status.NO_DATA, reason, labels=labels)
        else:
            yield from _rates(window, context, scorer, scan, history)


def _rates(
    window: Window,
    context: Context,
    scorer: Scorer,
    scan: Scan,
    history: Mapping[Key, list[Past]],
) -> Iterator[Measurement]:
    tally = scan.tallies[scorer.name]
    sizes = {place: sum(counts[:2]) for place, counts in tally.counts.items()}
    # A scorer of another version measured another thing: its past is no baseline.
    mark = f"scorer {tally.version}"
    for place in slices.reported({place: n for place, n in sizes.items() if n}):
        labels = slices.labels(place, scorer=scorer.name)
        past = [
            item
            for item in history.get((METRIC, labels_key(labels)), ())
            if item.method.endswith(mark)
        ]
        passed, failed, _ = tally.counts[place]
        yield pass_rate(
            {"monitor": "safety", "metric": METRIC, "labels": labels, "window": window},
            passed,
            passed + failed,
            reference_value(past),
            context,
            note=mark,
            missing=scan.missing,
        )


def pass_rate(
    about: Mapping[str, Any],
    passed: int,
    n: int,
    baseline: Baseline | None,
    context: Context,
    *,
    note: str,
    missing: int = 0,
) -> Measurement:
    """One pass rate with its interval, and with evidence that it fell where there is a baseline."""
    from monitors.statistics.intervals import detectable_difference, wilson
    from monitors.statistics.sequential import log_e_value_rate_fell

    settings = context.settings.quality
    low, high = wilson(passed, n)
    status, reason = Status.COMPLETE, ""
    if n < settings.minimum_n:
        status, reason = Status.INSUFFICIENT, "too_few"
    elif missing:
        status, reason = Status.PARTIAL, f"{missing}_shards_missing"
    evidence = detectable = None
    if baseline is not None:
        tolerance = max(settings.safety_tolerance, _RELATIVE * (1 - baseline.mean))
        effect = baseline.design_effect(n)
        evidence = log_e_value_rate_fell(
            passed, n, min(baseline.floor(tolerance), 1 - 1e-6), design_effect=effect
        )
        detectable = detectable_difference(
            baseline.mean, max(baseline.n, 1.0), max(n / effect, 1.0), direction="down"
        )
    else:
        detectable = detectable_difference(passed / n, math.inf, n, direction="down")
    return Measurement(
        **about,
        value=passed / n,
        low=low,
        high=high,
        n=n,
        baseline=None if baseline is None else baseline.mean,
        evidence=evidence,
        detectable=detectable,
        method=f"log e-value; betting against no fall, days as clusters; Wilson interval; {note}",
        status=status,
        reason=reason,
    )
