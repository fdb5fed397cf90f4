"""Links that a model made up: to hosts that nobody named, or that cannot be. No network is asked.

RE2 cuts the links out of the texts that hold any; what is a host is decided by the rules
for host names and by IANA's list of top-level domains. All of it in time linear in the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.quality.first_pass import LINKS, outputs_with
from monitors.quality.markers import verdicts
from monitors.scorer import Layer, Score, scorer, version_with

UNKNOWN, NO_SUCH = "unknown_host", "no_such_host"

# What opens a link, what may be its host (and user and port), and what ends that.
_LINK = (
    r"(?i)\b((?:https?|ftp)://|www\.)"
    r"([^\s/?#\\\"'`<>(){}\[\]|,;^$%*&=«»“”‘’„‹›、。，）】》」』；：！？…]*)([{\[<$%(]?)"
)
_HOST = r"[\pL\pN_-]+(?:\.+[\pL\pN_-]+)+"
_LABEL = re.compile(r"\w(?:[\w-]{0,61}\w)?")
_EDGES = ".:!_~-@"
# Exist, though not in the list: registered for special uses (RFC 6761 and after), or delegated
# since the list was made.
_ALSO_TEXT = "alt arpa example internal invalid kids local localhost music onion test xn--4dbrk0ce"
_ALSO = frozenset(_ALSO_TEXT.split())
_LONGEST = 253


def _version(context: Context) -> str:
    hosts = sorted(_configured(context))
    return version_with("hosts", hosts=hosts) if hosts else "shape"


@scorer(
    name="links",
    version="1",
    layer=Layer.SAFETY,
    needs=("output",),
    reads=("input", "context"),
    variant=_version,
)
def links(batch: Batch, context: Context) -> Sequence[Score]:
    """Links (``https://…``, ``ftp://…``, ``www.…``) to hosts that neither the row's input nor its
    context names.

    ``no_such_host``: the host cannot be: a label, an address or a top-level domain that does not
    exist. ``unknown_host``: it is not under one of ``[quality] link_hosts``; without such a list
    that is not asked, because a model may know the web. Hosts of one's own machine or network, and
    what is visibly to be filled in (``https://{host}/``), are no links.
    """
    allowed = _configured(context)
    outputs = batch["output"]
    failed = {}
    for row in outputs_with(LINKS, batch):
        given = [batch[name][row] for name in ("input", "context") if name in batch]
        if reason := _judged(outputs[row], given, allowed):
            failed[row] = reason
    return verdicts(outputs, failed)


def _configured(context: Context) -> frozenset[str]:
    hosts = context.settings.quality.link_hosts
    return frozenset(_plain(host) for host in hosts)


def _judged(text: str, given: Sequence[str | None], allowed: frozenset[str]) -> str:
    """The reason why the text's links fail; empty when they do not."""
    doubtful = {}
    for host in hosts_in(text):
        if not exists(host):
            doubtful[host] = NO_SUCH
        elif allowed and not _is_own(host) and not _is_under(host, allowed):
            doubtful[host] = UNKNOWN
    if not doubtful:
        return ""
    named = {_plain(host) for part in given if part for host in _mentions(part)}
    left = {reason for host, reason in doubtful.items() if _plain(host) not in named}
    return NO_SUCH if NO_SUCH in left else UNKNOWN if left else ""


def hosts_in(text: str) -> Iterator[str]:
    """The hosts of a text's links in lower case, each as often as it stands there."""
    for prefix, rest, after in _pattern(_LINK).findall(_bytes(text)):
        host = rest.decode().rpartition("@")[2].partition(":")[0].lower()
        cut = host.endswith((".", "-", "_")) or not host
        host = host.rstrip(_EDGES).lstrip("_~.")
        # https://{host}/, https://api.<region>.example.com: a pattern that a person is to fill in.
        if not host or (after and cut) or after == b"{":
            continue
        yield f"www.{host}" if prefix.lower() == b"www." else host


def exists(host: str) -> bool:
    """Could there be such a host? A name without a dot is one of somebody's own network."""
    labels = host.split(".")
    if len(host) > _LONGEST or not all(map(_LABEL.fullmatch, labels)):
        return False
    if labels[-1].isdigit():
        return _address(host) is not None
    return len(labels) == 1 or _ascii(labels[-1]) in _top_level()


def _is_own(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _is_under(host: str, allowed: frozenset[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[place:]) in allowed for place in range(len(labels)))


def _plain(host: str) -> str:
    return host.lower().strip(_EDGES).removeprefix("www.")


def _mentions(text: str) -> Iterator[str]:
    """Everything in a text that looks like a host, with or without a link around it."""
    yield from hosts_in(text)
    for found in _pattern(_HOST).findall(_bytes(text)):
        yield found.decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@cache
def _pattern(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return re2.compile(pattern.encode(), options)


@cache
def _top_level() -> frozenset[str]:
    from linkify_it.tlds import TLDS

    return _ALSO | {name.lower() for name in TLDS}


@lru_cache(maxsize=4_096)
def _ascii(label: str) -> str:
    try:
        return label if label.isascii() else label.encode("idna").decode()
    except UnicodeError:
        return ""
