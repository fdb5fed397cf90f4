"""Small new topics among real queries: how often found, how purely named, how often imagined.

CLINC150: a reference of 4,000 queries and a week of 2,000, drawn from 149 intents; the one left
out is planted into the week. ``python -m tests.bench_topics``, part of ``make bench-detection``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from monitors.drift.embedder import SentenceEmbedder
from monitors.drift.embeddings import compare
from monitors.drift.regions import LEVEL, regions
from monitors.statistics.multiplicity import holm
from monitors.statistics.two_sample import mmd_permutation
from sql.store import Store
from tests.conftest import ROOT
from tests.logs_kit import NOW

REFERENCE, WEEK, INTENTS, NULLS = 4_000, 2_000, 40, 52
SHARES = (0.01, 0.02, 0.05)
Vectors = NDArray[np.float32]


def queries(folder: Path) -> tuple[list[str], list[str]]:
    """All in-scope queries and their intents."""
    data = json.loads((folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    rows = [row for split in ("train", "val", "test") for row in data[split]]
    return [text for text, _ in rows], [intent for _, intent in rows]


class Draws:
    """Reference and week, with or without a planted intent."""

    def __init__(self, vectors: Vectors, intents: list[str]) -> None:
        self.vectors, self.intents = vectors, np.array(intents)

    def draw(self, new: str | None, share: float, seed: int) -> tuple[Vectors, Vectors, Vectors]:
        """Reference, week, and which of the week are planted."""
        rng = np.random.default_rng([seed, round(1_000 * share)])
        known = rng.permutation(np.flatnonzero(self.intents != new))
        planted = round(share * WEEK) if new else 0
        week = known[REFERENCE : REFERENCE + WEEK - planted]
        if new:
            fresh = np.flatnonzero(self.intents == new)
            # There are 150 queries of an intent.
            week = np.concatenate([week, rng.choice(fresh, planted, replace=False)])
        truth = self.intents[week] == new
        return self.vectors[known[:REFERENCE]], self.vectors[week], truth


def ours(past: Vectors, week: Vectors) -> bool:
    """The density scan as the default rule decides: Holm over the week's three tests, at 0.005."""
    found = compare(past, week, seed=0)
    adjusted = dict(
        zip((one.metric for one in found), holm([f.p_value for f in found]), strict=True)
    )
    return bool(adjusted["drift.embedding.density_scan"] <= 0.005)


def classifier(past: Vectors, week: Vectors) -> bool:
    """Can half of both windows teach which window a text is of? AUC of the other half above ½."""
    both = np.vstack([past, week])
    label = np.r_[np.zeros(len(past)), np.ones(len(week))]
    order = np.random.default_rng(0).permutation(len(both))
    half = len(both) // 2
    learn, ask = order[:half], order[half:]
    model = LogisticRegression(max_iter=300, class_weight="balanced").fit(both[learn], label[learn])
    auc = float(roc_auc_score(label[ask], model.decision_function(both[ask])))
    positive, negative = label[ask].sum(), (label[ask] == 0).sum()
    error = np.sqrt((positive + negative + 1) / (12 * positive * negative))
    return bool((auc - 0.5) / error >= 3.09)  # one in a thousand, Mann and Whitney


def mmd(past: Vectors, week: Vectors) -> bool:
    """Maximum mean discrepancy with 999 permutations, on 600 texts a side."""
    rng = np.random.default_rng(0)
    some = [side[rng.permutation(len(side))[:600]] for side in (past, week)]
    return mmd_permutation(some[0], some[1], draws=999, seed=0)[1] <= 0.001


def evidently(past: Vectors, week: Vectors) -> bool:
    """Evidently's own embedding drift, as it comes: a classifier's ROC AUC above 0.55."""
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

    _, drifted, _ = model()(pd.DataFrame(week), pd.DataFrame(past))
    return bool(drifted)


DETECTORS: dict[str, Callable[[Vectors, Vectors], bool]] = {
    "density scan (ours)": ours,
    "domain classifier": classifier,
    "MMD": mmd,
    "evidently's default rule": evidently,
}


def main() -> None:
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "clinc150").is_dir():
        sys.exit(f"the real data is not at {folder}: set TIDEGAUGE_REAL_DATA")
    texts, intents = queries(folder)
    with tempfile.TemporaryDirectory() as name:
        embedder = SentenceEmbedder(Store.open(f"sqlite:///{name}/v.db"), lambda: NOW)
        draws = Draws(np.asarray(embedder.embed(texts)), intents)
    left_out = [str(name) for name in np.random.default_rng(1).permutation(sorted(set(intents)))]
    print(f"CLINC150: {REFERENCE:,} reference queries, {WEEK:,} of the week, {INTENTS} intents")
    print(f"{'':<26}{f'null, of {NULLS}':>14}" + "".join(f"{share:>9.0%}" for share in SHARES))
    hits = {name: dict.fromkeys(SHARES, 0) for name in DETECTORS}
    nulls = dict.fromkeys(DETECTORS, 0)
    purity: dict[float, list[float]] = {share: [] for share in SHARES}
    recall: dict[float, list[float]] = {share: [] for share in SHARES}
    for seed in range(NULLS):
        past, week, _ = draws.draw(None, 0, seed)
        for name, detect in DETECTORS.items():
            nulls[name] += detect(past, week)
    for share in SHARES:
        for seed, new in enumerate(left_out[:INTENTS]):
            past, week, truth = draws.draw(new, share, seed)
            for name, detect in DETECTORS.items():
                hits[name][share] += detect(past, week)
            for region in regions(past, week, LEVEL)[:1]:
                purity[share].append(float(truth[region.members].mean()))
                recall[share].append(float(truth[region.members].sum() / truth.sum()))
    for name in DETECTORS:
        cells = "".join(f"{hits[name][share] / INTENTS:>9.0%}" for share in SHARES)
        print(f"{name:<26}{nulls[name]:>14}{cells}")
    for title, found in (("members truly of it", purity), ("of it among the members", recall)):
        cells = "".join(f"{np.mean(found[s]):>9.0%}" if found[s] else f"{'':9}" for s in SHARES)
        print(f"{title:<40}{cells}")


if __name__ == "__main__":
    main()
