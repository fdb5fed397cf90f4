"""What a monitor or scorer may use. `monitors.suite` builds one; nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from monitors.scorer import Scorer
from sql.store import Store

if TYPE_CHECKING:
    from monitors.logs.source import Source
    from monitors.settings import Settings


class Embedder(Protocol):
    """Texts to unit vectors, cached in the store by content and model digest."""

    @property
    def digest(self) -> str:
        """sha256 of the model's weights: vectors of two digests are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``len(texts) × dimension`` rows of unit length, in the order of ``texts``."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The tools of one run.

    Args:
        settings: the validated configuration.
        store: Tidegauge's own database.
        source: the production log, read-only.
        scorers: those configured, in the order of the configuration.
        clock: the present instant (UTC); the only clock a job may ask.
        embedder: builds or returns the embedding model; the first call loads it.
    """

    settings: Settings
    store: Store
    source: Source
    scorers: tuple[Scorer, ...]
    clock: Callable[[], datetime]
    embedder: Callable[[], Embedder]
