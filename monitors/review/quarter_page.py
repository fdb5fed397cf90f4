"""The quarter's page: one question after the other, what speaks for which answer, who decided."""

from __future__ import annotations

from pathlib import Path

from monitors import pages
from monitors.context import Context
from monitors.review.decisions import decisions
from monitors.review.quarter import Evidence, evidence
from sql.window import Window

_TEMPLATE = Path(__file__).parent / "templates" / "quarter.html"


def write_quarter(window: Window, context: Context) -> tuple[Path, list[Evidence]]:
    """Write ``quarter/<window>.html`` below the reports; its path, and what stands on it."""
    laid = evidence(window, context)
    text = pages.render(
        _TEMPLATE,
        window=window.label,
        source=context.settings.source.name,
        laid=laid,
        decided=decisions(window, context),
    )
    path = pages.reports(context.settings, "quarter") / f"{window.label}.html"
    return pages.write(path, text), laid
