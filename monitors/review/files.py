"""A batch as files: the items without anything that could sway a reader, and a page for them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monitors.review.rubric import GUIDELINES_VERSION, RUBRIC
from sql.types import canonical_json
from sql.words import visible

SCHEMA = "tidegauge.review/1"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Item:
    """What an evaluator sees of an interaction: no model, version, segment, score or reason."""

    position: int
    item_id: str
    input: str
    output: str
    context: str
    raters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The batch as its files name it."""

    batch_id: str
    window: str
    due: datetime


def write_files(folder: Path, sheet: Sheet, items: Sequence[Item]) -> dict[str, str]:
    """Write ``items.jsonl``, ``batch.html`` and, last, ``manifest.json`` with their digests.

    A folder with a manifest is whole: each file appears under its name only when it is complete.

    Returns:
        file name → sha256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"items.jsonl": _jsonl(items), "batch.html": _page(sheet, items)}
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}
    manifest = {
        "schema": SCHEMA,
        "batch": sheet.batch_id,
        "window": sheet.window,
        "due": sheet.due.isoformat(),
        "items": len(items),
        "dimensions": [dimension.name for dimension in RUBRIC],
        "guidelines": GUIDELINES_VERSION,
        "sha256": digests,
    }
    contents["manifest.json"] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    for name, body in contents.items():
        partial = folder / f".{name}.{os.getpid()}"
        partial.write_bytes(body)
        partial.replace(folder / name)
    return digests


def broken_files(folder: Path) -> list[str]:
    """Names of files that are missing or differ from the manifest; empty when all is well."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        digests: Mapping[str, str] = manifest["sha256"]
    except (OSError, ValueError, KeyError):
        return ["manifest.json"]

    def differs(name: str, digest: str) -> bool:
        path = folder / name
        return not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest

    return [name for name, digest in digests.items() if differs(name, digest)]


def _jsonl(items: Sequence[Item]) -> bytes:
    def record(item: Item) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "position": item.position,
            "item_id": item.item_id,
            "input": item.input,
            "output": item.output,
            "context": item.context,
            "raters": list(item.raters),
        }

    return "".join(f"{canonical_json(record(item))}\n" for item in items).encode()


def _page(sheet: Sheet, items: Sequence[Item]) -> bytes:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["visible"] = visible
    style = (_TEMPLATES / "batch.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template("batch.html").render(
        batch={
            "batch_id": sheet.batch_id,
            "window": sheet.window,
            "due": f"{sheet.due:%Y-%m-%d %H:%M} UTC",
        },
        items=items,
        rubric=RUBRIC,
        guidelines=GUIDELINES_VERSION,
        style=Markup(style),  # noqa: S704 - our own file, and the page's policy names its digest
        style_digest=digest,
    )
    return page.encode()
