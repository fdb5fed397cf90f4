"""How a page is made of a template: everything escaped, an unknown name an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitors.web.drawing import interval_bar, sparkline
from monitors.web.words import instant, labels_text
from sql.words import between, number

HERE = Path(__file__).parent

jinja = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
jinja.filters.update(number=number, instant=instant, labels=labels_text)
jinja.globals.update(between=between, sparkline=sparkline, interval_bar=interval_bar)


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(jinja.get_template(template).render(**values), status_code=status)
