"""`amends triggers explain`."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import TRIGGERS

NOT_FOUND: Final = 6

_PLACE: Final = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249}):(?P<partition>[0-9]{1,10}):(?P<offset>[0-9]{1,18})")
"""As much as a partition's number and an offset can be."""

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import RunRow
    from amends.coordinator.ports.store import Store
    from amends.coordinator.reading.triggers import Fate
    from amends.schemas.events import Origin


@command(TRIGGERS, "explain", example="amends triggers explain billing.refund-requested:0:118")
async def explain(
    call: Call, where: Annotated[str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET|RUN", help="A record, or a run.")]
) -> int:
    """What became of a trigger: a run, a duplicate, a conflict, a dead letter, or nothing yet."""
    from amends.coordinator.cli.output import show
    from amends.coordinator.reading.listening import unheard
    from amends.coordinator.reading.naming import find_run
    from amends.coordinator.reading.triggers import Fate, fates
    from amends.schemas.events import Origin

    with call.store() as store:
        origin = _origin(where)
        if origin is None:
            row = find_run(store, where)
            first = row.origins[0] if row.origins else None
            origin = first or Origin(topic="", partition=0, offset=0)
            found = [Fate(state="run", origin=origin, run=row)]
        else:
            found = fates(store, origin) or [await _nothing(call, store, origin)]
        unread = unheard(store, origin.topic) if found[0].state == "pending" else None
    facts = found[0].facts()
    if len(found) > 1:
        facts["others"] = [each.facts() for each in found[1:]]
    show(call, facts, lambda: "\n".join(_text(each, unread) for each in found))
    return NOT_FOUND if found[0].state == "unknown" else 0


def _origin(where: str) -> "Origin | None":
    """The place that is meant; None where it is a run. Raises `UsageError` for a place that cannot be."""
    from amends.coordinator.errors import UsageError
    from amends.schemas.events import Origin

    found = _PLACE.fullmatch(where)
    if found is not None:
        return Origin(topic=found["topic"], partition=int(found["partition"]), offset=int(found["offset"]))
    if ":" not in where or "/" in where:  # no topic's name has a slash, and the key of a request may have colons
        return None
    raise UsageError(
        "AM5005",
        f"{where!r} is no place on a topic",
        do="write TOPIC:PARTITION:OFFSET like billing.refund-requested:0:118, with numbers from 0, or name a run",
    )


async def _nothing(call: Call, store: "Store", origin: "Origin") -> "Fate":
    """Whether the record is there and not read yet, or unknown."""
    from amends.coordinator.bootstrap import kafka_ends
    from amends.coordinator.errors import UsageError
    from amends.coordinator.reading.triggers import Fate

    if call.settings.kafka is None:
        exists = origin.partition == 0 and bool(store.records(origin.topic, after=origin.offset - 1, limit=1))
        unread = store.consumed(call.settings.group, origin.topic) <= origin.offset
        return Fate(state="pending" if exists and unread else "duplicate" if exists else "unknown", origin=origin)
    try:
        ends = await kafka_ends(call.settings, origin.topic)
    except UsageError:
        ends = {}
    return Fate(state="pending" if origin.offset < ends.get(origin.partition, 0) else "unknown", origin=origin)


def _text(fate: "Fate", unread: str | None) -> str:
    from amends.coordinator.cli.output import hung, room
    from amends.coordinator.reading.triggers import wrong_with

    origin, row, letter = fate.origin, fate.run, fate.dead_letter
    where = f"{origin.topic} {origin.partition}@{origin.offset}" if origin.topic else "no trigger on a topic"
    about: dict[str, Any] = {
        "run": f"✔ started run {row.saga_id} ({row.saga} {row.business_key}{_generation(row)}), now {row.status}"
        if row
        else "",
        "duplicate": f"= the same request as run {row.saga_id}{_generation(row)}"
        if row
        else "= a request that was known already",
        "conflict": f"✖ {letter.detail}: dead letter {letter.n}" if letter else "",
        "dead_letter": f"✖ dead letter {letter.n}, {letter.reason}: {wrong_with(letter)}" if letter else "",
        "pending": "· not read yet" + (f": {unread}" if unread else ""),
        "unknown": "? nobody has seen such a record",
    }
    return "\n".join(hung(about[fate.state], f"{where}  ", room(sys.stdout)))


def _generation(row: "RunRow") -> str:
    return f", generation {row.generation}" if row.generation else ""
