"""The default destination: a file or the standard output, one JSON object a line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from alerts.channels import Posted
from alerts.messages import Message


class FileChannel:
    """Append messages to ``path``; a key that is there already is never written again.

    A line is one ``write`` of at most a few kilobytes to a file opened for appending, then synced,
    so that a kill leaves a whole line or a torn last one, which `find` does not count.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn = self._path.exists() and not self._ends_whole()
        body = ("\n" if torn else "") + _line(key, message, thread)
        handle = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.write(handle, body.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        return Posted("file", key)

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        if not self._path.exists():
            return None
        needle = f'"key": "{key}"'
        with self._path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if needle in line and line.endswith("}\n"):
                    return Posted("file", key)
        return None

    def verify(self) -> str:
        return ""

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as handle:
            handle.seek(0, os.SEEK_END)
            if handle.tell() == 0:
                return True
            handle.seek(-1, os.SEEK_END)
            return handle.read(1) == b"\n"


class StandardOutput:
    """Lines for whoever reads the relay's output; what a kill cuts off may be said twice."""

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        sys.stdout.write(_line(key, message, thread))
        sys.stdout.flush()
        return Posted("file", key)

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        return None

    def verify(self) -> str:
        return "the standard output"


def _line(key: str, message: Message, thread: Posted | None) -> str:
    line = {
        "key": key,
        "thread": thread.ts if thread else None,
        "text": message.text,
        "blocks": message.blocks,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"
