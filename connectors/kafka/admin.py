"""Looking at a cluster's topics and making them: what the command line needs, besides publishing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from amends.connectors.kafka import faults
from amends.connectors.kafka.client import TROUBLE, client_options, explained, topics_of_cluster
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.topics import TopicFacts
from amends.coordinator.errors import AmendsError, UsageError

START_S = 5.0
SHOWN_S = 3.0
LOOK_S = 0.02
LOOK_S = 0.02


class KafkaAdmin:
    """Every method raises `BusUnavailable`, or `UsageError` where the login, the right or the request is at fault."""

    def __init__(self, settings: KafkaSettings, client: Any) -> None:  # noqa: ANN401  aiokafka has no types
        self._settings = settings
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: KafkaSettings) -> AsyncIterator["KafkaAdmin"]:
        await topics_of_cluster(settings)
        client = AIOKafkaAdminClient(**client_options(settings))
        admin = cls(settings, client)
        try:
            try:
                async with asyncio.timeout(START_S):
                    await client.start()
            except TROUBLE as error:
                await admin._fail(error)
            yield admin
        finally:
            await client.close()

    async def topics(self) -> dict[str, int]:
        """Every topic with its number of partitions, Kafka's internal ones left out."""
        described = await self._described()
        return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["is_internal"]}

    async def require(self, topics: Sequence[str]) -> None:
        """Raise `UsageError` naming those that do not exist."""
        known = await self.topics()
        if missing := [topic for topic in topics if topic not in known]:
            raise faults.missing_topics(self._settings, missing)

    async def describe(self, topics: Sequence[str]) -> list[TopicFacts]:
        """Describe those of the topics that exist, in that order."""
        described = {topic["topic"]: topic for topic in await self._described()}
        found = [topic for topic in topics if topic in described]
        settings = await self._settings_of(found)
        return [
            TopicFacts(
                name=topic,
                partitions=len(described[topic]["partitions"]),
                replication=min((len(each["replicas"]) for each in described[topic]["partitions"]), default=0),
                settings=settings[topic],
            )
            for topic in found
        ]

    async def create(
        self, topic: str, *, partitions: int, replication: int, settings: Mapping[str, str] | None = None
    ) -> bool:
        """Make a topic and say whether it is new; it is known to the cluster then. One that exists stays as it is."""
        wish = NewTopic(topic, partitions, replication, topic_configs=dict(settings or {}))
        try:
            answer = await self._client.create_topics([wish], timeout_ms=10_000)
        except TROUBLE as error:
            await self._fail(error)
        for name, code, message in answer.topic_errors:
            refusal = for_code(code)
            if refusal is TopicAlreadyExistsError:
                return False
            if code:
                raise self._refused(name, f"{refusal.__name__}: {message or refusal.description}")
        await self._known(topic)
        return True

    async def delete(self, topics: Sequence[str]) -> list[str]:
        """Remove topics with all that is in them; name those that the broker did not remove."""
        try:
            answer = await self._client.delete_topics(list(topics), timeout_ms=10_000) if topics else None
        except TROUBLE as error:
            await self._fail(error)
        return [topic for topic, code in answer.topic_error_codes if code] if answer is not None else []

    async def _known(self, topic: str) -> None:
        """Wait until a new topic can be used: the controller has it a moment before the brokers tell of it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while topic not in await self.topics():  # noqa: ASYNC110  the cluster sets no event of ours
                    await asyncio.sleep(LOOK_S)

    async def _shown(self, topic: str) -> None:
        """Wait a moment: brokers learn of a new topic one by one, and whoever is started now looks for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_S):
                while topic not in await topics_of_cluster(self._settings):  # noqa: ASYNC110  the brokers ring no bell
                    await asyncio.sleep(LOOK_S)

    async def _described(self) -> list[dict[str, Any]]:
        try:
            return list(await self._client.describe_topics())
        except TROUBLE as error:
            await self._fail(error)

    async def _settings_of(self, topics: list[str]) -> dict[str, dict[str, str]]:
        wishes = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        try:
            answers = await self._client.describe_configs(wishes) if wishes else []
        except TROUBLE as error:
            await self._fail(error)
        found: dict[str, dict[str, str]] = {}
        for answer in answers:
            for code, message, _, topic, entries in answer.resources:
                if code:
                    await self._fail(for_code(code)(message))
                found[topic] = {entry[0]: entry[1] for entry in entries}
        return found

    async def _fail(self, error: BaseException) -> NoReturn:
        problem: AmendsError = await explained(self._settings, error)
        raise problem from error

    def _refused(self, topic: str, why: str) -> UsageError:
        return UsageError(
            "AM4110",
            f"Kafka at {self._settings.bootstrap} did not make topic {topic!r}: {why}",
            do="choose another name, number of partitions or replication, or ask the cluster's operator",
        )
