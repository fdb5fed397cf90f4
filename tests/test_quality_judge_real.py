"""The trained judge on real answers with real verdicts (HaluEval)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from monitors.drift.embedder import SentenceEmbedder
from monitors.quality.judge_training import train_judge
from monitors.review.golden import Golden, import_golden
from sql.store import Store
from tests.logs_kit import context_over

TRAINED, SCORED = 600, 400


@pytest.mark.slow
def test_the_judge_beats_chance_on_answers_it_never_saw(real_data: Path, tmp_path: Path) -> None:
    from sklearn.metrics import roc_auc_score

    lines = (real_data / "halueval" / "general_3000.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines[: TRAINED + SCORED]]
    examples = [
        Golden(r["user_query"], r["chatgpt_response"], float(r["hallucination"] == "no"))
        for r in rows
    ]
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    with context_over(store, f"sqlite:///{tmp_path}/none.db") as context:
        embedder = SentenceEmbedder(store, context.clock)
        context = replace(context, embedder=lambda: embedder)
        import_golden({golden.key: golden for golden in examples[:TRAINED]}.values(), context)
        judge = train_judge(context)
        unseen = examples[TRAINED:]
        found = judge.probabilities(
            [golden.input for golden in unseen],
            [golden.output for golden in unseen],
            [None] * len(unseen),
            embedder,
        )
    truth = [golden.label for golden in unseen]
    assert roc_auc_score(truth, found) > 0.62
    # Calibrated: as many are called good as are.
    assert abs(found.mean() - sum(truth) / len(truth)) < 0.06
    store.close()
