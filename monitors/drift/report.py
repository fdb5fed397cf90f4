"""The week's page: our verdict on each column beside evidently's, over evidently's charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitors import pages
from monitors.context import Context
from monitors.drift.categories import changes
from monitors.drift.columns import Column, watched
from monitors.drift.picture import FOLDER, Opinion, picture
from monitors.drift.profiles import read
from monitors.drift.references import PINNED, SEASONAL, Reference, references
from monitors.quality.slices import WHOLE
from sql.measurement import Measurement, labels_key
from sql.window import Grain, Window

_NAMES = 5
_TEMPLATE = Path(__file__).parent / "templates" / "inputs.html"

# Which rules would speak of a measurement: the monitors do not know them.
Speaks = Callable[[Measurement], Sequence[str]]
Found = Mapping[tuple[str, str], Measurement]


@dataclass(frozen=True, slots=True)
class Line:
    """A column as the page shows it.

    Args:
        named: what happened to which categories, in words.
        ours: the rules that speak of it; empty when none does.
    """

    column: str
    pinned: str
    evidence: str
    seasonal: str
    missing: str
    named: Sequence[str]
    ours: Sequence[str]
    evidently: Opinion | None


def write_report(window: Window, context: Context, speaks: Speaks) -> Path | None:
    """Write ``drift/<window>.html`` below the reports folder.

    One file without network: a table of what the week's measurements say, and evidently's
    interactive charts of a capped sample. Evidently's default tests take rows as independent and a
    fixed distance as significant at any sample size, so the two differ; the rules follow ours.

    Returns:
        the file, or None when the week or the reference has no rows to show.
    """
    pinned = next(each for each in references(window, context) if each.name == PINNED)
    if pinned.lacks:
        return None
    made = picture(window, pinned.days, context)
    if made is None:
        return None
    table = pages.render(
        _TEMPLATE,
        window=str(window),
        reference=f"{pinned.days[0]} to {pinned.days[-1]}",
        lines=_lines(window, pinned, context, made.opinions, speaks),
        others={name: each for name, each in made.opinions.items() if ": " in name},
        picture=made,
        workspace=f"{context.settings.reports}/{FOLDER}",
    )
    text = made.html.replace("<body>", f"<body>\n{table}", 1)
    return pages.write(pages.reports(context.settings, "drift") / f"{window}.html", text)


def _lines(
    window: Window,
    pinned: Reference,
    context: Context,
    opinions: Mapping[str, Opinion],
    speaks: Speaks,
) -> list[Line]:
    items = context.store.measurements(
        monitor="inputs", grain=Grain.WEEK, since=window.start, until=window.end
    )
    found = {(item.metric.rpartition(".")[2], item.labels_key): item for item in items}
    lines = []
    for column in watched(context.settings.drift.columns, context.source):
        mine = [item for item in items if item.labels.get("column") == column.name]
        psi, before, missing = (
            found.get((metric, labels_key({"column": column.name, "reference": reference})))
            for metric, reference in (
                ("psi", PINNED),
                ("psi", SEASONAL),
                ("missing_share", PINNED),
            )
        )
        spoken = [
            name + (f" ({item.labels['segment']})" if "segment" in item.labels else "")
            for item in mine
            for name in speaks(item)
        ]
        lines.append(
            Line(
                column=column.name,
                pinned=_interval(psi),
                evidence=f"{psi.evidence:.2g}" if psi and psi.evidence is not None else "",
                seasonal=_interval(before),
                missing=_shares(missing),
                named=_named(column, pinned, window, context),
                ours=list(dict.fromkeys(spoken)),
                evidently=opinions.get(column.name),
            )
        )
    return lines


def _interval(item: Measurement | None) -> str:
    if item is None:
        return ""
    if item.value is None:
        return item.reason.replace("_", " ")
    return f"{item.value:.3f} ({item.low:.3f} to {item.high:.3f}; usual {item.baseline:.3f})"


def _shares(item: Measurement | None) -> str:
    if item is None or item.value is None or item.baseline is None:
        return ""
    return f"{item.value:.1%} (was {item.baseline:.1%})"


def _named(column: Column, pinned: Reference, window: Window, context: Context) -> list[str]:
    """Which categories are new, vanished or exploded, with their share and p-value."""
    if column.numeric:
        return []
    before, after = (
        read(column, days, context).get(WHOLE, []) for days in (pinned.days, window.days())
    )
    lines = []
    for change in changes(before, after):
        few = ", ".join(change.names[:_NAMES])
        more = f" and {len(change.names) - _NAMES} more" if len(change.names) > _NAMES else ""
        if change.names:
            lines.append(
                f"{change.kind}: {few}{more} ({change.share[0]:.1%}, p {change.evidence:.2g})"
            )
    return lines
