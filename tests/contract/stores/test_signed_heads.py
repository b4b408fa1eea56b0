"""Signed heads and bundles are the same over every store."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from amends.coordinator.errors import BusUnavailable
from amends.coordinator.evidence.archiving import Archiving
from amends.coordinator.evidence.bundle import open_bundle
from amends.coordinator.evidence.bundle_log import BundleLog
from amends.coordinator.evidence.exporting import Export
from amends.coordinator.evidence.files import written_whole
from amends.coordinator.evidence.held_heads import HeldHeads, SignedShard
from amends.coordinator.evidence.signing import HeadSigner, NotThere
from amends.coordinator.ports.bus import Outgoing, Place
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.history import run_history, stored
from amends.coordinator.reading.verify import Report
from amends.coordinator.reading.verify_store import verify_all
from amends.coordinator.runtime.checkpoints import LocalCheckpoints
from amends.coordinator.runtime.relay_leases import RelayLeases
from amends.schemas.canonical import encode
from amends.schemas.signed_head import SignedHead
from amends.schemas.signing import PrivateKey
from tests.contract.stores.conftest import SHARDS
from tests.integration.kafka.relaying import eventually, play
from tests.unit.evidence.bundles import KEY, Heads, checkpoints, export, faults, opened, played


def held(
    store: Store, signed: Sequence[SignedHead], *, keys: Sequence[PrivateKey] = (KEY,)
) -> tuple[Report, list[SignedShard]]:
    holding = HeldHeads(report=Report(), keys=[key.public for key in keys], store=store.incarnation())
    for each in signed:
        holding.take(each)
    found = verify_all(store, head_at=holding.at)
    shards = holding.finish(row.shard for row in store.shards())
    found.faults += holding.report.faults
    return found, shards


def test_every_signed_head_is_borne_out_by_the_log(store: Store) -> None:
    signed = played(store)
    report, shards = held(store, signed)
    assert report.faults == []
    assert [(each.shard, each.signed) for each in shards] == [(row.shard, row.position) for row in store.shards()]


def test_the_same_position_is_signed_with_the_same_bytes_by_whoever_signs_it(store: Store) -> None:
    signed = played(store)
    again: list[SignedHead] = []
    asyncio.run(checkpoints(store, again).turn())
    latest = {head.shard: head for head in signed}
    assert {head.shard: encode(head) for head in again} == {shard: encode(head) for shard, head in latest.items()}


def test_a_shard_that_has_not_moved_is_not_signed_again(store: Store) -> None:
    signed: list[SignedHead] = []
    signing = checkpoints(store, signed)
    asyncio.run(signing.turn())
    assert signed == [], "there is nothing yet"
    play(store, [1])
    for _ in range(3):
        asyncio.run(signing.turn())
    assert len(signed) == len({head.shard for head in signed}) > 0
    assert signing.published == len(signed)


def test_a_key_that_is_exchanged_counts_from_the_next_signature(store: Store) -> None:
    keys, signed = [KEY], list[SignedHead]()
    signing = checkpoints(store, signed)
    signing.key = lambda: keys[-1]
    play(store, [1])
    asyncio.run(signing.turn())
    keys.append(PrivateKey.new())
    play(store, [2, 3, 4, 5, 6, 7])
    asyncio.run(signing.turn())
    assert {head.key_id for head in signed} == {key.public.key_id for key in keys}
    assert held(store, signed, keys=keys)[0].faults == []
    assert {fault.fault for fault in held(store, signed)[0].faults} == {"key"}


def test_a_bundle_verifies_and_is_read_as_its_store_is(store: Store, tmp_path: Path) -> None:
    signed = played(store)
    file = tmp_path / "case.amends"
    manifest = export(store, file, signed)
    assert (manifest.store, manifest.missing) == (store.incarnation(), ())
    found = opened(file)
    assert faults(found) == []
    assert sum(found.signed.values()) == found.report.entries == sum(row.position for row in store.shards())
    with closing(open_bundle(file)) as bundle:
        log = BundleLog(bundle)
        for row in store.runs():
            assert log.run(row.saga_id) == row
            assert list(stored(log, row.saga_id)) == list(stored(store, row.saga_id))
            assert run_history(log, row.saga_id) == run_history(store, row.saga_id)


def local(store: Store, name: str, published: list[SignedHead]) -> LocalCheckpoints:
    leases = RelayLeases(store=store, relay=name, lease_ms=1_000)
    signing = checkpoints(store, published)
    signing.held = lambda: leases.held
    signing.every_s = 0.02
    return LocalCheckpoints(checkpoints=signing, leases=leases)


async def test_of_two_workers_on_the_local_bus_one_signs_each_shard_and_the_other_takes_over(store: Store) -> None:
    await asyncio.to_thread(play, store, range(4))
    first: list[SignedHead] = []
    second: list[SignedHead] = []
    one, two = local(store, "one", first), local(store, "two", second)
    tasks = [asyncio.create_task(one.run())]
    wanted = {(row.shard, row.position) for row in store.shards() if row.position}
    await eventually(lambda: places(first) == wanted, what="the first signs all")
    tasks.append(asyncio.create_task(two.run()))
    one.stop()
    await tasks[0]
    await eventually(lambda: len(two.leases.held) == SHARDS, what="the second takes over")
    await asyncio.to_thread(play, store, range(4, 8))
    two.stop()
    await tasks[1]
    assert places(second) >= {(row.shard, row.position) for row in store.shards() if row.position}
    report, _ = held(store, [*first, *second])
    assert report.faults == []


class AwayAtFirst(Heads):
    """A bus that comes back after the first try."""

    tries = 0

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        self.tries += 1
        if self.tries == 1:
            raise BusUnavailable("AM4101", "it is away", do="wait")
        return await super().publish(records)


class Silent(Heads):
    """A bus that never answers."""

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        await asyncio.Event().wait()
        return []


def places(signed: Sequence[SignedHead]) -> set[tuple[int, int]]:
    return {(head.shard, head.position) for head in signed}


async def test_what_moved_last_is_signed_at_the_stop(store: Store) -> None:
    published: list[SignedHead] = []
    signing = local(store, "one", published)
    signing.checkpoints.every_s = 3_600
    task = asyncio.create_task(signing.run())
    await eventually(lambda: len(signing.leases.held) == SHARDS, what="it has the shards")
    await asyncio.to_thread(play, store, range(2))
    signing.stop()
    await task
    assert places(published) == {(row.shard, row.position) for row in store.shards() if row.position}


def test_a_publication_that_fails_is_made_again_and_both_are_said_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "amends")
    published: list[SignedHead] = []
    signing = checkpoints(store, published)
    signing.sink = AwayAtFirst(published)
    play(store, [1])
    asyncio.run(signing.turn())
    assert published == []
    asyncio.run(signing.turn())
    asyncio.run(signing.turn())
    said = [record.message for record in caplog.records if record.message.startswith("heads_")]
    assert said == ["heads_not_signed", "heads_signed_again"]
    assert places(published) == {(row.shard, row.position) for row in store.shards() if row.position}


async def test_a_stop_does_not_wait_for_a_bus_that_never_answers(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(play, store, [1])

    signing = checkpoints(store, [])
    signing.sink = Silent([])
    async with asyncio.timeout(5):
        await signing.last()
    assert signing.published == 0
    assert [record.message for record in caplog.records if record.message.startswith("heads_")] == ["heads_not_signed"]


def test_entries_that_moved_to_an_archive_stay_in_the_chain_that_signed_heads_are_held_against(
    store: Store, tmp_path: Path
) -> None:
    signed = played(store)
    for _ in Archiving(store=store, folder=tmp_path).move(store.now() + 3_600_000_000):
        pass
    report, shards = held(store, signed)
    assert report.faults == []
    assert [(each.shard, each.signed) for each in shards] == [(row.shard, row.position) for row in store.shards()]
    again: list[SignedHead] = []
    asyncio.run(checkpoints(store, again).turn())
    assert {encode(head) for head in again} <= {encode(head) for head in signed}
    signer = HeadSigner(store=store)
    for row in store.shards():
        moved = bool(row.position) and bool(store.archived(row.shard, after=row.position - 1, limit=1))
        assert not row.position or (signer.sign(row, KEY) is None) == moved, "what is archived has no time to sign"
        beyond = msgspec.structs.replace(row, position=row.position + 1)
        with pytest.raises(NotThere, match=f"no entry at position {row.position + 1}"):
            signer.sign(beyond, KEY)
    (parked,) = store.runs_open()
    with written_whole(tmp_path / "parked.amends") as file:
        Export(store=store, file=file, signed=signed).write([parked])
    found = opened(tmp_path / "parked.amends")
    assert (faults(found), found.signed) == ([], {parked.saga_id: parked.version})
