"""The default destination: a file, one JSON object a line."""

from __future__ import annotations

import json
import os
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
        line = {
            "key": key,
            "thread": thread.ts if thread else None,
            "text": message.text,
            "blocks": message.blocks,
        }
        torn = self._path.exists() and not self._ends_whole()
        body = ("\n" if torn else "") + json.dumps(line, ensure_ascii=False) + "\n"
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

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as handle:
            handle.seek(0, os.SEEK_END)
            if handle.tell() == 0:
                return True
            handle.seek(-1, os.SEEK_END)
            return handle.read(1) == b"\n"
