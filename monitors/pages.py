"""Pages as files: what a template is given is escaped, and a reader never meets half a page."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sql.words import between, number, visible

if TYPE_CHECKING:
    from jinja2 import Environment

    from monitors.settings import Settings

_HERE = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """Templates of these folders, the first that has a name; ``page.html`` is the head of a page
    without script, font or network. An unknown name in a template is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([*folders, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, visible=visible)
    made.globals.update(between=between)
    return made


def render(template: Path, **values: Any) -> str:
    """The template's text with its values in it."""
    return environment(template.parent).get_template(template.name).render(**values)


def write(path: Path, text: str) -> Path:
    """Put a page in its place at once, whatever else writes it now; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(path)


def reports(settings: Settings, folder: str = "") -> Path:
    """The folder of the reports, or one below it."""
    return settings.path(settings.reports) / folder
