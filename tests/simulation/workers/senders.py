"""Other services: they send the messages that runs wait for, early or late, twice, of the wrong type, or never."""

import json
from dataclasses import dataclass, field
from itertools import count
from random import Random

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.ports.rows import MessageRow
from amends.schemas.instants import SECOND, Instant
from tests.simulation.random_definitions import DICE, PILES
from tests.simulation.world import Verdict

KEPT_US = 10**9 * SECOND


@dataclass(slots=True, kw_only=True)
class Senders:
    """The store always answers them: what they sent is kept."""

    random: Random
    store: MemoryStore
    _numbers: "count[int]" = field(default_factory=count)

    @staticmethod
    def are_needed(form: DefinitionForm) -> bool:
        """Whether anything in the definition waits for a message."""
        return any(step.wait is not None and step.wait.awaits == "message" for step in form.steps)

    def answer(self, key: str, verdict: Verdict, path: str, now: Instant) -> None:
        """An answer for what is pending under a key; sometimes first none that says anything, or one that is wrong."""
        said: list[str] = ["unknown"] if self.random.random() < 0.1 else []
        said += ["succeeded" if verdict == "done" else verdict] * self.random.choice((1, 1, 1, 2))
        for answer in said:
            row = MessageRow(
                message_id=f"m-{next(self._numbers)}",
                correlation_key=key,
                type="Answer",
                answer=answer,
                body="7" if self.random.random() < 0.1 else json.dumps(path),
                topic="amends.messages",
                received_at=now,
                expires_at=now + KEPT_US,
                actor="topic",
            )
            for _ in range(self.random.choice((1, 1, 1, 2))):
                self.store.put_messages([row])

    def send(self, now: Instant) -> None:
        """A message for whoever waits under some key; sometimes again, sometimes one that nobody waits for."""
        row = MessageRow(
            message_id=f"m-{next(self._numbers)}",
            correlation_key=str(self.random.choice(DICE) % PILES),
            type="Return" if self.random.random() < 0.1 else "Arrival",
            body=json.dumps("here"),
            topic="amends.messages",
            received_at=now,
            expires_at=now + KEPT_US,
            actor="topic",
        )
        for _ in range(self.random.choice((1, 1, 1, 2))):
            self.store.put_messages([row])
