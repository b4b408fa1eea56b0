"""The composition root: from settings to a store and a bus. The only place of the coordinator that knows connectors.

They are imported when they are asked for: a command on the embedded default loads neither Kafka nor PostgreSQL.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from amends.coordinator.config import Settings
from amends.coordinator.ports.bus import Sink, Source
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.publishing import OwnTopics, Publishing
from amends.coordinator.redaction import SECRETS
from amends.coordinator.sealing.master import MasterReference
from amends.schemas.instants import Instant
from amends.schemas.record import Record

if TYPE_CHECKING:
    from amends.connectors.kafka.registry import SchemaRegistry as SchemaRegistry  # noqa: PLC0414  for annotations elsewhere
    from amends.connectors.kafka.settings import KafkaSettings
    from amends.connectors.kafka.topics import TopicFacts, TopicFinding
    from amends.connectors.local.views import LocalTopicReading
    from amends.connectors.stores.sqlite import SqliteStore
    from amends.schemas.signing import PrivateKey

_PASSWORD_REFERENCE: Final = re.compile(r"(?<=:)\$\{[^}]*\}(?=@)")


def open_store(settings: Settings, *, read_only: bool = False) -> Store:
    """Open the store, made if it is a SQLite one that is missing. Raises `UsageError` or `StoreUnavailable`."""
    from amends.connectors import stores

    return stores.open_store(
        resolved_store_url(settings),
        data_dir=settings.data,
        read_only=read_only,
        shards=settings.shards_new,
        master=master_reference(settings),
    )


def master_reference(settings: Settings) -> MasterReference | None:
    """What leads to the master key, resolved when something is sealed or opened; None where none is set."""
    reference = settings.master_key
    if reference is None:
        return None

    def resolve() -> str:
        from amends.connectors.secrets import secret_template

        return secret_template(reference, what="AMENDS_MASTER_KEY").resolve(secret=True)

    return MasterReference(resolve)


def resolved_store_url(settings: Settings) -> str:
    """The store's URL with its password, as `resolved_url` gives it."""
    url = settings.store_url
    return resolved_url(url, what="AMENDS_STORE") if url.startswith("postgres") else url


def resolved_url(url: str, *, what: str) -> str:
    """A URL with its password, which may stand there as `${env:NAME}` or `${file:PATH}` (rule 17).

    The value is escaped as a URL needs it, and nothing of ours writes it from now on. Raises `UsageError` (AM2002).
    """
    from amends.connectors.secrets import template

    def escaped(found: re.Match[str]) -> str:
        return quote(template(found[0], what=what).resolve(secret=True), safe="")

    url = _PASSWORD_REFERENCE.sub(escaped, url)
    with suppress(ValueError):  # what is no URL is refused by who opens it
        SECRETS.learn(unquote(urlsplit(url).password or ""))
    return url


@contextmanager
def opened_store(settings: Settings, *, read_only: bool = False) -> Iterator[Store]:
    """The same, closed at the end."""
    store = open_store(settings, read_only=read_only)
    try:
        yield store
    finally:
        store.close()


def memory_store(clock: Callable[[], Instant]) -> Store:
    """A store in memory that goes by this clock, ready to be used: for rehearsals."""
    from amends.connectors.stores.memory import MemoryStore

    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    return store


def worker_clock() -> Callable[[], Instant]:
    """This machine's clock: asked often, and there while the store is not. Leases keep to the database's."""
    from amends.connectors.stores.clock import wall_clock

    return wall_clock


def own_topics(settings: Settings) -> OwnTopics:
    """Names of Amends' own topics."""
    return OwnTopics(settings.topic_prefix)


def kafka_settings(settings: Settings) -> "KafkaSettings":
    """How to reach the cluster, its password resolved. Raises `UsageError` (AM4105, AM2002)."""
    from amends.connectors.kafka.settings import KafkaSettings
    from amends.connectors.secrets import secret_template

    assert settings.kafka is not None, "only asked for on a Kafka bus"
    reference = settings.kafka_password
    template = None if reference is None else secret_template(reference, what="AMENDS_KAFKA_PASSWORD")
    return KafkaSettings(
        bootstrap=settings.kafka,
        security_protocol=settings.kafka_security_protocol or "PLAINTEXT",
        sasl_mechanism=settings.kafka_sasl_mechanism,
        user=settings.kafka_user,
        password=None if template is None else template.resolve(secret=True),
        ca_file=settings.kafka_ca_file,
        client_id=settings.kafka_client_id or "amends",
    )


def open_source(settings: Settings, store: Store) -> Source:
    """Trigger topics, read as a member of this installation's group. Not started."""
    if settings.kafka is None:
        from amends.connectors.local.source import LocalSource

        return LocalSource(store, group=settings.group)
    from amends.connectors.kafka.membership import Group
    from amends.connectors.kafka.source import KafkaSource

    return KafkaSource(kafka_settings(settings), group=Group(name=settings.group))


def open_sink(settings: Settings, store: Store | None, *, required: Sequence[str] = ()) -> Sink:
    """Where records are published to. Not started. On the local bus it needs the store.

    On Kafka its start raises `UsageError` (AM4104) naming those of the `required` topics that do not exist.
    """
    if settings.kafka is None:
        from amends.connectors.local.sink import LocalSink

        assert store is not None, "local topics are tables in the store"
        return LocalSink(store, own=own_topics(settings), now=store.now)
    from amends.connectors.kafka.sink import KafkaSink

    return KafkaSink(kafka_settings(settings), required=required)


@asynccontextmanager
async def participant_bus(settings: Settings, name: str) -> AsyncIterator[tuple[Source, Sink]]:
    """The bus as a participant in a process of its own uses it: its commands' source, and the sink of its replies."""
    group = f"{settings.topic_prefix}.participant.{name}"
    source: Source
    with ExitStack() as stack:
        if settings.kafka is None:
            from amends.connectors.local.source import LocalSource

            store = stack.enter_context(opened_store(settings))
            source, sink = LocalSource(store, group=group), open_sink(settings, store)
        else:
            from amends.connectors.kafka.membership import Group
            from amends.connectors.kafka.source import KafkaSource

            source, sink = KafkaSource(kafka_settings(settings), group=Group(name=group)), open_sink(settings, None)
        try:
            yield source, sink
        finally:
            await source.stop()
            await sink.stop()


def open_signing_sink(settings: Settings, store: Store) -> Sink:
    """Where signed heads go on the local bus: a table, which nobody else may write to."""
    from amends.connectors.local.sink import LocalSink

    return LocalSink(store, own=own_topics(settings), now=store.now, signing=True)


def signing_key(settings: Settings) -> "PrivateKey | None":
    """The key that signs the shards' heads, read anew; None where none is set. Raises `UsageError` (AM2002, AM3010)."""
    reference = settings.checkpoint_key
    if reference is None:
        return None
    from amends.connectors.secrets import secret_template
    from amends.coordinator.evidence import faults
    from amends.schemas.signing import NoKey, PrivateKey

    try:
        return PrivateKey.read(secret_template(reference, what="AMENDS_CHECKPOINT_KEY").resolve(secret=True))
    except NoKey as error:
        raise faults.no_signing_key(reference, str(error)) from None


async def topics_missing(settings: Settings, topics: Sequence[str]) -> None:
    """Raise `UsageError` for Kafka topics that do not exist, within 5 s. Local ones come into being by themselves."""
    if settings.kafka is None:
        return
    from amends.connectors.kafka.admin import KafkaAdmin

    async with KafkaAdmin.connected(kafka_settings(settings)) as admin:
        await admin.require(topics)


async def topic_names(settings: Settings, store: Store) -> dict[str, int]:
    """Every topic of the bus with its number of partitions."""
    if settings.kafka is None:
        return dict.fromkeys(store.topics(), 1)
    from amends.connectors.kafka.admin import KafkaAdmin

    async with KafkaAdmin.connected(kafka_settings(settings)) as admin:
        return await admin.topics()


async def create_topics(
    settings: Settings, topics: Sequence[str], *, partitions: int, replication: int
) -> dict[str, bool]:
    """Make Kafka topics with the settings ours need; for each whether it is new."""
    from amends.connectors.kafka.admin import KafkaAdmin
    from amends.connectors.kafka.topics import settings_of

    own = own_topics(settings)
    async with KafkaAdmin.connected(kafka_settings(settings)) as admin:
        return {
            topic: await admin.create(
                topic, partitions=partitions, replication=replication, settings=settings_of(topic, own)
            )
            for topic in topics
        }


async def describe_topics(
    settings: Settings, topics: Sequence[str]
) -> tuple[list["TopicFacts"], list["TopicFinding"], list[str]]:
    """What the broker says of the topics, what is wrong or risky there, and which of them are missing."""
    from amends.connectors.kafka.admin import KafkaAdmin
    from amends.connectors.kafka.topics import findings_of

    own = own_topics(settings)
    async with KafkaAdmin.connected(kafka_settings(settings)) as admin:
        facts = await admin.describe(topics)
    known = {each.name for each in facts}
    findings = [found for each in facts for found in findings_of(each, own)]
    return facts, findings, [topic for topic in topics if topic not in known]


def read_kafka(settings: Settings, topic: str, *, follow: bool = False) -> AsyncIterator[Record]:
    """A Kafka topic from its start to its present end, or for ever."""
    from amends.connectors.kafka.reading import read_topic

    return read_topic(kafka_settings(settings), topic, follow=follow)


def backup_store(settings: Settings, to: Path) -> None:
    """Copy the store while it is used. Raises `UsageError` for a store that is copied by its own tools."""
    store = open_store(settings, read_only=True)
    try:
        _copies(store).backup(to)
    finally:
        store.close()


def restore_store(settings: Settings, source: Path) -> None:
    """Become what the backup was. Raises `Conflict` while a coordinator runs."""
    store = open_store(settings)
    try:
        _copies(store).restore(source)
    finally:
        store.close()


def _copies(store: Store) -> "SqliteStore":
    from amends.connectors.stores import faults
    from amends.connectors.stores.sqlite import SqliteStore

    if isinstance(store, SqliteStore):
        return store
    raise faults.copy_elsewhere(store.kind, "use pg_dump and pg_restore; stop the workers before restoring")


def migrate_store(settings: Settings) -> None:
    """Make or bring up the tables."""
    store = open_store(settings)
    try:
        store.migrate(shards=settings.shards_new)
    finally:
        store.close()


def only_sqlite(settings: Settings) -> bool:
    """Whether the store is the embedded one."""
    return settings.store_url.startswith("sqlite:")


def claim_coordinator(store: Store) -> None:
    """Take the lock of an embedded store before anything else is done. Raises `Conflict` (exit 7)."""
    if store.kind == "sqlite":
        from amends.connectors.stores.sqlite import SqliteStore

        assert isinstance(store, SqliteStore)
        store.lock.acquire()


def open_registry(settings: Settings) -> "SchemaRegistry | None":
    """The schema registry, if one is set. An async context manager."""
    if settings.schema_registry is None:
        return None
    from amends.connectors.kafka.registry import SchemaRegistry

    return SchemaRegistry(resolved_url(settings.schema_registry, what="AMENDS_SCHEMA_REGISTRY"))


def open_worker_source(settings: Settings, store: Store) -> tuple[Source, Callable[[], None] | None]:
    """Trigger topics as a worker reads them, and what wakes a local source."""
    if settings.kafka is not None:
        return open_source(settings, store), None
    from amends.connectors.local.source import LocalSource
    from amends.coordinator.runtime.leased_source import LeasedSource

    local = LocalSource(store, group=settings.group)
    if store.kind != "postgresql":
        return local, local.wake
    return LeasedSource(local, store, owner=uuid4().hex, lease_ms=settings.lease_ms), local.wake


def local_reading(settings: Settings, store: Store) -> "LocalTopicReading":
    """Any topic of the local bus, our own among them, which are views over the log."""
    from amends.connectors.local.views import LocalTopicReading

    return LocalTopicReading(store=store, publishing=publishing(settings))


def publishing(settings: Settings, *, schema_id_of: Callable[[str], int | None] = lambda _: None) -> Publishing:
    """How records of ours look."""
    return Publishing(
        own=own_topics(settings),
        namespace=settings.namespace,
        form=settings.topic_format,
        schema_id_of=schema_id_of,
    )


async def kafka_ends(settings: Settings, topic: str) -> dict[int, int]:
    """The offset that each partition's next record will have."""
    from amends.connectors.kafka.reading import end_offsets

    return await end_offsets(kafka_settings(settings), topic)
