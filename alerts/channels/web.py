"""One POST to a configured address, and what its outcome means. Nothing is repeated here."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError
from alerts.channels.slack import retry_after

TIMEOUT_S = 10
_PATIENCE_S = 30
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status and the first kilobytes."""

    status: int
    body: str


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    private: bool = False,
    method: str = "POST",
) -> Answer:
    """Send once to the address that the name stands for now; a redirect is not followed.

    Args:
        private: the address may be in one's own network, and plain http.

    Raises:
        NotSentError: no connection was made, or 429.
        AmbiguousError: the connection broke after that, or the server says 5xx.
        MisconfiguredError: an address that is not allowed; a redirect or 4xx other than 429 is for
            the caller to judge.
    """
    import httpx

    host, address = _resolved(url, private)
    target = httpx.URL(url).copy_with(host=address)
    # The name is looked up once and connected to as looked at; TLS is still checked by the name.
    extensions = {"sni_hostname": host}
    sent = {**headers, "Host": httpx.URL(url).netloc.decode()}
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream(
                method, target, content=body, headers=sent, extensions=extensions
            ) as answer,
        ):
            text = _read(answer)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
        raise NotSentError("unreachable") from None
    except (httpx.TimeoutException, httpx.TransportError):
        raise AmbiguousError("connection_broke") from None
    if answer.status_code == 429:
        raise NotSentError("ratelimited", retry_after(answer.headers.get("retry-after")))
    if answer.status_code >= 500:
        raise AmbiguousError(f"http_{answer.status_code}")
    return Answer(answer.status_code, text)


def _read(answer: object) -> str:
    """The beginning of the body; a server that drips is left at once."""
    kept, until = b"", time.monotonic() + _PATIENCE_S
    for piece in answer.iter_bytes():  # type: ignore[attr-defined]
        kept += piece
        if len(kept) > _LARGEST or time.monotonic() > until:
            break
    return kept[:_LARGEST].decode("utf-8", "replace")


def _resolved(url: str, private: bool) -> tuple[str, str]:
    """(name, address) to connect to.

    Raises:
        NotSentError: the name has no address now.
        MisconfiguredError: not https, or an address within one's own network.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise MisconfiguredError("not_https")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError:
        raise MisconfiguredError("bad_address") from None
    except OSError:
        raise NotSentError("unreachable") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not private and any(not ipaddress.ip_address(one).is_global for one in addresses):
        raise MisconfiguredError("private_address")
    return host, addresses[0]
