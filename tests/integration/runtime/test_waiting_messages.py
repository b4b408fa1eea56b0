"""What waits in the inbox of a shard is taken once the shard is gained, though nothing else happens in the store."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.runtime import worker as worker_module
from amends.coordinator.runtime.engine_thread import EngineThread
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from tests.integration.runtime.workers import worker_on

WITHIN_S = 10


async def test_a_wish_is_taken_by_a_worker_that_looked_before_it_had_the_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'amends.db'}", data_dir=tmp_path)
    looked = asyncio.Event()
    worker = worker_on(store, wake_source=looked.set)
    store.put_inbox([wish("m-1")])
    with monkeypatch.context() as late:  # A busy machine: the engine's thread has not had its first turn.
        late.setattr(EngineThread, "begin", lambda _thread, _engine: None)
        worker._put_together()
    await asyncio.to_thread(worker._ownership.begin)
    looking = asyncio.create_task(worker._look())
    try:
        async with asyncio.timeout(WITHIN_S):
            await looked.wait()
            await asyncio.sleep(0)
            worker._thread.begin(worker._engine)
            while store.inbox(0):  # noqa: ASYNC110  a store makes no events
                await asyncio.sleep(0.01)
    finally:
        looking.cancel()
        await worker._take_down()
        store.close()


async def test_wishes_that_stay_hide_none_that_came_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "INBOX_ROWS", 3)
    store = open_store(f"sqlite:///{tmp_path / 'amends.db'}", data_dir=tmp_path)
    unreadable = [InboxRow(shard=0, message_id=f"{n}", body=b'{"kind": "of a later version"}') for n in range(10)]
    for row in (*unreadable, wish("m-1"), wish("m-2")):
        store.put_inbox([row])

    async def only_they_are_left() -> bool:
        return store.inbox(0) == unreadable

    async with asyncio.timeout(WITHIN_S):
        await worker_on(store).run(until_idle=only_they_are_left)
    store.close()


def wish(message_id: str) -> InboxRow:
    """A wish that nothing comes of: there is no such run."""
    cancel = wishes.Cancel(saga_id=SagaId(str(uuid4())), reason="changed my mind", actor="tester")
    return InboxRow(shard=0, message_id=message_id, body=wishes.write(cancel))
