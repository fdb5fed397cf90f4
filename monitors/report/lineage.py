"""An incident's lineage as one HTML file that can be handed over."""

from __future__ import annotations

import base64
from pathlib import Path

from alerts import charts
from monitors import pages
from monitors.lineage import Lineage
from monitors.report.page import STYLE, environment
from monitors.suite import Suite


def write_page(suite: Suite, found: Lineage) -> Path:
    """Write it as one HTML file with its chart, under ``[reports]``; the path."""
    trend = charts.read(
        suite.store, {"fingerprint": found.fingerprint, "generation": found.generation}
    )
    text = (
        environment()
        .get_template("lineage.html")
        .render(
            found=found,
            picture=base64.b64encode(charts.png(trend)).decode(),
            style=STYLE.read_text(encoding="utf-8"),
        )
    )
    return pages.write(pages.reports(suite.settings, "incidents") / f"{found.name}.html", text)
