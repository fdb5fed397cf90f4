"""The message that opened an incident says how it stands: edited in place, which rings no bell.

What it says is read from the store when it is sent, so an edit that waited, or is made twice, says
the same. What changed is told in the thread as well; an edit that fails takes nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select

from alerts.acknowledgements import who
from alerts.messages import Message, render
from alerts.outbox import EDIT
from sql.store import Store
from sql.tables import incident, notification

_ALSO = 9


def edited(store: Store, row: Row[Any]) -> Message:
    """The root of an `EDIT` intent's row as it reads now; its facts name where it stands.

    Raises:
        LookupError: it was not sent as a message of its own, or its incidents are gone.
    """
    table = notification.c
    mine = (table.channel == row.channel, table.subject == row.subject, table.kind == "root")
    sent = store.rows(
        select(notification).where(*mine, table.state == "sent").order_by(table.created_at.desc())
    )
    if not sent:
        raise LookupError("no root")
    root = sent[0]
    looks, bodies, by = who(store), [], list[str]()
    for subject in root.payload["members"]:
        name, _, generation = subject.rpartition(":")
        found = _incident(store, name, int(generation))
        bodies.append(found)
        if (name, int(generation)) in looks:
            by.append(looks[name, int(generation)])
    first = _incident(store, root.payload["fingerprint"], root.payload["generation"])
    others = [body for body in bodies if body["fingerprint"] != first["fingerprint"]]
    facts = {
        **root.payload,
        **first,
        "also": others[:_ALSO],
        "also_total": len(others),
        "standing": {
            "open": sum(body["state"] != "resolved" for body in bodies),
            "total": len(bodies),
            "by": ", ".join(dict.fromkeys(by)),
        },
        "ts": root.remote_ts,
        "key": root.delivery_key,
    }
    return render(EDIT, facts)


def _incident(store: Store, name: str, generation: int) -> Mapping[str, Any]:
    table = incident.c
    mine = (table.fingerprint == name, table.generation == generation)
    found = store.rows(select(table.body, table.state, table.severity).where(*mine))
    if not found:
        raise LookupError("no such incident")
    return {**found[0].body, "state": found[0].state, "severity": found[0].severity}
