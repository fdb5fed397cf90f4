"""``tidegauge review``: the month's batch, the pages to rate it, and what people said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitors import terminal
from monitors.commands.options import Actor, Config, suite_of
from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from monitors.suite import Suite
    from sql.window import Window

app = typer.Typer(help="Review by people: batches, pages and results.", no_args_is_help=True)
Period = Annotated[str, typer.Argument(help="A month as 2026-05, or a week as 2026-W22.")]


@app.command(epilog="Example: tidegauge review batch 2026-05 --dry-run")
def batch(
    period: Period,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would promise and cost.")
    ] = False,
    config: Config = None,
) -> None:
    """Draw the batch of a month (or, while a product is young, of a week) and queue it.

    A second run changes nothing.
    """
    from monitors.review.batch import make_batch, plan_batch

    suite = suite_of(config)
    facts = (plan_batch if dry_run else make_batch)(_window(period, suite), suite.context)
    terminal.table(
        f"Review batch {facts['batch'] or period}",
        ["", ""],
        ([name.replace("_", " "), value] for name, value in facts.items() if name != "batch"),
    )


@app.command(epilog="Example: tidegauge review measure 2026-W22")
def measure(period: Period, config: Config = None) -> None:
    """Publish what the ratings so far say; the DAG `monthly_review` does it for its months."""
    from monitors.review.review import review, review_of_week
    from sql.window import Grain

    suite = suite_of(config)
    window = _window(period, suite)
    monitor = review_of_week if window.grain is Grain.WEEK else review
    published, failed = suite.measure(monitor, window)
    terminal.out.print(f"{published} measurements published")
    if failed:
        raise typer.Exit(1)


def _window(period: str, suite: Suite) -> Window:
    from sql.window import Grain, Window

    window = Window.parse(period, suite.settings.timezone)
    if window.grain not in (Grain.MONTH, Grain.WEEK):
        raise ConfigurationError(
            f"{period!r} is neither a month nor a week", mend="write 2026-05 or 2026-W22"
        )
    return window


@app.command(epilog="Example: tidegauge review serve --port 8070")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8070,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy with TLS stands in front.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A host name the proxy calls it by.")
    ] = None,
    config: Config = None,
) -> None:
    """Serve the rating pages without Airflow; people enter by their personal links."""
    import uvicorn

    from monitors.web.standalone import LOOPBACK, check_host, create_app

    check_host(host, behind_proxy=behind_proxy)
    suite = suite_of(config)
    terminal.out.print(
        f"http://{host}:{port}; `tidegauge review links --base http://{host}:{port}` prints the "
        "personal links",
        markup=False,
    )
    application = create_app(lambda: suite.context, (*LOOPBACK, *(name or ())))
    # Personal links are in addresses, so no request line is written down.
    uvicorn.run(application, host=host, port=port, log_level="warning", access_log=False)


@app.command(epilog="Example: tidegauge review links --base http://127.0.0.1:8070 --days 7")
def links(
    base: Annotated[str, typer.Option(help="Where people reach the pages.")] = (
        "http://127.0.0.1:8070"
    ),
    days: Annotated[int, typer.Option(min=1, max=31, help="How long a link works.")] = 7,
    admin: Annotated[
        list[str] | None, typer.Option("--admin", help="Also a link for this administrator.")
    ] = None,
    config: Config = None,
) -> None:
    """Print a personal link for each evaluator named under `review.evaluators`."""
    from monitors.review.links import Person
    from monitors.web.standalone import link_for

    context = suite_of(config).context
    people = [Person(name) for name in context.settings.review.evaluators]
    people += [Person(name, admin=True) for name in admin or ()]
    for person in people:
        typer.echo(f"{person.name}\t{link_for(person, base, context, days=days)}")


@app.command(
    epilog="Example: tidegauge review export log-2026-05 batch.jsonl (or .csv, or .json for "
    "Label Studio)"
)
def export(
    batch: Annotated[str, typer.Argument(help="The batch, as `list` names it.")],
    file: Annotated[Path, typer.Argument(help="Where to write; the ending says the format.")],
    config: Config = None,
) -> None:
    """Write a batch with its texts and ratings; the judge's scores stay here."""
    from monitors.review.exchange import export as write

    digest = write(batch, file, suite_of(config).context)
    terminal.out.print(f"{file}, sha256 {digest}", markup=False)


@app.command("import", epilog="Example: tidegauge review import batch.json")
def import_(
    file: Annotated[Path, typer.Argument(help="An exported file with ratings.", exists=True)],
    config: Config = None,
) -> None:
    """Take ratings that were made elsewhere; the same file again changes nothing."""
    from monitors.review.exchange import import_ as read

    count = read(file, suite_of(config).context)
    terminal.out.print(f"{count:,} entries are new or changed")


@app.command("list", epilog="Example: tidegauge review list")
def list_(config: Config = None) -> None:
    """The batches, and how far people have come."""
    from monitors.web.reviews import batches

    suite = suite_of(config)
    terminal.table(
        "Review batches",
        ["batch", "window", "state", "due", "items", "ratings", "of"],
        (
            [b.batch_id, b.window, b.state, f"{b.due:%Y-%m-%d}", b.items, b.rated, b.assigned]
            for b in batches(suite.store, suite.settings.timezone)
        ),
    )


@app.command(epilog="Example: tidegauge review approve log-2026-05 --only 12 --only 40 --consented")
def approve(
    batch: Annotated[str, typer.Argument(help="A closed batch, as `list` names it.")],
    only: Annotated[
        list[int] | None, typer.Option("--only", help="An item's position; default: all.")
    ] = None,
    consented: Annotated[
        bool, typer.Option("--consented", help="These texts may be kept for good.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what is offered.")] = False,
    actor: Actor = "",
    config: Config = None,
) -> None:
    """Take answers that people agree on into the golden set."""
    from monitors.review import candidates

    context = suite_of(config).context
    if dry_run:
        terminal.table(
            f"Offered by {batch}",
            ["item", "feature", "verdict", "better answer"],
            (
                [
                    one.position,
                    one.golden.feature,
                    "good" if one.golden.label else "bad",
                    "yes" if one.golden.reference else "",
                ]
                for one in candidates.candidates(batch, context)
            ),
        )
        return
    count = candidates.approve(batch, only or (), actor, consented, context)
    terminal.out.print(f"{count:,} examples taken into the golden set")
