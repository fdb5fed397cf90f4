"""The sampled inputs that a week's look at embeddings is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitors.context import Context
from monitors.logs.sampled import read_sample
from sql.window import Window


@dataclass(frozen=True, slots=True)
class Texts:
    """Row ids and their (redacted) inputs, in the same order."""

    ids: list[str]
    inputs: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def sampled_inputs(windows: Sequence[Window], context: Context) -> Texts:
    """Inputs with a text, at most ``[drift] embedding_rows``, chosen by its seed: always the same.

    Rows whose text retention has removed are left out.
    """
    limit = context.settings.drift.embedding_rows
    ids: list[str] = []
    inputs: list[str] = []
    for window in windows:
        batch = read_sample(window, context).batch
        for item, text in zip(batch["id"], batch["input"], strict=True) if len(batch) else ():
            if text:
                ids.append(item)
                inputs.append(text)
    if len(ids) > limit:
        generator = np.random.default_rng(context.settings.drift.seed)
        chosen = np.sort(generator.permutation(len(ids))[:limit])
        ids, inputs = [ids[i] for i in chosen], [inputs[i] for i in chosen]
    return Texts(ids, inputs)
