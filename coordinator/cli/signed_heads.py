"""`amends audit verify` with signed heads: the store's log against an external copy of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from amends.coordinator import bootstrap
from amends.coordinator.cli.audit import verdict
from amends.coordinator.cli.call import Call
from amends.coordinator.cli.output import columns, show
from amends.coordinator.cli.progress import progress
from amends.coordinator.cli.topic_reading import records
from amends.coordinator.errors import UsageError
from amends.coordinator.evidence import faults
from amends.coordinator.evidence.head_files import BadLine, heads_in, lines_of, public_key
from amends.coordinator.evidence.held_heads import HeldHeads, SignedShard
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.verify import Report
from amends.coordinator.reading.verify_store import verify_all
from amends.schemas.signed_head import SignedHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Where the copy is, who signed it, and which store's heads count."""

    file: str | None
    from_topic: bool
    keys: tuple[str, ...]
    store_id: str | None


async def verify_signed(call: Call, copy: Copy, *, run: str | None) -> int:
    """Verify the whole store, and hold the copy against it; 1 on a fault."""
    _sensible(copy, run)
    keys = [public_key(text) for text in copy.keys]
    with call.store() as store:
        store_id = copy.store_id or store.incarnation()
        held = HeldHeads(report=Report(), keys=keys, store=store_id, others_too=copy.store_id is not None)
        await _take(call, copy, store, held)
        with progress("verifying entries", total=sum(shard.position for shard in store.shards())) as looked:
            found = verify_all(store, looked=looked, head_at=held.at)
            shards = held.finish(row.shard for row in store.shards())
    found.faults += held.report.faults
    facts = {
        "ok": found.ok,
        "runs": found.runs,
        "entries": found.entries,
        "faults": found.faults,
        "store": store_id,
        "signed": shards,
    }
    show(call, facts, lambda: "\n".join([verdict(found), _signed(shards)]))
    return 0 if found.ok else 1


def _sensible(copy: Copy, run: str | None) -> None:
    if run is not None:
        raise UsageError("AM5005", "signed heads are of whole shards, not of RUN", do="leave RUN out")
    if not copy.keys:
        raise UsageError(
            "AM5005", "signed heads need --public-key", do="give the key that `amends audit keygen` printed"
        )
    if (copy.file is None) != copy.from_topic:
        raise UsageError(
            "AM5005", "signed heads are read from --checkpoints FILE or --from-topic", do="give one of them"
        )


async def _take(call: Call, copy: Copy, store: Store, held: HeldHeads) -> None:
    count = 0
    async for each in heads(call, copy.file, store):
        if isinstance(each, BadLine):
            held.report.found("undecodable", str(each))
        elif copy.store_id in {None, each.store}:
            count += 1
            held.take(each)
    if not count and not held.report.faults:
        of = "" if copy.store_id is None else f" of store {copy.store_id}"
        raise faults.no_heads(copy.file or bootstrap.own_topics(call.settings).checkpoints, f"there is none{of}")


async def heads(call: Call, file: str | None, store: Store) -> AsyncIterator[SignedHead | BadLine]:
    """Those of a copy; without one, those of the installation's own topic."""
    if file is not None:
        for each in heads_in(lines_of(file)):
            yield each
        return
    topic = bootstrap.own_topics(call.settings).checkpoints
    async for record in records(call.settings, topic, store=store):
        for each in heads_in([record.value or b"null"]):
            where = f"{record.topic} {record.partition}@{record.offset}"
            yield BadLine(f"{where}: {each.detail}") if isinstance(each, BadLine) else each


def _signed(shards: list[SignedShard]) -> str:
    rows = [
        [f"shard {each.shard}", f"at {each.position}", f"signed up to {each.signed}" if each.signed else "not signed"]
        for each in shards
    ]
    return columns(rows, indent="  ")
