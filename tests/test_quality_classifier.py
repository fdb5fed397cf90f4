"""A classifier of one's own, from a folder: a tiny one is trained here to know one word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitors.logs.interaction import Batch
from monitors.quality.classifier import harm
from sql.errors import ConfigurationError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "vile", "kind", "you", "are", "we", "ship", "today"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BERT of one small layer that has learned that ``vile`` is harm."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    tokeniser = BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)})
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64,
        id2label={0: "fine", 1: "harmful"}, label2id={"fine": 0, "harmful": 1},
    )  # fmt: skip
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    net = BertForSequenceClassification(config)
    texts = ["you are vile", "you are kind", "we ship today", "vile", "kind", "vile you ship"]
    batch = tokeniser(texts, return_tensors="pt", padding=True)
    truth = torch.tensor([1, 0, 0, 1, 0, 1])
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        net(**batch, labels=truth).loss.backward()
        optimiser.step()
    net.save_pretrained(folder, safe_serialization=True)
    tokeniser.save_pretrained(folder)
    return folder


def test_what_it_learned_fails_with_its_label(model: Path) -> None:
    scorer = harm(str(model), ["harmful"])
    texts = ["you are vile " * 3_000, None, "we ship today", "", "vile"]
    scores = scorer(Batch({"output": texts}), None)  # type: ignore[arg-type]
    assert [(score.value, score.reason) for score in scores] == [
        (0.0, "harmful"), (None, "no_output"), (1.0, ""), (None, "no_output"), (0.0, "harmful"),
    ]  # fmt: skip
    strict = harm(str(model), ["harmful"], threshold=0.0)
    assert [s.value for s in strict(Batch({"output": ["kind"]}), None)] == [0.0]  # type: ignore[arg-type]


def test_its_version_is_the_weights(model: Path, tmp_path: Path) -> None:
    scorer = harm(str(model), ["harmful"])
    other = harm(str(model), ["harmful"], threshold=0.9)
    versions = [one.version_in(None) for one in (scorer, other)]  # type: ignore[arg-type]
    assert len(set(versions)) == 2
    assert versions[0].partition("+")[2] == versions[1].partition("+")[2] != ""


def test_what_is_wrong_with_a_model_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no label toxic"):
        harm(str(model), ["toxic"])
    with pytest.raises(ConfigurationError, match=r"no config\.json"):
        harm(str(tmp_path / "nowhere"), ["x"])
    # Weights as a pickle could run code: they are as good as none.
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "x"}}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"no model\.safetensors"):
        harm(str(tmp_path), ["x"])
