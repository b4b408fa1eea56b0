"""Records between two topics, carried by hand: late, the last first, each twice, and all that came before again."""

from dataclasses import dataclass

from confluent_kafka import Producer

from tests.e2e.kafka.installation import Installation
from tests.e2e.kafka.topics import Copied, records

WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What is sent to one topic comes to the other by `carry`, or not at all."""

    amends: Installation
    sent: str
    to: str

    @property
    def waiting(self) -> list[Copied]:
        """All that was ever sent."""
        return records(self.amends, self.sent)

    def carry(self, *, in_order: bool = False) -> None:
        """Bring all of it, each to both partitions."""
        producer = Producer({"bootstrap.servers": self.amends.address})
        bag = self.waiting if in_order else self.waiting[::-1]
        for each in bag:
            for partition in (0, 1):
                producer.produce(self.to, key=each.key, value=each.value, headers=each.headers, partition=partition)
        assert producer.flush(WITHIN_S) == 0
