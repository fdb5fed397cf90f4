"""Which series the report draws, in the order in which somebody on call asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from sql.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Panel:
    """Series that belong together.

    Args:
        metrics: globs.
        labels: keys that a series may have, and no other.
        note: what the reader has to know, in one sentence.
    """

    title: str
    metrics: tuple[str, ...]
    labels: frozenset[str]
    note: str = ""

    def takes(self, item: Measurement) -> bool:
        return self.labels.issuperset(item.labels) and any(
            fnmatchcase(item.metric, glob) for glob in self.metrics
        )


def _panel(title: str, metrics: str, labels: str = "", note: str = "") -> Panel:
    return Panel(title, tuple(metrics.split()), frozenset(labels.split()), note)


PANELS: tuple[Panel, ...] = (
    _panel(
        "Quality of the answers",
        "correctness.score usefulness.score delight.score correctness.consistency",
        "scorer",
        "Mean score of the day's sample. The dashed line is the reference.",
    ),
    _panel(
        "Safety",
        "safety.pass_rate",
        "scorer",
        "Share of all outputs without a finding; for prompt injection, of all inputs.",
    ),
    _panel(
        "The model behind the API",
        "provider.correctness provider.refusal provider.length provider.cost provider.latency",
        "pin",
        "Pinned prompts, asked again each day. The dashed line is the pin.",
    ),
    _panel(
        "What is asked",
        "drift.embedding.* drift.input.psi drift.topic.share",
        "column reference topic",
        "Each week against the reference: 0 is no change.",
    ),
    _panel(
        "Time",
        "operations.latency_p90 operations.time_to_first_token_p90",
        "interaction_type",
        "The slowest tenth of the requests begins here.",
    ),
    _panel(
        "Cost, errors, volume",
        "operations.cost_per_day operations.cost_per_request operations.error_rate "
        "operations.completion_rate operations.fallback_share operations.requests",
    ),
    _panel(
        "What users do",
        "operations.repeat_use operations.time_to_task_p50 delight.rating delight.rated_share",
        note="Ratings are corrected for who rates; there the dashed line is their raw mean.",
    ),
    _panel(
        "What people say",
        "review.quality review.judge_agreement evaluation.agreement evaluation.anchor_error",
        "scorer",
        "Labels of the month's review batch; the dashed line is the judge alone, or its bar.",
    ),
)
