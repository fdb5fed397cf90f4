"""The quarter's page: one question after the other, what speaks for which answer, who decided."""

from __future__ import annotations

from pathlib import Path

from monitors.context import Context
from monitors.review.decisions import decisions
from monitors.review.quarter import Evidence, evidence
from sql.window import Window


def write_quarter(window: Window, context: Context) -> tuple[Path, list[Evidence]]:
    """Write ``quarter/<window>.html`` below the reports; its path, and what stands on it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    laid = evidence(window, context)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("quarter.html").render(
        window=window.label,
        source=context.settings.source.name,
        laid=laid,
        decided=decisions(window, context),
    )
    folder = context.settings.path(context.settings.reports) / "quarter"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{window.label}.html"
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(path), laid
