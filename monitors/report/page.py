"""Write the report as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment

import monitors.web
from monitors import pages
from monitors.report.overview import Planted, overview
from monitors.suite import Suite
from monitors.web.coverage import calendars
from monitors.web.words import labels_text

NAME = "index.html"
_HERE = Path(__file__).parent
_WEB = Path(monitors.web.__file__).parent
STYLE = _WEB / "static" / "style.css"


def write_report(
    suite: Suite, planted: Sequence[Planted] = (), unexplained: Sequence[str] = ()
) -> Path:
    """Write ``index.html`` into the folder ``[reports]`` and return its path.

    The same store gives the same bytes: time stands still at the end of the last covered window.

    Args:
        planted, unexplained: a demo's scorecard: what was planted, and incidents without a cause.
    """
    found = overview(suite, planted)
    zone = suite.settings.timezone
    text = (
        environment()
        .get_template("report.html")
        .render(
            overview=found,
            planted=planted,
            unexplained=unexplained,
            source=suite.settings.source.name,
            rules={rule.name: rule for rule in suite.alerting.rules},
            tolerance=suite.settings.quality.tolerance,
            zone=zone,
            calendars=calendars(suite.store, zone) if found else [],
            style=STYLE.read_text(encoding="utf-8"),
        )
    )
    return pages.write(pages.reports(suite.settings) / NAME, text)


def environment() -> Environment:
    """Templates of the reports and the pages; what they are given is escaped."""
    made = pages.environment(_HERE / "templates", _WEB / "templates")
    made.filters.update(labels=labels_text)
    return made
