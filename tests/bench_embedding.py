"""How fast texts become vectors, beside plain `SentenceTransformer.encode`, in turns.

Real texts of mixed length, half of them CLINC150's queries (some ten tokens), half HaluEval's
questions and answers (some fifty, up to the model's 256). Each turn embeds eight hundred, ours with
an empty cache, with one that holds 70 % of them, and with one that holds all. ``make
bench-embedding``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from monitors.drift.embedder import SentenceEmbedder
from sql.store import Store
from tests.bench_topics import queries
from tests.conftest import ROOT
from tests.logs_kit import NOW

TEXTS, TURNS, RECUR, CUT = 800, 3, 0.7, 2_000
Vectors = NDArray[np.float32]


def mixed(folder: Path) -> list[str]:
    """Different texts, the short and the long in no order."""
    lines = (folder / "halueval" / "general_3000.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    long = [row[name] for row in rows for name in ("user_query", "chatgpt_response")]
    rng = np.random.default_rng(2)
    sides = [sorted(set(side)) for side in (queries(folder)[0], long)]
    chosen = [side[i] for side in sides for i in rng.permutation(len(side))[: TEXTS // 2]]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def timed(function: Callable[[], Vectors]) -> tuple[float, Vectors]:
    start = time.perf_counter()
    vectors = np.asarray(function(), dtype=np.float32)
    return time.perf_counter() - start, vectors


def main() -> None:
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "clinc150").is_dir():
        sys.exit(f"the real data is not at {folder}: set TIDEGAUGE_REAL_DATA")
    texts = mixed(folder)
    names = ("plain", "cold", "70 % known", "all known")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        first = SentenceEmbedder(Store.open(f"sqlite:///{scratch}/0.db"), lambda: NOW)
        first.embed(texts[:50])
        encoder = first._model  # one load for all turns: a process loads it once, too
        plain = SentenceTransformer(str(first._folder), device="cpu", local_files_only=True)
        plain.encode(texts[:50])
        for turn in range(TURNS):
            took, wanted = timed(lambda: plain.encode(texts, show_progress_bar=False))
            seconds["plain"].append(took)
            for name, known in (("cold", 0.0), ("70 % known", RECUR), ("all known", 1.0)):
                place = f"sqlite:///{scratch}/{turn}-{known}.db"
                embedder = SentenceEmbedder(Store.open(place), lambda: NOW)
                embedder.__dict__["_model"], embedder.__dict__["digest"] = encoder, first.digest
                embedder.embed(texts[: round(known * TEXTS)])
                took, got = timed(lambda one=embedder: one.embed(texts))  # type: ignore[misc]
                seconds[name].append(took)
        cut = plain.encode([text[:CUT] for text in texts], show_progress_bar=False)
    characters = sum(map(len, texts)) / TEXTS
    kind = next(encoder.transformer.parameters()).dtype
    print(f"{TEXTS:,} real texts of {characters:.0f} characters on average; ours in {kind}")
    for name in names:
        took = median(seconds[name])
        print(
            f"{name:<12}{TEXTS / took:>9,.0f} texts/s{median(seconds['plain']) / took:>8.1f} times"
        )
    for name, other in (("cut alike", cut), ("whole texts", wanted)):
        cosine = np.sum(got * other, axis=1) / np.linalg.norm(other, axis=1)
        least, low = cosine.min(), np.quantile(cosine, 0.01)
        print(f"cosine to plain float32, {name}: at least {least:.5f}, 99 % above {low:.5f}")


if __name__ == "__main__":
    main()
