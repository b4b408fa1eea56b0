"""`amends dead-letters list|show|redrive`."""

from collections import deque
from collections.abc import Iterator
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
PAGE_BYTES = 8 * 1024 * 1024
"""Values are in memory a page at a time: as many as one page of them may take, or a single one that is larger."""


@command(DEAD_LETTERS, "list", example="amends dead-letters list -o json")
def list_dead_letters(call: Call) -> None:
    """Messages that could not become a run, and why."""
    from amends.coordinator.cli.output import columns, show_list, write

    def text(row: "DeadLetterRow") -> list[str]:
        by_hand = row.partition < 0  # a message that was sent from the command line
        where = f"{row.topic}, by hand" if by_hand else f"{row.topic} {row.partition}@{row.offset}"
        wrong = f"{row.path}: {row.detail}" if row.path else row.detail
        return [str(row.n), row.reason, where, row.idempotency_key or "", "redriven" if row.redriven_at else "", wrong]

    with call.store() as store:
        if not call.text:
            show_list(call, (_facts(row) for page in _pages(store) for row in page), lambda _: "")
            return
        heads = ["n", "reason", "where", "request", "", "what is wrong"]
        for page in _pages(store):
            write(columns([text(row) for row in page], heads=heads if page[0].n == 1 else (), cut=(2, 3, 5)))
        if not store.dead_letters_count():
            write("no dead letters")


@command(DEAD_LETTERS, "show", example="amends dead-letters show 3")
def show_dead_letter(call: Call, n: Number) -> None:
    """One dead letter with its original value and headers."""
    from amends.coordinator.cli.output import columns, readable, show
    from amends.coordinator.reading.times import day_and_clock
    from amends.schemas.instants import instant_of

    with call.store() as store:
        row = _one(store, n)
    facts = {
        **_facts(row),
        "headers": [[name, readable(value)] for name, value in row.headers],
        "value": None if row.value is None else readable(row.value),
    }

    def text() -> str:
        by_hand = {"partition", "offset"} if row.partition < 0 else set()
        named = [
            [name, day_and_clock(instant_of(value)) + " UTC" if name in {"at", "redriven_at"} else str(value)]
            for name, value in facts.items()
            if name not in {"headers", "value"} | by_hand and value is not None
        ]
        headers = [[f"header {name}", str(value)] for name, value in facts["headers"]]
        value = facts["value"] if facts["value"] is not None else "(no value)"
        return columns([*named, *headers], fold=True) + f"\n\n{value}"

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


async def _resent(call: Call, store: "Store", chosen: dict[int, str], to: str | None) -> list[dict[str, Any]]:
    import asyncio

    from amends.coordinator.bootstrap import open_sink, topics_missing
    from amends.coordinator.cli.progress import progress
    from amends.coordinator.ports.bus import Outgoing

    done: list[dict[str, Any]] = []
    await topics_missing(call.settings, sorted({to} if to is not None else set(chosen.values())))
    sink = open_sink(call.settings, store)
    await sink.start()
    left = deque(chosen)
    try:
        with progress("redriving", total=len(chosen)) as redriven:
            while left:
                rows = await asyncio.to_thread(_page, store, left)
                places = await sink.publish(
                    [Outgoing(topic=to or row.topic, key=row.key, value=row.value, headers=row.headers) for row in rows]
                )
                for row, place in zip(rows, places, strict=True):
                    await asyncio.to_thread(store.mark_redriven, row.n, store.now())
                    at = {"topic": place.topic, "partition": place.partition, "offset": place.offset}
                    done.append({"n": row.n, **at})
                redriven(len(places))
    finally:
        await sink.stop()
    return done


def _chosen(store: "Store", numbers: list[int]) -> dict[int, str]:
    """What is to be redriven, each with its topic, in order."""
    if not numbers:  # All that are there now: what is refused again meanwhile is left for another time.
        return {row.n: row.topic for page in _pages(store) for row in page if row.redriven_at is None and not _cut(row)}
    chosen: dict[int, str] = {}
    for n in numbers:
        row = _one(store, n)
        if _cut(row):
            raise Conflict(
                "AM5031",
                f"dead letter {n} had {row.size_bytes} bytes, of which {len(row.value or b'')} were kept",
                do="publish the original again from where it came",
            )
        chosen[n] = row.topic
    return chosen


def _page(store: "Store", left: deque[int]) -> "list[DeadLetterRow]":
    """Take the next page off what is left."""
    rows: list[DeadLetterRow] = []
    size_bytes = 0
    while left and len(rows) < PAGE and size_bytes < PAGE_BYTES:
        rows.append(_one(store, left.popleft()))
        size_bytes += len(rows[-1].value or b"")
    return rows


def _cut(row: "DeadLetterRow") -> bool:
    """Whether only the beginning of its value was kept."""
    from amends.schemas.dead_letter import KEPT_BYTES_MAX

    return row.reason == "too_large" and row.size_bytes > KEPT_BYTES_MAX


def _one(store: "Store", n: int) -> "DeadLetterRow":
    row = store.dead_letter(n) if n > 0 else None
    if row is None:
        raise NotFound("AM5030", f"there is no dead letter {n}", do="`amends dead-letters list` shows what there is")
    return row


def _pages(store: "Store") -> "Iterator[list[DeadLetterRow]]":
    """All that are there now, without their values."""
    after, until = 0, store.dead_letters_count()
    while page := store.dead_letters(after=after, limit=min(PAGE, until - after), whole=False):
        yield page
        after = page[-1].n


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
