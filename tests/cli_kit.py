"""The real program, started as a person starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``tidegauge <words>`` in a folder, without the settings of whoever runs the tests; whatever
    happens, no traceback is shown."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEGAUGE_", "SLACK_"))}
    done = subprocess.run(
        [sys.executable, "-m", "monitors.cli", *words],
        cwd=folder,
        env={**clean, "COLUMNS": "200", "USER": "ada", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done
