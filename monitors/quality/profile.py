"""A day's scores as sums that add up: the reference is a merge of days, not a second reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.kept import Kept
from monitors.quality import slices
from monitors.quality.baseline import Baseline, Day, baseline_of
from monitors.quality.scored import Rows, Scores, read_rows, read_scores
from monitors.quality.scoring import lacks, score_sample
from monitors.quality.slices import Slice
from monitors.scorer import Scorer
from sql.window import Window

_KEPT = Kept("daily_quality", "quality")


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one scorer, slice and day: rows, Σw, Σw², Σwy, Σwy²."""

    n: int
    w: float
    ww: float
    wy: float
    wyy: float

    @classmethod
    def of(cls, values: NDArray[np.float64], weights: NDArray[np.float64]) -> Sums:
        return cls(
            len(values),
            float(weights.sum()),
            float(weights @ weights),
            float(weights @ values),
            float(weights @ (values * values)),
        )

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n,
            self.w + other.w,
            self.ww + other.ww,
            self.wy + other.wy,
            self.wyy + other.wyy,
        )

    @property
    def mean(self) -> float:
        return self.wy / self.w

    @property
    def effective(self) -> float:
        """Kish's (1965) effective number of rows."""
        return self.w**2 / self.ww


Profile = Mapping[Slice, Sums]


def profile_of(rows: Rows, scores: Scores) -> dict[Slice, Sums]:
    """The day's sums in every slice that has a score."""
    known, found = scores.known, {}
    for place, members in rows.places().items():
        members = members[known[members]]
        if len(members):
            found[place] = Sums.of(scores.values[members], rows.weights[members])
    return found


def keep(
    window: Window, version_by_scorer: Mapping[str, tuple[str, Profile]], context: Context
) -> None:
    """Write down the profiles of a day, beside those of other scorers that stand there."""
    body = dict(_KEPT.body(window, context) or {})
    for name, (version, profile) in version_by_scorer.items():
        places: dict[str, dict[str, list[float]]] = {}
        for (field, value), sums in profile.items():
            numbers = [sums.n, sums.w, sums.ww, sums.wy, sums.wyy]
            places.setdefault(field, {})[value] = numbers
        body[name] = {"version": version, "slices": places}
    _KEPT.write(window, body, context)


def reference_profiles(
    days: Sequence[Window], scorers: Sequence[Scorer], context: Context
) -> dict[str, list[Profile]]:
    """By scorer, the profiles of the reference's days under its present version.

    A day that was profiled under another version is scored again: a new yardstick needs the old
    days measured anew. That costs once; where retention took the texts, the day falls out.
    """
    stored = _KEPT.bodies(days[0], days[-1], context)
    found: dict[str, list[Profile]] = {scorer.name: [] for scorer in scorers}
    names = slices.fields_in(context, context.settings.quality.slices)
    for day in days:
        body = stored.get(day.start, {})
        stale = [s for s in scorers if not _is_current(body.get(s.name), s, context)]
        fresh: dict[str, tuple[str, Profile]] = {}
        if stale:
            score_sample(day, context, stale)
            rows = read_rows(day, context, names)
            for scorer in stale:
                profile = profile_of(rows, read_scores(day, context, scorer, rows))
                fresh[scorer.name] = (scorer.version_in(context), profile)
            keep(day, fresh, context)
        for scorer in scorers:
            found[scorer.name].append(
                fresh[scorer.name][1] if scorer.name in fresh else _read(body[scorer.name])
            )
    return found


def known_profiles(
    days: Sequence[Window], scorers: Sequence[Scorer], context: Context
) -> dict[str, list[Profile]]:
    """By scorer, the profiles that stand under its present version, in the order of the days."""
    stored = _KEPT.bodies(days[0], days[-1], context)
    bodies = [stored[day.start] for day in days if day.start in stored]
    return {
        scorer.name: [
            _read(body[scorer.name])
            for body in bodies
            if _is_current(body.get(scorer.name), scorer, context)
        ]
        for scorer in scorers
    }


def baseline_in(place: Slice, profiles: Sequence[Profile]) -> Baseline | None:
    """The baseline of a slice; None with too few days."""
    days = [profile[place] for profile in profiles if place in profile]
    if not days:
        return None
    total = sum(day.w for day in days)
    mean = sum(day.wy for day in days) / total
    variance = max(sum(day.wyy for day in days) / total - mean * mean, 0.0)
    return baseline_of((Day(day.mean, day.effective) for day in days), variance)


def _is_current(body: Mapping[str, Any] | None, scorer: Scorer, context: Context) -> bool:
    return body is not None and body["version"] == scorer.version_in(context)


def _read(body: Mapping[str, Any]) -> dict[Slice, Sums]:
    return {
        (field, value): Sums(int(numbers[0]), *numbers[1:])
        for field, values in body["slices"].items()
        for value, numbers in values.items()
    }


__all__ = [
    "Profile",
    "Sums",
    "baseline_in",
    "keep",
    "known_profiles",
    "lacks",
    "profile_of",
    "reference_profiles",
]
