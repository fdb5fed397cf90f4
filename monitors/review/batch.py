"""The month's review batch: drawn once, stored, and written to disk for people."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from monitors.context import Context
from monitors.review.assignment import Assignment, assign
from monitors.review.design import FLOOR, Candidate, Design, draw, seed_of
from monitors.review.desk import GOLD
from monitors.review.files import Item, Sheet, broken_files, write_files
from monitors.review.handover import barred
from monitors.review.rubric import GUIDELINES_VERSION
from monitors.review.scores import judge_scores
from sql.errors import ConfigurationError
from sql.tables import golden_example, review_assignment, review_batch, review_item, sample
from sql.window import Window

Facts = dict[str, int | float | str]


def batch_id(window: Window, context: Context) -> str:
    """The name of the window's batch, the same at every run."""
    return f"{context.settings.source.name}-{window.label}"


def make_batch(window: Window, context: Context) -> Facts:
    """Draw the batch of a month and write its files; a second run finds it and changes nothing.

    Returns:
        ``status`` (complete, no_data), ``batch``, ``new`` (1 when this run drew it), ``items``,
        ``ratings``, ``population``, ``expected_width``, ``cost_usd``.
    """
    name = batch_id(window, context)
    table = review_batch.c
    found = context.store.rows(select(review_batch).where(table.batch_id == name))
    if not found:
        design = _drawn(window, name, context)
        if not design.chosen:
            return {"status": "no_data", "batch": "", "new": 0, "items": 0}
        _store(window, name, design, context)
        found = context.store.rows(select(review_batch).where(table.batch_id == name))
        new = 1
    else:
        new = 0
    folder = folder_of(name, context)
    if broken_files(folder):
        write_files(folder, Sheet(name, window.label, found[0].due_at), _items(name, context))
    promised = found[0].design
    return {
        "status": "complete",
        "batch": name,
        "new": new,
        "items": promised["items"],
        "ratings": promised["ratings"],
        "population": promised["population"],
        "expected_width": promised["expected_width"],
        "cost_usd": promised["cost_usd"],
    }


def plan_batch(window: Window, context: Context) -> Facts:
    """What a batch of the month would promise and cost; nothing is stored."""
    name = batch_id(window, context)
    design = _drawn(window, name, context)
    if not design.chosen:
        return {"status": "no_data", "batch": "", "new": 0, "items": 0}
    promised = _promise(design, _places(design, name, context), context)
    facts = ("items", "ratings", "population", "expected_width", "people_width", "cost_usd")
    return {"status": "planned", "batch": name, **{fact: promised[fact] for fact in facts}}


def folder_of(name: str, context: Context) -> Path:
    """Where the batch's files are."""
    return context.settings.path(context.settings.review.folder) / name


def _drawn(window: Window, name: str, context: Context) -> Design:
    settings = context.settings.review
    table = sample.c
    rows = context.store.rows(
        select(table.item_id, table.stratum, table.inclusion_probability).where(
            table.source == context.settings.source.name,
            table.at >= window.start,
            table.at < window.end,
            table.output.is_not(None),  # a text that is gone cannot be read
        )
    )
    scores = judge_scores(window, context)
    candidates = [
        Candidate(row.item_id, row.stratum, row.inclusion_probability, scores.get(row.item_id))
        for row in rows
    ]
    return draw(candidates, settings.size, core=settings.core, seed=f"{settings.seed}:{name}")


def _places(design: Design, name: str, context: Context) -> list[Assignment]:
    settings = context.settings.review
    ids = [chosen.item_id for chosen in design.chosen]
    try:
        return assign(
            ids,
            settings.evaluators,
            overlap=settings.overlap,
            seed=f"{settings.seed}:{name}:raters",
            barred=barred(ids, context),
        )
    except ValueError as error:
        raise ConfigurationError(
            str(error), where="[review] evaluators, conflicts", mend="name more people"
        ) from None


def _store(window: Window, name: str, design: Design, context: Context) -> None:
    settings = context.settings.review
    now = context.clock()
    ids = [chosen.item_id for chosen in design.chosen]
    places = _places(design, name, context)
    raters: dict[str, int] = {}
    for place in places:
        raters[place.item_id] = raters.get(place.item_id, 0) + 1
    # The order of reading mixes strata and kinds, so that neither can be guessed from it.
    reading = sorted(ids, key=lambda item_id: seed_of(f"{settings.seed}:{name}:{item_id}"))
    position = {item_id: number for number, item_id in enumerate(reading, 1)}
    row = {
        "batch_id": name,
        "source": context.settings.source.name,
        "window_start": window.start,
        "window_end": window.end,
        "design": _promise(design, places, context) | _known(name, len(ids), context),
        "state": "open",
        "due_at": now + timedelta(hours=settings.due_hours),
        "created_at": now,
    }
    items = [
        {
            "batch_id": name,
            "item_id": chosen.item_id,
            "source": context.settings.source.name,
            "position": position[chosen.item_id],
            "stratum": chosen.stratum,
            "inclusion_probability": chosen.probability,
            "raters": raters[chosen.item_id],
            "kind": chosen.kind,
            "judge_score": chosen.judge,
        }
        for chosen in design.chosen
    ]
    assignments = [
        {**asdict(place), "batch_id": name, "state": "open", "reserved_until": None}
        for place in places
    ]
    with context.store.begin() as connection:
        context.store.upsert(connection, review_batch, [row])
        context.store.upsert(connection, review_item, items)
        context.store.upsert(connection, review_assignment, assignments)


def _promise(design: Design, places: list[Assignment], context: Context) -> dict[str, Any]:
    settings = context.settings.review
    strata: dict[str, int] = {}
    for chosen in design.chosen:
        strata[chosen.stratum] = strata.get(chosen.stratum, 0) + 1
    return {
        "seed": settings.seed,
        "scorer": settings.scorer,
        "core": settings.core,
        "floor": FLOOR,
        "overlap": settings.overlap,
        "guidelines": GUIDELINES_VERSION,
        "population": design.population,
        "items": len(design.chosen),
        "ratings": len(places),
        "strata": strata,
        "kinds": {
            kind: sum(chosen.kind == kind for chosen in design.chosen)
            for kind in ("core", "targeted")
        },
        "expected_width": round(design.expected_width, 6),
        "people_width": round(design.people_width, 6),
        "cost_usd": round(len(design.chosen) * settings.cost_usd_per_example, 2),
    }


def _known(name: str, items: int, context: Context) -> dict[str, list[str]]:
    """Golden items for practice, and some to be strewn in: everybody gets the same ones.

    They are no part of the draw, so no estimate counts them.
    """
    settings = context.settings.review
    keys = context.store.rows(select(golden_example.c.example_id))
    order = sorted((f"{GOLD}{row.example_id}" for row in keys), key=lambda k: seed_of(name + k))
    hidden = round(settings.hidden_gold * items / len(settings.evaluators))
    # A golden set of a few examples would be known by heart soon.
    if len(order) < 10 * (settings.calibration + hidden):
        return {"calibration": [], "gold": []}
    practice, rest = order[: settings.calibration], order[settings.calibration :]
    return {"calibration": practice, "gold": rest[:hidden]}


def _items(name: str, context: Context) -> list[Item]:
    raters: dict[str, list[str]] = {}
    places = select(review_assignment).where(review_assignment.c.batch_id == name)
    for place in context.store.rows(places.order_by(review_assignment.c.slot)):
        raters.setdefault(place.item_id, []).append(place.evaluator)
    rows = context.store.rows(
        select(
            review_item.c.position,
            review_item.c.item_id,
            func.coalesce(sample.c.input, "").label("input"),
            func.coalesce(sample.c.output, "").label("output"),
            func.coalesce(sample.c.context, "").label("context"),
        )
        .join(
            sample,
            (sample.c.source == review_item.c.source) & (sample.c.item_id == review_item.c.item_id),
        )
        .where(review_item.c.batch_id == name)
        .order_by(review_item.c.position)
    )
    return [
        Item(r.position, r.item_id, r.input, r.output, r.context, tuple(raters[r.item_id]))
        for r in rows
    ]
