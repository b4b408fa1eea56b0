"""`amends dead-letters list|show|redrive`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import DEAD_LETTERS
from amends.coordinator.cli.numbers import Number, Numbers
from amends.coordinator.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import DeadLetterRow
    from amends.coordinator.ports.store import Store

PAGE = 500


@command(DEAD_LETTERS, "list", example="amends dead-letters list -o json")
def list_dead_letters(call: Call) -> None:
    """Messages that could not become a run, and why."""
    from amends.coordinator.cli.output import columns, show_list

    def text(found: list[dict[str, Any]]) -> str:
        rows = [
            [
                str(each["n"]),
                each["reason"],
                f"{each['topic']} {each['partition']}@{each['offset']}",
                each["idempotency_key"] or "",
                "redriven" if each["redriven_at"] else "",
                f"{each['path']}: {each['detail']}" if each["path"] else each["detail"],
            ]
            for each in found
        ]
        return (
            columns(rows, heads=["n", "reason", "where", "request", "", "what is wrong"]) if rows else "no dead letters"
        )

    with call.store() as store:
        show_list(call, [_facts(row) for row in _all(store)], text)


@command(DEAD_LETTERS, "show", example="amends dead-letters show 3")
def show_dead_letter(call: Call, n: Number) -> None:
    """One dead letter with its original value and headers."""
    from amends.coordinator.cli.output import columns, readable, show

    with call.store() as store:
        row = _one(store, n)
    facts = {
        **_facts(row),
        "headers": [[name, readable(value)] for name, value in row.headers],
        "value": None if row.value is None else readable(row.value),
    }

    def text() -> str:
        named = [
            [name, str(value)]
            for name, value in facts.items()
            if name not in {"headers", "value"} and value is not None
        ]
        headers = [[f"header {name}", str(value)] for name, value in facts["headers"]]
        return columns([*named, *headers]) + f"\n\n{facts['value'] if facts['value'] is not None else '(no value)'}"

    show(call, facts, text)


@command(DEAD_LETTERS, "redrive", example="amends dead-letters redrive 3 5")
async def redrive(
    call: Call,
    numbers: Numbers = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were not redriven yet.")] = False,
    to: Annotated[str | None, typer.Option(metavar="TOPIC", help="Elsewhere than where it came from.")] = None,
) -> None:
    """Append the original value, key and headers as a new record."""
    import asyncio

    from amends.coordinator.cli.output import columns, show_list
    from amends.coordinator.cli.publishing import warn_unheard

    if everything == bool(numbers):
        raise UsageError("AM5005", "redrive takes numbers or --all", do="give one of them")
    with call.store(read_only=False) as store:
        chosen = await asyncio.to_thread(_chosen, store, numbers or [])
        done = await _resent(call, store, chosen, to)
        if to is not None:
            warn_unheard(store, to)

    def text(found: list[dict[str, Any]]) -> str:
        rows = [[f"✔ {each['n']}", "→", f"{each['topic']} {each['partition']}@{each['offset']}"] for each in found]
        return columns(rows) if rows else "nothing to redrive"

    show_list(call, done, text)


async def _resent(call: Call, store: "Store", rows: "list[DeadLetterRow]", to: str | None) -> list[dict[str, Any]]:
    import asyncio

    from amends.coordinator.bootstrap import open_sink, topics_missing
    from amends.coordinator.cli.progress import progress
    from amends.coordinator.ports.bus import Outgoing

    records = [Outgoing(topic=to or row.topic, key=row.key, value=row.value, headers=row.headers) for row in rows]
    done: list[dict[str, Any]] = []
    await topics_missing(call.settings, sorted({record.topic for record in records}))
    sink = open_sink(call.settings, store)
    await sink.start()
    try:
        with progress("redriving", total=len(rows)) as redriven:
            for start in range(0, len(rows), PAGE):
                places = await sink.publish(records[start : start + PAGE])
                for row, place in zip(rows[start : start + PAGE], places, strict=True):
                    await asyncio.to_thread(store.mark_redriven, row.n, store.now())
                    at = {"topic": place.topic, "partition": place.partition, "offset": place.offset}
                    done.append({"n": row.n, **at})
                redriven(len(places))
    finally:
        await sink.stop()
    return done


def _chosen(store: "Store", numbers: list[int]) -> "list[DeadLetterRow]":
    rows = [_one(store, n) for n in dict.fromkeys(numbers)] or [row for row in _all(store) if row.redriven_at is None]
    cut = [row for row in rows if row.size_bytes > len(row.value or b"")]
    if cut and numbers:
        raise Conflict(
            "AM5031",
            f"dead letter {cut[0].n} had {cut[0].size_bytes} bytes, of which {len(cut[0].value or b'')} were kept",
            do="publish the original again from where it came",
        )
    return [row for row in rows if row not in cut]


def _one(store: "Store", n: int) -> "DeadLetterRow":
    row = store.dead_letter(n) if n > 0 else None
    if row is None:
        raise NotFound("AM5030", f"there is no dead letter {n}", do="`amends dead-letters list` shows what there is")
    return row


def _all(store: "Store") -> "list[DeadLetterRow]":
    found: list[DeadLetterRow] = []
    while page := store.dead_letters(after=found[-1].n if found else 0, limit=PAGE):
        found += page
    return found


def _facts(row: "DeadLetterRow") -> dict[str, Any]:
    from amends.coordinator.cli.output import readable
    from amends.schemas.instants import text_of

    return {
        "n": row.n,
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
        "key": None if row.key is None else readable(row.key),
        "idempotency_key": row.idempotency_key,
        "saga": row.saga,
        "reason": row.reason,
        "detail": row.detail,
        "path": row.path,
        "saga_id": row.saga_id,
        "size_bytes": row.size_bytes,
        "at": text_of(row.at),
        "redriven_at": None if row.redriven_at is None else text_of(row.redriven_at),
    }
