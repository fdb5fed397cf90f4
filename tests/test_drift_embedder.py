"""The bundled model: right weights, right vectors, each text once, nothing that stops a batch."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import func, select

from monitors.drift import embedder as module
from monitors.drift.embedder import SentenceEmbedder
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import embedding

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXTS = [
    "Where is my parcel?",
    "When will my package arrive?",
    "How do I waterproof a tent?",
]
POISON = ["", "\x00", "\ud800 broken", "🏔️🏔️", "מה שלומך", None, "long " * 200_000]


def test_near_meanings_are_near_and_each_text_is_embedded_once(store: Store) -> None:
    embedder = SentenceEmbedder(store, lambda: NOON)
    vectors = embedder.embed([*TEXTS, TEXTS[0], *POISON])
    assert vectors.shape == (len(TEXTS) + 1 + len(POISON), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > far + 0.2
    assert np.array_equal(vectors[0], vectors[3])
    again = SentenceEmbedder(store, lambda: NOON)
    again.__dict__["_model"] = None  # a cached text must not need the model
    assert np.array_equal(again.embed(TEXTS), vectors[:3])
    with store.connect() as connection:
        count = connection.scalar(select(func.count()).select_from(embedding))
    # NUL becomes a blank; the empty text and None are the same text.
    assert count == len(TEXTS) + len(POISON) - 1


def test_altered_weights_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHA256", "0" * 64)
    with pytest.raises(ConfigurationError, match="not the official"):
        SentenceEmbedder(store, lambda: NOON).embed(["x"])


def test_a_missing_model_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ConfigurationError, match="make setup"):
        SentenceEmbedder(store, lambda: NOON).embed(["x"])
