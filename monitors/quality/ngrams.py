"""Texts as counts of hashed runs of letters: no vocabulary, no model to load, linear in the text.

Letters lose their case, digits become 0 and ASCII signs spaces; then each run of `ORDERS` bytes
falls into one of `BUCKETS` (the hashing trick, Weinberger et al. 2009). A text's counts are divided
by the root of its length, which is about their norm: most runs stand there once.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Raise it whenever a text would fall into other buckets: models of another version do not load.
NGRAMS_VERSION = 1

ORDERS = (3, 5)
_BITS = 17
BUCKETS = 1 << _BITS
_FROM, _BY = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)
# Texts are hashed together until they have so many bytes: more would not stay near the processor.
_BLOCK = 1 << 16
_PAD = bytes(max(ORDERS) - 1)
_PLAIN = bytes(
    ord(chr(code).lower())
    if chr(code) in string.ascii_letters
    else ord("0")
    if chr(code) in string.digits
    else code
    if code > 127
    else ord(" ")
    for code in range(256)
)

Array = NDArray[np.float64]


def weighed(texts: Sequence[str], weights: NDArray[np.float32]) -> Array:
    """Shape (texts,): each text's counts times ``weights`` (shape (BUCKETS,)), without a matrix.

    A text's number does not depend on the texts beside it.
    """
    out = np.zeros(len(texts))
    for rows, starts, lengths, buckets in _blocks(texts):
        edges = np.column_stack([starts, starts + lengths]).ravel()
        total = sum(np.add.reduceat(weights[each], edges)[::2] for each in buckets)
        out[rows] = total / np.sqrt(lengths)
    return out


def matrix(texts: Sequence[str]) -> Any:
    """Shape (texts, BUCKETS), sparse: the same numbers, to learn from."""
    from scipy import sparse

    rows, columns, values = [], [], []
    for places, starts, lengths, buckets in _blocks(texts):
        within = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(
            int(lengths.sum())
        )
        for each in buckets:
            columns.append(each[within])
            rows.append(np.repeat(places, lengths))
            values.append(np.repeat(1 / np.sqrt(lengths), lengths))
    shape = (len(texts), BUCKETS)
    if not rows:
        return sparse.csr_matrix(shape)
    parts = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.coo_matrix(parts, shape=shape).tocsr()


def _blocks(
    texts: Sequence[str],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[Any]]]:
    """Of some texts at a time: their rows, starts and lengths, and each order's bucket by place."""
    rows: list[int] = []
    parts: list[bytes] = []
    size = 0
    for row, text in enumerate(texts):
        part = text.encode("utf-8", "surrogatepass").translate(_PLAIN).strip()
        if not part:
            continue
        rows.append(row)
        parts.append(part)
        size += len(part)
        if size >= _BLOCK:
            yield _hashed(rows, parts)
            rows, parts, size = [], [], 0
    if parts:
        yield _hashed(rows, parts)


def _hashed(rows: list[int], parts: list[bytes]) -> Any:
    lengths = np.array([len(part) for part in parts])
    # Zeros between texts, so that no run spans two: one begins at every byte, the last included,
    # and one more behind it, for the sums' last edge.
    whole = np.frombuffer(_PAD.join(parts) + _PAD + b"\0", dtype=np.uint8).astype(np.uint32)
    starts = np.cumsum(lengths + len(_PAD)) - lengths - len(_PAD)
    count = len(whole) - len(_PAD)
    code = np.zeros(count, dtype=np.uint32)
    buckets = []
    for place in range(max(ORDERS)):
        code = code * _FROM + whole[place : place + count]
        if place + 1 in ORDERS:
            mixed = (code ^ (code >> np.uint32(15))) * _BY
            buckets.append((mixed >> np.uint32(32 - _BITS)).astype(np.intp))
    return np.array(rows), starts, lengths, buckets
