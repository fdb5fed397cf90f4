"""Small new topics among real queries: how often found, how purely named, how often imagined.

CLINC150: a reference of 4,000 queries and a week of 2,000, drawn from 149 intents; the one left
out is planted into the week. ``python -m tests.bench_topics``, part of ``make bench-detection``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitors.drift.embedder import SentenceEmbedder
from monitors.drift.embeddings import compare
from monitors.drift.regions import LEVEL, regions
from monitors.statistics.classifier import separation
from monitors.statistics.multiplicity import holm
from monitors.statistics.two_sample import mmd_permutation
from sql.store import Store
from tests.conftest import ROOT
from tests.logs_kit import NOW

REFERENCE, WEEK, INTENTS, NULLS, PAIRS = 4_000, 2_000, 40, 52, 20
SHARES = (0.01, 0.02, 0.05)
Vectors = NDArray[np.float32]
PEER = ROOT / ".venv-peers" / "bin" / "python"


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
    """Cross-fitted: does its area lie above ½ at one in a thousand?"""
    found = separation(past, week)
    return found.auc - 0.5 >= 3.09 * found.error


def mmd(past: Vectors, week: Vectors) -> bool:
    """Maximum mean discrepancy with 999 permutations, on 600 texts a side."""
    return mmd_permutation(*some_of(past, week), draws=999, seed=0)[1] <= 0.001


def some_of(*sides: Vectors) -> list[Vectors]:
    """Six hundred of each side: a kernel holds the square of their number."""
    rng = np.random.default_rng(0)
    return [side[rng.permutation(len(side))[:600]] for side in sides]


def evidently(past: Vectors, week: Vectors) -> bool:
    """Evidently's own embedding drift, as it comes: a classifier's ROC AUC above 0.55."""
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

    _, drifted, _ = model()(pd.DataFrame(week), pd.DataFrame(past))
    return bool(drifted)


class Alibi:
    """alibi-detect's MMD as it comes, p ≤ 0.05, on the texts that ours is given.

    In a process and an environment of its own (`make peers`).
    """

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), str(ROOT / "tests" / "peer_alibi.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, past: Vectors, week: Vectors) -> bool:
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            files = [f"{name}/{side}.npy" for side in ("past", "week")]
            for file, vectors in zip(files, some_of(past, week), strict=True):
                np.save(file, vectors)
            self._process.stdin.write(" ".join(files) + "\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline()) <= 0.05

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


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
    python = Path(os.environ.get("TIDEGAUGE_PEERS", PEER))
    alibi = Alibi(python) if python.exists() else None
    detectors = {**DETECTORS, **({"alibi-detect's MMD": alibi} if alibi else {})}
    if not alibi:
        print("alibi-detect is left out: run `make peers`, or name a python in TIDEGAUGE_PEERS")
    hits = {name: dict.fromkeys(SHARES, 0) for name in detectors}
    nulls = dict.fromkeys(detectors, 0)
    purity: dict[float, list[float]] = {share: [] for share in SHARES}
    recall: dict[float, list[float]] = {share: [] for share in SHARES}
    for seed in range(NULLS):
        past, week, _ = draws.draw(None, 0, seed)
        for name, detect in detectors.items():
            nulls[name] += detect(past, week)
    for share in SHARES:
        for seed, new in enumerate(left_out[:INTENTS]):
            past, week, truth = draws.draw(new, share, seed)
            for name, detect in detectors.items():
                hits[name][share] += detect(past, week)
            for region in regions(past, week, LEVEL)[:1]:
                purity[share].append(float(truth[region.members].mean()))
                recall[share].append(float(truth[region.members].sum() / truth.sum()))
    for name in detectors:
        cells = "".join(f"{hits[name][share] / INTENTS:>9.0%}" for share in SHARES)
        print(f"{name:<26}{nulls[name]:>14}{cells}")
    for title, found in (("members truly of it", purity), ("of it among the members", recall)):
        cells = "".join(f"{np.mean(found[s]):>9.0%}" if found[s] else f"{'':9}" for s in SHARES)
        print(f"{title:<40}{cells}")
    if alibi:
        alibi.close()
    beside(draws)


def beside(draws: Draws) -> None:
    """Two new intents of 3 % each whose centres lie near each other: are they told as two?"""
    names = sorted(set(draws.intents))
    centres = np.stack([draws.vectors[draws.intents == name].mean(axis=0) for name in names])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    near = np.argwhere(np.triu((centres @ centres.T >= 0.5) & (centres @ centres.T < 0.68), 1))
    pairs = np.random.default_rng(5).permutation(near)[:PAIRS]
    both, topics, pure = 0, [], []
    for seed, pair in enumerate(pairs):
        new = [names[place] for place in pair]
        rng = np.random.default_rng([seed, 7])
        known = rng.permutation(np.flatnonzero(~np.isin(draws.intents, new)))
        size = round(0.03 * WEEK)
        fresh = [
            rng.choice(np.flatnonzero(draws.intents == one), size, replace=False) for one in new
        ]
        week = np.concatenate([known[REFERENCE : REFERENCE + WEEK - 2 * size], *fresh])
        found = regions(draws.vectors[known[:REFERENCE]], draws.vectors[week], LEVEL)
        kinds = [draws.intents[week[one.members]] for one in found]
        main = [max(new, key=lambda one: int((kind == one).sum())) for kind in kinds]
        both += len(set(main)) == 2
        topics.append(len(found))
        pure += [float((kind == one).mean()) for kind, one in zip(kinds, main, strict=True)]
    print(
        f"two intents beside each other, {PAIRS} pairs: both named in {both / PAIRS:.0%}, ", end=""
    )
    print(f"{np.mean(topics):.2f} topics, {np.mean(pure):.0%} of members truly of theirs")


if __name__ == "__main__":
    main()
