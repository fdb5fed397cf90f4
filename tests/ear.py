"""An "evil" server for tests: it hears whatever reaches it, in whatever protocol."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Ear:
    """A listening socket below HTTP, so that no method, upgrade, TLS hello or mere connection
    goes unheard.

    Args:
        listener: bound and listening.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.heard: list[str] = []
        self._listener = listener
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        place = len(self.heard)
        self.heard.append("a connection")  # counts even if nothing is ever said on it
        connection.settimeout(5)
        with connection, suppress(OSError):
            first = connection.recv(4096).partition(b"\r\n")[0]
            self.heard[place] = first.decode("latin-1") or "a connection"
            connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


@contextmanager
def listening() -> Iterator[Ear]:
    """An ear on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield Ear(listener)
