"""alibi-detect's MMD between two files of vectors: ``.venv-peers/bin/python …`` runs it.

Each line in names two `.npy` files (reference, current); each line out is its p-value. It imports
nothing of ours: its environment has other versions of everything.
"""

from __future__ import annotations

import contextlib
import sys

import numpy as np


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):
        from alibi_detect.cd import MMDDrift
    for line in sys.stdin:
        reference, current = (np.load(name, allow_pickle=False) for name in line.split())
        with contextlib.redirect_stdout(sys.stderr):
            found = MMDDrift(reference, backend="pytorch").predict(current)
        print(float(found["data"]["p_val"]), flush=True)


if __name__ == "__main__":
    main()
