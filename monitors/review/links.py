"""Personal links that expire, and form tokens: both are signed with a secret of this house."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from monitors.context import Context

_VARIABLE = "TIDEGAUGE_REVIEW_SECRET"


@dataclass(frozen=True, slots=True)
class Person:
    """Who looks at a page; ``admin`` may see progress, agreement and what people disagree on."""

    name: str
    admin: bool = False


def secret_of(context: Context) -> bytes:
    """From the environment, else from a file that only its owner may read, made at first use."""
    if value := os.environ.get(_VARIABLE):
        return hashlib.sha256(value.encode()).digest()
    path = context.settings.path(context.settings.review.folder) / ".secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    _made_once(path)
    return bytes.fromhex(path.read_text(encoding="ascii"))


def _made_once(path: Path) -> None:
    """A link to a finished file: whoever comes second keeps the first one's, and it is whole."""
    if path.exists():
        return
    partial = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    with suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()


def signed(person: Person, expires: datetime, secret: bytes) -> str:
    """A token that says who somebody is until ``expires``."""
    facts = json.dumps([person.name, person.admin, int(expires.timestamp())])
    body = base64.urlsafe_b64encode(facts.encode()).decode().rstrip("=")
    return f"{body}.{_signature('link', body, secret)}"


def verified(token: str, now: datetime, secret: bytes) -> Person | None:
    """Whom a token speaks of; None if it is forged, broken or too old."""
    body, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature("link", body, secret).encode()):
        return None
    name, admin, expires = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return Person(name, admin) if now.timestamp() < expires else None


def form_token(person: Person, subject: str, secret: bytes) -> str:
    """What a form carries, so that no other site can post in this person's name.

    Args:
        subject: what the form is about, such as the item: a form that was made for one item
            cannot be taken for another, should the queue have changed meanwhile.
    """
    return _signature("form", f"{person.name}\0{subject}", secret)


def _signature(purpose: str, body: str, secret: bytes) -> str:
    return hmac.new(secret, f"{purpose}\0{body}".encode(), hashlib.sha256).hexdigest()
