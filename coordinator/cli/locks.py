"""`amends locks list|release`: who holds which lock, who waits for it, and taking one away from a parked run."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import LOCKS
from amends.coordinator.cli.wishes import Actor, Reason
from amends.coordinator.errors import NotFound

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import LockRow, RunRow
    from amends.coordinator.ports.store import Store


@command(LOCKS, "list", example="amends locks list --key order:A-12")
def list_locks(
    call: Call,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only this lock.")] = None,
) -> None:
    """Locks that runs hold or wait for: by key, the holder first, the others in the order of their turns."""
    from amends.coordinator.cli.laying_out import listed_at
    from amends.coordinator.cli.output import columns, shortened, show_list, status_text
    from amends.coordinator.reading.locks import lock_facts
    from amends.schemas.instants import instant_of

    def text(found: list[dict[str, Any]]) -> str:
        rows = [
            [
                each["key"],
                "held" if each["held_since"] else "waits",
                listed_at(instant_of(each["held_since"] or each["since"]), now),
                status_text(each["status"]),
                each["saga"],
                each["business_key"],
                shortened(each["saga_id"]),
            ]
            for each in found
        ]
        heads = ["key", "", "since (UTC)", "status", "saga", "business key", "run"]
        return columns(rows, heads=heads, cut=(0, 4, 5)) if rows else "no locks"

    with call.store() as store:
        found, now = lock_facts(store, store.locks(key=key)), store.now()
    show_list(call, found, text)


@command(LOCKS, "release", example='amends locks release order:A-12 --reason "the mail will take weeks"')
def release(
    call: Call,
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `amends locks list` shows it.")],
    reason: Reason,
    actor: Actor = None,
) -> None:
    """Take a lock away from the parked run that holds it; whoever is next in its row begins."""
    from uuid import uuid4

    from amends.coordinator.cli.output import note, show
    from amends.coordinator.cli.wishing import check, login
    from amends.coordinator.ports.rows import InboxRow
    from amends.schemas import wishes

    with call.store(read_only=False) as store:
        lock, row = _holder(store, key)
        wish = wishes.Release(actor=actor or login(), saga_id=lock.saga_id, key=key, reason=reason)
        check(store, row, wish)
        store.put_inbox([InboxRow(shard=lock.shard, message_id=str(uuid4()), body=wishes.write(wish))])
    show(
        call,
        {"saga_id": lock.saga_id, "request": "release", "state": "requested"},
        lambda: f"◇ releasing {key} of {lock.saga_id}: requested",
    )
    if call.text:
        note("the worker that owns the run carries it out")


def _holder(store: "Store", key: str) -> "tuple[LockRow, RunRow]":
    lock = next((each for each in store.locks(key=key) if each.held_since is not None), None)
    row = store.run(lock.saga_id) if lock is not None else None
    if lock is None or row is None:
        raise NotFound("AM0353", f"nobody holds a lock {key!r}", do="`amends locks list` shows what is held")
    return lock, row
