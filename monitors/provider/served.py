"""Did another model answer than usual? Read from the production log, with no call at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from monitors.context import Context
from monitors.kept import Kept
from monitors.monitor import monitor
from sql.measurement import Measurement, Status, unmeasured
from sql.window import Grain, Window

_nothing = partial(unmeasured, "served_model", "provider.served_model_changed", unit="fact")

# "Usual" is what answered in the three weeks before last week: a change is thus said for a week,
# and then has become the usual.
_GAP_DAYS, _USUAL_DAYS = 7, 21
_MINIMUM_DAYS = 3
# A stray row (a test, a retried call) is not a change.
_MINIMUM_ROWS, _MINIMUM_SHARE = 5, 0.01
_ATTRIBUTES = ("request_model", "response_model", "system_fingerprint")
_KEPT = Kept("provider_drift", "served")

Served = tuple[str, str]
Profile = dict[str, Counter[Served]]


@monitor(name="served_model", grain=Grain.DAY, job="provider_drift")
def served_model(window: Window, context: Context) -> Iterator[Measurement]:
    """``provider.served_model_changed{request_model}``: 1 when a response model or fingerprint
    answers that did not answer this request model before.

    A fact, not an estimate: the provider says so itself. Fields needed: ``request_model`` and
    ``response_model`` or ``system_fingerprint``. A request model that was never asked for before
    is a decision of your own and no change.
    """
    served = {"response_model", "system_fingerprint"} & context.source.attributes
    if "request_model" not in context.source.attributes or not served:
        yield _nothing(window, Status.NO_DATA, "field_missing")
        return
    today = _profile(window, context, fresh=True)
    if not today:
        yield _nothing(window, Status.NO_DATA, "no_rows")
        return
    history = [_profile(day, context) for day in _usual_days(window, context)]
    for request_model, now in sorted(today.items()):
        labels = {"request_model": request_model}
        days = [profile[request_model] for profile in history if request_model in profile]
        if len(days) < _MINIMUM_DAYS:
            yield _nothing(window, Status.INSUFFICIENT, "no_history", labels=labels, n=now.total())
        else:
            yield _compared(window, labels, now, days)


def _compared(
    window: Window, labels: dict[str, str], now: Counter[Served], days: Sequence[Counter[Served]]
) -> Measurement:
    usual = {pair for day in days for pair in day}
    enough = max(_MINIMUM_ROWS, _MINIMUM_SHARE * now.total())
    new = [pair for pair, count in now.most_common() if pair not in usual and count >= enough]
    models = {model for model, _ in usual}
    reason = ""
    if new:
        model, fingerprint = new[0]
        changed = model not in models
        reason = f"model {_code(model)}" if changed else f"fingerprint {_code(fingerprint)}"
    return Measurement(
        monitor="served_model",
        metric="provider.served_model_changed",
        labels=labels,
        window=window,
        value=float(bool(new)),
        baseline=0.0,
        n=now.total(),
        method=f"fact; response model and fingerprint against those of days −{_GAP_DAYS} to "
        f"−{_GAP_DAYS + _USUAL_DAYS}; the share of the new is {_share(now, new):.1%}",
        reason=reason,
        unit="fact",
    )


def _share(now: Counter[Served], new: Sequence[Served]) -> float:
    return sum(now[pair] for pair in new) / now.total()


def _code(name: str) -> str:
    """A provider's identifier, fit for a message: what is not an identifier's sign goes."""
    return re.sub(r"[^\w.:/@-]", "?", name)[:80] or "empty"


def _usual_days(window: Window, context: Context) -> list[Window]:
    earliest = context.source.first_instant()
    days = [window.shift(-count) for count in range(_GAP_DAYS, _GAP_DAYS + _USUAL_DAYS)]
    found = [day for day in days if earliest is not None and day.end > earliest]
    if len(found) >= _MINIMUM_DAYS:
        return found
    # A young log: all that there is before the window.
    young = [window.shift(-count) for count in range(1, _GAP_DAYS)]
    return [day for day in young if earliest is not None and day.end > earliest]


def _profile(day: Window, context: Context, *, fresh: bool = False) -> Profile:
    """Rows of a day by what was asked for and what answered; counted once, then remembered."""
    body = None if fresh else _KEPT.body(day, context)
    if body is None:
        body = _count(day, context)
        _KEPT.write(day, body, context)
    profile: Profile = {}
    for request_model, response_model, fingerprint, count in body:
        profile.setdefault(request_model, Counter())[response_model, fingerprint] += count
    return profile


def _count(day: Window, context: Context) -> list[tuple[str, str, str, int]]:
    attributes = [name for name in _ATTRIBUTES if name in context.source.attributes]
    counts = context.source.count_by(day, attributes)
    body: list[tuple[str, str, str, int]] = []
    for values, count in counts.items():
        row = dict(zip(attributes, values, strict=True))
        # A failed request has no model that answered.
        if row["request_model"] and any(row.get(name) for name in _ATTRIBUTES[1:]):
            asked, answered, fingerprint = (str(row.get(name) or "") for name in _ATTRIBUTES)
            body.append((asked, answered, fingerprint, count))
    body.sort()
    return body
