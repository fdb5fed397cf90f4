"""How a page is made of a template: everything escaped, an unknown name an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse

from monitors.pages import environment
from monitors.web.drawing import interval_bar, sparkline
from monitors.web.words import instant, labels_text

HERE = Path(__file__).parent

jinja = environment(HERE / "templates")
jinja.filters.update(instant=instant, labels=labels_text)
jinja.globals.update(sparkline=sparkline, interval_bar=interval_bar)


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(jinja.get_template(template).render(**values), status_code=status)
