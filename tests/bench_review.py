"""What people's labels are worth: ``python -m tests.bench_review [DRAWS]`` prints the tables.

HaluEval's verdicts by people are the truth (`TIDEGAUGE_REAL_DATA`, or ../shared/data). The trained
judge learns from 600 of them; a month is 3,000 answers drawn from the others, so the share of good
answers that an interval should cover is known. The batch is drawn as in production.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from monitors.drift.embedder import SentenceEmbedder
from monitors.quality.judge_training import train_judge
from monitors.review.design import Candidate, draw
from monitors.review.golden import Golden, import_golden
from monitors.statistics.intervals import mean_interval
from monitors.statistics.prediction_powered import ppi_mean
from sql.store import Store
from tests.logs_kit import context_over

Array = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
TRAINED, MONTH = 600, 3_000
SIZES = (100, 200, 500)
# What `main` holds each row to: coverage, points of bias, width against people alone.
COVERAGE, BIAS = (0.93, 0.97), 0.3
NO_WIDER, PAYS = 1.02, 0.6
OUT = Console(width=100)


@dataclass(frozen=True, slots=True)
class Result:
    """Over all draws: shares in [0, 1], widths in points of 100."""

    coverage: float
    width: float
    people_coverage: float
    people_width: float
    alone_coverage: float
    bias: float


def main(draws: int = 500) -> None:
    """Print coverage and width for three judges, two designs and three numbers of labels."""
    truth, trained = halueval()
    strong = simulated(truth, np.random.default_rng(1))
    judges = {
        f"trained, AUC {_auc(truth, trained):.2f}": trained,
        f"simulated, AUC {_auc(truth, strong):.2f}": strong,
        "too kind": np.clip(0.95 + 0.04 * trained, 0, 1),
    }
    table = Table(title=f"HaluEval, {100 * truth.mean():.1f} % good; {draws} draws of each")
    head = "judge|design|labels|covers|width|people cover|people width|width ratio|judge alone|bias"
    for number, name in enumerate(head.split("|")):
        table.add_column(name, justify="left" if number < 2 else "right")
    missed = []
    for name, judge in judges.items():
        for design, core in (("even", 1.0), ("aimed", 0.4), ("at doubt", 0.0)):
            for size in SIZES:
                found = experiment(truth, judge, size, core, draws)
                table.add_row(name, design, str(size), *_row(found))
                aimed = judge is strong and core < 1 and size == 200
                missed += [f"{name}, {design}, {size}: {what}" for what in faults(found, aimed)]
    OUT.print(table)
    sharper = experiment(truth, strong, SIZES[0], 0.0, 8 * draws)
    spread = 100 * float(np.sqrt(sharper.coverage * (1 - sharper.coverage) / (8 * draws)))
    OUT.print(
        f"The strong judge's {SIZES[0]} labels at doubt once more, {8 * draws} draws: covers "
        f"{100 * sharper.coverage:.1f} ± {spread:.1f} %."
    )
    bias, error, plain = oversampled(truth, trained, 2 * draws)
    OUT.print(
        f"Failures over-sampled five times, 200 labels, {2 * draws} draws: the weighted estimate "
        f"is off by {bias:+.2f} ± {error:.2f} points, the labels' plain mean by {plain:+.1f}."
    )
    if abs(bias) >= BIAS:
        missed.append("the weighted estimate is biased")
    if missed:
        sys.exit("not as promised:\n" + "\n".join(missed))
    OUT.print("All as promised: coverage, width and bias.")


def faults(found: Result, aimed: bool) -> list[str]:
    """What a result falls short of.

    Args:
        aimed: a strong judge and a batch that aims where it doubts, which must pay.
    """
    ratio = found.width / found.people_width
    checks = {
        f"covers {found.coverage:.1%}": COVERAGE[0] <= found.coverage <= COVERAGE[1],
        f"off by {found.bias:+.2f} points": abs(found.bias) < BIAS,
        f"{ratio:.3f} as wide as people alone": ratio <= (PAYS if aimed else NO_WIDER),
    }
    return [what for what, good in checks.items() if not good]


def _row(found: Result) -> list[str]:
    return [
        f"{100 * found.coverage:.1f} %",
        f"{found.width:.1f}",
        f"{100 * found.people_coverage:.1f} %",
        f"{found.people_width:.1f}",
        f"{found.width / found.people_width:.2f}",
        f"{100 * found.alone_coverage:.0f} %",
        f"{found.bias:+.2f}",
    ]


def experiment(truth: Array, judge: Array, size: int, core: float, draws: int) -> Result:
    """Repeat a month: draw its answers, its batch, and estimate.

    Args:
        core: the part of the batch drawn without regard to the judge.
    """
    target = float(truth.mean())
    covered = people = alone = 0
    widths, people_widths, errors = [], [], []
    for number in range(draws):
        rng = np.random.default_rng([size, number])
        month = rng.integers(len(truth), size=MONTH)
        good, said = truth[month], judge[month]
        candidates = [Candidate(f"{n:04d}", "", 0.05, float(p)) for n, p in enumerate(said)]
        chosen = draw(candidates, size, core=core, seed=f"{size}:{number}").chosen
        places = [int(item.item_id) for item in chosen]
        weights = [1 / item.probability for item in chosen]
        value, low, high = ppi_mean(good[places], said[places], said, weights)
        covered += low <= target <= high
        widths.append(high - low)
        errors.append(value - target)
        random = rng.choice(MONTH, size, replace=False)
        _, low, high = mean_interval(good[random], bounded=True)
        people += low <= target <= high
        people_widths.append(high - low)
        _, low, high = mean_interval(said)
        alone += low <= target <= high
    return Result(
        covered / draws,
        100 * float(np.mean(widths)),
        people / draws,
        100 * float(np.mean(people_widths)),
        alone / draws,
        100 * float(np.mean(errors)),
    )


def oversampled(truth: Array, judge: Array, draws: int) -> tuple[float, float, float]:
    """Bias of the weighted estimate, its Monte Carlo error, and the plain mean's; in points."""
    failed = judge < np.quantile(judge, 0.2)
    chance = np.where(failed, 5.0, 1.0)
    target, errors, plain = float(truth.mean()), [], []
    for number in range(draws):
        rng = np.random.default_rng([9, number])
        month = rng.integers(len(truth), size=MONTH)
        share = 200 * chance[month] / chance[month].sum()
        drawn = rng.random(MONTH) < share
        good, said = truth[month], judge[month]
        value, _, _ = ppi_mean(good[drawn], said[drawn], said, 1 / share[drawn])
        errors.append(value - target)
        plain.append(float(good[drawn].mean()) - target)
    error = float(np.std(errors)) / np.sqrt(draws)
    return 100 * float(np.mean(errors)), 100 * error, 100 * float(np.mean(plain))


# ── the judges ───────────────────────────────────────────────────────────────────────────────


def halueval() -> tuple[Array, Array]:
    """People's verdicts of the answers that the trained judge never saw, and its scores."""
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    lines = (folder / "halueval" / "general_3000.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    examples = [
        Golden(row["user_query"], row["chatgpt_response"], float(row["hallucination"] == "no"))
        for row in rows
    ]
    unseen = examples[TRAINED:]
    with tempfile.TemporaryDirectory() as scratch:
        store = Store.open(f"sqlite:///{scratch}/store.db")
        with context_over(store, f"sqlite:///{scratch}/none.db") as context:
            embedder = SentenceEmbedder(store, context.clock)
            context = replace(context, embedder=lambda: embedder)
            import_golden({one.key: one for one in examples[:TRAINED]}.values(), context)
            scores = train_judge(context).probabilities(
                [one.input for one in unseen],
                [one.output for one in unseen],
                [None] * len(unseen),
                embedder,
            )
        store.close()
    return np.array([one.label for one in unseen]), np.asarray(scores, dtype=float)


def simulated(truth: Array, rng: np.random.Generator) -> Array:
    """An honest, sharp judge: the true probability given a noisy look (AUC Φ(1.33·√2) = 0.97)."""
    distance = 1.33
    look = distance * (2 * truth - 1) + rng.normal(size=len(truth))
    odds = np.log(truth.mean() / (1 - truth.mean())) + 2 * distance * look
    return np.asarray(1 / (1 + np.exp(-odds)))


def _auc(truth: Array, judge: Array) -> float:
    from sklearn.metrics import roc_auc_score

    score: Callable[[Array, Array], float] = roc_auc_score
    return float(score(truth, judge))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
