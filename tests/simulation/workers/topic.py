"""The trigger topic: partitions, who reads them, and how far each is known to be accounted for."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from amends.coordinator.definition.form import DefinitionForm
from amends.schemas.ids import SagaId, saga_id_of
from amends.schemas.record import Record
from tests.simulation.random_definitions import DICE, PILES
from tests.simulation.workers.closing import TOPIC

NAMESPACE = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A record, and what it must become. `saga_id` is None for one that cannot become a run."""

    record: Record
    saga_id: SagaId | None
    dice: int


@dataclass(slots=True)
class Partition:
    """`committed` is what the group has said; `reader` names the worker that reads, from `position` on."""

    records: list[Published] = field(default_factory=list)
    committed: int = 0
    position: int = 0
    reader: Any = None

    def give_to(self, reader: object) -> None:
        """Have another worker read from where the former one has said it was."""
        if self.reader is not reader:
            self.reader, self.position = reader, self.committed


@dataclass(slots=True, kw_only=True)
class Topic:
    """All its partitions."""

    form: DefinitionForm
    random: Random
    partitions: list[Partition]

    def publish(self) -> None:
        """A request: new, repeated, repeated with another payload, or no request at all; sometimes twice at once."""
        key = f"R-{self.random.randrange(12)}"
        everywhere = self.random.random() < 0.7
        numbers = range(len(self.partitions)) if everywhere else [self.random.randrange(len(self.partitions))]
        for number in numbers:
            self._publish(number, key)

    def _publish(self, number: int, key: str) -> None:
        partition = self.partitions[number]
        dice = self.random.choice(DICE) if self.random.random() < 0.15 else hash_of(key) % len(DICE)
        unreadable = self.random.random() < 0.05
        trigger = {"id": key, "order": f"A-{hash_of(key) % 3}", "dice": dice, "pile": dice % PILES}
        value = b"{" if unreadable else json.dumps(trigger).encode()
        saga_id = saga_id_of(namespace=NAMESPACE, saga=self.form.name, idempotency_key=key)
        published = Published(
            record=Record(topic=TOPIC, partition=number, offset=len(partition.records), value=value),
            saga_id=None if unreadable else saga_id,
            dice=dice,
        )
        partition.records.append(published)

    def at(self, partition: int, offset: int) -> Published:
        """The record of a place."""
        return self.partitions[partition].records[offset]


def hash_of(key: str) -> int:
    """The same everywhere, unlike `hash`."""
    return sum(key.encode())
