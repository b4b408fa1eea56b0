"""Reading topics of either bus as records: for `--from-topic` and `topics tail`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from amends.coordinator import bootstrap
from amends.coordinator.cli.call import Call
from amends.coordinator.cli.progress import progress
from amends.coordinator.config import Settings
from amends.coordinator.errors import NotFound, UsageError
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.verify import Report
from amends.coordinator.reading.verify_topic import TopicVerification
from amends.schemas.decoding import UnknownSchema, Writers, confluent_id_of, decode
from amends.schemas.export import PUBLISHED
from amends.schemas.ids import SagaId
from amends.schemas.outcome import OUTCOMES, Outcome
from amends.schemas.record import Record
from amends.schemas.undecodable import Undecodable

if TYPE_CHECKING:
    from amends.coordinator.bootstrap import SchemaRegistry

PAGE: Final = 500
LOOK_S: Final = 0.1


async def records(
    settings: Settings, topic: str, *, store: Store | None = None, follow: bool = False
) -> AsyncIterator[Record]:
    """A topic's records from its start to its present end, or for ever. The local bus needs the store."""
    if settings.kafka is not None:
        async for record in bootstrap.read_kafka(settings, topic, follow=follow):
            yield record
        return
    assert store is not None, "local topics are in the store"
    async for record in _local(settings, store, topic, follow=follow):
        yield record


async def _local(settings: Settings, store: Store, topic: str, *, follow: bool) -> AsyncIterator[Record]:
    reading = bootstrap.local_reading(settings, store)
    if topic not in reading.topics():
        raise NotFound("AM5040", f"there is no topic {topic!r}", do="`amends topics check` lists those there are")
    after = dict.fromkeys(reading.partitions(topic), -1)
    while True:
        found = False
        for partition in after:
            while page := reading.read(topic, partition=partition, after=after[partition], limit=PAGE):
                found = True
                after[partition] = page[-1].offset
                for record in page:
                    yield record
        if not follow:
            return
        if not found:
            await asyncio.sleep(LOOK_S)


class Decoding:
    """Decodes records of any topic, asking the registry for schemas if there is one. An async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._registry: SchemaRegistry | None = None

    async def __aenter__(self) -> Self:
        registry = bootstrap.open_registry(self._settings)
        if registry is not None:
            self._registry = await self._stack.enter_async_context(registry)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def data(self, record: Record) -> tuple[str, object]:
        """Encoding and data. Raises `Undecodable` or `UnknownSchema`."""
        if record.unreadable is not None:
            raise Undecodable(record.unreadable)
        schema_id = confluent_id_of(record)
        registry = self._registry
        writers = Writers(ours=[kind.avro for kind in PUBLISHED])
        if registry is not None:
            if schema_id is not None:
                await registry.fetch(schema_id)
            writers = Writers(ours=[kind.avro for kind in PUBLISHED], lookup=registry.known)
        decoded = decode(record, writers)
        assert decoded is not None, "nothing is refused"
        return decoded.encoding, decoded.data

    async def outcome(self, record: Record) -> Outcome:
        """An outcome record. Raises `Undecodable` or `UnknownSchema`."""
        encoding, data = await self.data(record)
        if encoding == "json":
            return OUTCOMES.of_json(record.value or b"")
        return OUTCOMES.of_value(data)


async def verified_from_topic(call: Call, run: str | None) -> Report:
    """Verify from the topics alone: outcomes first, then the audit topic. The store is not looked at on Kafka."""
    only = None if run is None else SagaId(_whole_id(call, run))
    verification = TopicVerification(only)
    own = bootstrap.own_topics(call.settings)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(call.store()) if call.settings.kafka is None else None
        decoding = await stack.enter_async_context(Decoding(call.settings))
        async for record in records(call.settings, own.outcomes, store=store):
            try:
                verification.outcome(await decoding.outcome(record))
            except (Undecodable, UnknownSchema) as error:
                where = f"{record.topic} {record.partition}@{record.offset}"
                verification.report.found("undecodable", f"{where}: {error}")
        with progress("verifying the topic's entries") as looked:
            async for record in records(call.settings, own.audit, store=store):
                verification.record(record)
                looked(1)
    return verification.finish(known=() if only is None else (only,))


async def entries_from_topic(call: Call, run: str) -> list[bytes]:
    """A run's entries in the audit topic, each version once, in order. Raises `NotFound`."""
    saga_id = _whole_id(call, run)
    found: list[bytes] = []
    own = bootstrap.own_topics(call.settings)
    with ExitStack() as stack:
        store = stack.enter_context(call.store()) if call.settings.kafka is None else None
        wanted = saga_id.encode()
        found.extend(
            [
                record.value
                async for record in records(call.settings, own.audit, store=store)
                if record.key == wanted and record.value is not None
            ]
        )
    return found


def _whole_id(call: Call, run: str) -> str:
    """From the topic alone a run has only its whole id; on the local bus every name is good."""
    try:
        return str(UUID(run))
    except ValueError:
        pass
    from amends.coordinator.reading.naming import find_run

    try:
        with call.store() as store:
            return find_run(store, run).saga_id
    except UsageError as error:
        raise UsageError("AM5005", f"{run!r} is no saga id, and {error.what}", do="give the whole saga id") from error
