"""The trained judge beside simpler ones, on answers that people judged: ``make bench-judge``.

HaluEval: 3,000 real answers of ChatGPT, with a person's word whether each hallucinates. Five
splits: each judge learns from 1,000 answers and is asked about the other 2,000.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monitors.context import Context
from monitors.drift.embedder import SentenceEmbedder
from monitors.quality.judge_training import train_judge
from monitors.review.golden import Golden, import_golden
from sql.store import Store
from tests.conftest import ROOT
from tests.logs_kit import NOW, context_over

SPLITS, LEARNED = 5, 1_000
Array = NDArray[np.float64]
# From what was learned from and what is asked about: the chance that each of these is good.
Judge = Callable[[pd.DataFrame, pd.DataFrame], Array]


def halueval(folder: Path) -> pd.DataFrame:
    """query, answer, good (1: no hallucination)."""
    lines = (folder / "halueval" / "general_3000.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return pd.DataFrame(
        {
            "query": [row["user_query"] for row in rows],
            "answer": [row["chatgpt_response"] for row in rows],
            "good": [int(row["hallucination"].strip() == "no") for row in rows],
        }
    )


def ours(embedder: SentenceEmbedder) -> Judge:
    """What `tidegauge judge train` makes of a golden set."""

    def judge(learned: pd.DataFrame, asked: pd.DataFrame) -> Array:
        with tempfile.TemporaryDirectory() as name:
            store = Store.open(f"sqlite:///{name}/store.db")
            with context_over(store, f"sqlite:///{name}/log.db") as bare:
                context = Context(
                    bare.settings, store, bare.source, (), bare.clock, lambda: embedder
                )
                import_golden(
                    (
                        Golden(row.query, row.answer, float(row.good))
                        for row in learned.itertuples()
                    ),
                    context,
                )
                made = train_judge(context)
                return made.probabilities(
                    list(asked["query"]), list(asked["answer"]), [None] * len(asked), embedder
                )

    return judge


def always_good(_learned: pd.DataFrame, asked: pd.DataFrame) -> Array:
    return np.ones(len(asked))


def words(learned: pd.DataFrame, asked: pd.DataFrame) -> Array:
    """TF-IDF of query and answer, logistic regression."""
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=10, max_iter=2_000),
    )
    model.fit(learned["query"] + " [SEP] " + learned["answer"], learned["good"])
    return np.asarray(model.predict_proba(asked["query"] + " [SEP] " + asked["answer"])[:, 1])


def embeddings(embedder: SentenceEmbedder) -> Judge:
    """MiniLM vectors of query and answer, logistic regression."""

    def both(frame: pd.DataFrame) -> Array:
        sides = (embedder.embed(list(frame[name])) for name in ("query", "answer"))
        return np.hstack([np.asarray(side, float) for side in sides])

    def judge(learned: pd.DataFrame, asked: pd.DataFrame) -> Array:
        model = LogisticRegression(max_iter=5_000).fit(both(learned), learned["good"])
        return np.asarray(model.predict_proba(both(asked))[:, 1])

    return judge


def evidently(learned: pd.DataFrame, asked: pd.DataFrame) -> Array:
    """Evidently's text descriptors that need no download, logistic regression."""
    from evidently import DataDefinition, Dataset
    from evidently.descriptors import (
        NonLetterCharacterPercentage,
        SentenceCount,
        TextLength,
        WordCount,
    )

    def described(frame: pd.DataFrame) -> pd.DataFrame:
        kinds = (TextLength, WordCount, SentenceCount, NonLetterCharacterPercentage)
        asks = [
            kind(name, alias=f"{kind.__name__}/{name}")
            for kind in kinds
            for name in ("query", "answer")
        ]
        texts = frame[["query", "answer"]].reset_index(drop=True)
        definition = DataDefinition(text_columns=["query", "answer"])
        data = Dataset.from_pandas(texts, data_definition=definition, descriptors=asks)
        return data.as_dataframe().drop(columns=["query", "answer"])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    model.fit(described(learned), learned["good"])
    return np.asarray(model.predict_proba(described(asked))[:, 1])


def figures(truth: Array, said: Array) -> dict[str, float]:
    """AUC; at ½: agreement, kappa and recall of the bad; recall when the doubtful fifth is read."""
    passed, bad = said >= 0.5, truth == 0
    # Ties (a judge that always says the same) are read in no order: as many as luck finds.
    order = np.lexsort((np.random.default_rng(0).random(len(said)), said))
    read = order[: round(bad.mean() * len(said))]
    return {
        "AUC": float(roc_auc_score(truth, said)),
        "agreement": float((passed == truth).mean()),
        "kappa": float(cohen_kappa_score(truth, passed)),
        "recall": float((~passed[bad]).mean()),
        "read": float(bad[read].sum() / bad.sum()),
    }


def main() -> None:
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "halueval").is_dir():
        sys.exit(f"the real data is not at {folder}: set TIDEGAUGE_REAL_DATA")
    frame = halueval(folder)
    with tempfile.TemporaryDirectory() as name:
        embedder = SentenceEmbedder(Store.open(f"sqlite:///{name}/v.db"), lambda: NOW)
        judges: dict[str, Judge] = {
            "Tidegauge, trained": ours(embedder),
            "MiniLM + logistic": embeddings(embedder),
            "TF-IDF + logistic": words,
            "evidently's descriptors": evidently,
            "always good": always_good,
        }
        found: dict[str, list[dict[str, float]]] = {key: [] for key in judges}
        for split in range(SPLITS):
            mixed = frame.sample(frac=1, random_state=split)
            learned, asked = mixed[:LEARNED], mixed[LEARNED:]
            for key, judge in judges.items():
                found[key].append(figures(asked["good"].to_numpy(), judge(learned, asked)))
    print(f"{1 - frame['good'].mean():.1%} of {len(frame):,} answers hallucinate; {SPLITS} splits")
    head = ("AUC", "lowest", "agreement", "kappa", "recall", "read")
    print(f"{'judge':<26}" + "".join(f"{name:>11}" for name in head))
    for key, runs in found.items():
        cells = [mean(run["AUC"] for run in runs), min(run["AUC"] for run in runs)]
        cells += [mean(run[name] for run in runs) for name in head[2:]]
        print(f"{key:<26}" + "".join(f"{cell:>11.3f}" for cell in cells))
    print("recall: of the hallucinations, at ½; read: when the most doubtful are read, as many as")
    print("there are hallucinations")


if __name__ == "__main__":
    main()
