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


def test_vectors_are_those_of_sentence_transformers(store: Store) -> None:
    from sentence_transformers import SentenceTransformer

    embedder = SentenceEmbedder(store, lambda: NOON, characters=100_000)
    texts = [*TEXTS, "", "a", "🏔️🏔️", "מה שלומך", *("word " * count for count in range(1, 400, 37))]
    plain = SentenceTransformer(str(embedder._folder), device="cpu", local_files_only=True)
    wanted = plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    cosine = np.sum(embedder.embed(texts) * wanted, axis=1)
    assert cosine.min() >= 0.999


def test_a_text_has_the_same_vector_whoever_stands_beside_it(store: Store) -> None:
    texts = [*TEXTS, "", "a", *("word " * count for count in (1, 1, 2, 30, 30, 30, 200))]
    encoder = SentenceEmbedder(store, lambda: NOON)._model
    tokens = encoder.tokens(texts)
    alone = np.concatenate([encoder.vectors([one]) for one in tokens])
    for order in (range(len(texts)), reversed(range(len(texts)))):
        places = list(order)
        together = encoder.vectors([tokens[place] for place in places])
        for place, vector in zip(places, together, strict=True):
            length = np.linalg.norm(vector) * np.linalg.norm(alone[place])
            assert vector @ alone[place] >= 0.9999 * length


def test_a_batch_holds_every_text_once_by_length_and_so_many_tokens() -> None:
    tokens = [[0] * length for length in (3, 300, 3, 7, 300, *[40] * 500)]
    batches = list(module._batches(tokens))
    assert sorted(place for batch in batches for place in batch) == list(range(len(tokens)))
    lengths = [len(tokens[place]) for batch in batches for place in batch]
    assert lengths == sorted(lengths)
    sizes = [sum(len(tokens[place]) for place in batch) for batch in batches]
    assert max(sizes) <= 4_096
    assert len(sizes) == 6, "as few batches as there can be"


def test_a_device_that_is_not_there_is_explained(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="cannot use the device"):
        SentenceEmbedder(store, lambda: NOON, device="abacus").embed(["x"])


def test_altered_weights_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHA256", "0" * 64)
    with pytest.raises(ConfigurationError, match="not the official"):
        SentenceEmbedder(store, lambda: NOON).embed(["x"])


def test_a_missing_model_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ConfigurationError, match="make setup"):
        SentenceEmbedder(store, lambda: NOON).embed(["x"])
