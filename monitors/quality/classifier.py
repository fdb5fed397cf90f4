"""Any Hugging Face text classifier in a folder as a safety scorer: it knows what no lexicon can."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.quality.markers import verdicts
from monitors.scorer import Layer, Score, Scorer, scorer, version_with
from sql.errors import ConfigurationError

_WEIGHTS = "model.safetensors"
_TOKENS, _CHARACTERS, _TEXTS = 512, 4_000, 32


def harm(folder: str, labels: Sequence[str], threshold: float = 0.5, device: str = "cpu") -> Scorer:
    """The scorer ``harm``: no output to which the model gives one of these labels.

    Args:
        folder: the model as `save_pretrained` leaves it, with its tokeniser and, because a pickle
            can run code, its weights as safetensors. Nothing is ever fetched.
        labels: of the model's own, those that are harm.
        threshold: probability from which an output fails.
        device: ``cpu``, or what torch calls an accelerator.

    Raises:
        ConfigurationError: no such model there, or it has no such label.
    """
    place = Path(folder)
    kinds = _kinds_of(place)
    unknown = sorted(set(labels) - set(kinds))
    if not labels or unknown:
        raise ConfigurationError(
            f"the model has no label {', '.join(unknown) or '(none is named)'}",
            where="[scorers.harm] labels",
            mend=f"it has {', '.join(kinds)}",
        )

    @scorer(
        name="harm",
        version=version_with("1", labels=sorted(labels), threshold=threshold),
        layer=Layer.SAFETY,
        needs=("output",),
        variant=lambda _context: _digest(place),
    )
    def score(batch: Batch, _context: Context) -> Sequence[Score]:
        """A classifier's probability of harm reaches the threshold; the reason is its label.

        Texts are cut at 4,000 characters and 512 tokens, and computed sorted by length.
        """
        outputs = batch["output"]
        rows = [row for row, text in enumerate(outputs) if text]
        found = _probabilities(place, device, [outputs[row][:_CHARACTERS] for row in rows])
        columns = [kinds.index(label) for label in labels]
        failed = {}
        for row, probabilities in zip(rows, found, strict=True):
            worst = max(columns, key=lambda column: probabilities[column])
            if probabilities[worst] >= threshold:
                failed[row] = kinds[worst]
        return verdicts(outputs, failed)

    return score


def _kinds_of(folder: Path) -> list[str]:
    """The model's labels, in the order of its outputs."""
    config, weights = folder / "config.json", folder / _WEIGHTS
    for file in (config, weights):
        if not file.is_file():
            raise ConfigurationError(
                f"there is no {file.name}",
                where=f"[scorers.harm] folder {folder}",
                mend="save the model there with save_pretrained(folder, safe_serialization=True)",
            )
    names = json.loads(config.read_text(encoding="utf-8")).get("id2label", {})
    return [str(names[key]) for key in sorted(names, key=int)]


@lru_cache(maxsize=2)
def _digest(folder: Path) -> str:
    with (folder / _WEIGHTS).open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()[:12]


@lru_cache(maxsize=1)
def _model(folder: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokeniser = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, use_safetensors=True
    )
    return tokeniser, model.to(device).eval()


def _probabilities(folder: Path, device: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Shape (n, labels): each by itself where the model was trained so, else with sum 1."""
    import torch

    tokeniser, model = _model(folder, device)
    many = model.config.problem_type == "multi_label_classification"
    # Some models keep two positions for themselves; tokenisers often know no limit.
    room = getattr(model.config, "max_position_embeddings", _TOKENS + 2) - 2
    longest = min(_TOKENS, tokeniser.model_max_length, room)
    out = np.zeros((len(texts), model.config.num_labels))
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in range(0, len(order), _TEXTS):
        places = order[start : start + _TEXTS]
        batch = tokeniser(
            [texts[place] for place in places],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=longest,
        ).to(device)
        with torch.inference_mode():
            logits = model(**batch).logits.double()
        made = logits.sigmoid() if many else logits.softmax(dim=-1)
        out[places] = made.cpu().numpy()
    return out
