"""What must hold of messages: each is taken by one run or by none, and what nobody took is there for others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.ports.rows import ANSWER, Batch
from amends.schemas import events as e
from amends.schemas import wishes
from amends.schemas.entry import Entry
from amends.schemas.events import Event
from amends.schemas.ids import Direction, SagaId

MESSAGES_MAX: Final = 10_000


@dataclass(slots=True, kw_only=True)
class Messages:
    """Fed entry by entry; `finish` looks into the store."""

    require: Callable[[bool, str, str], None]
    taken: dict[str, SagaId] = field(default_factory=dict)
    """Who took it, as the log tells it."""
    waiting: dict[tuple[SagaId, str], str] = field(default_factory=dict)
    """What each open wait is for."""
    pending: dict[tuple[SagaId, str], str] = field(default_factory=dict)
    """Under which key what each pending effect did is still to be heard of."""
    given_back: int = 0

    def committed(self, batch: Batch) -> None:
        self.given_back += sum(len(part.given_back) for part in batch.appends)

    def entry(self, entry: Entry) -> None:
        """A message is taken once."""
        for event in entry.events:
            self._wait(entry.saga_id, event)
            self._answer(entry.saga_id, event)

    def _wait(self, saga_id: SagaId, event: Event) -> None:
        match event:
            case e.WaitStarted(awaits="message"):
                self.waiting[saga_id, event.path] = f"{event.message_type} {event.correlation}"
            case e.MessageReceived():
                self._taken(event.message_id, saga_id)
            case e.StepSucceeded() | e.StepFailed() | e.StepSkipped():
                self.waiting.pop((saga_id, event.path), None)
            case e.SagaKilled():
                self.waiting = {place: what for place, what in self.waiting.items() if place[0] != saga_id}

    def _answer(self, saga_id: SagaId, event: Event) -> None:
        match event:
            case e.StepPending():
                self.pending[_place(saga_id, event.path, event.direction)] = event.correlation
            case e.AnswerReceived():
                self._taken(event.message_id, saga_id)
                if event.answer != "unknown":
                    self.pending.pop(_place(saga_id, event.path, event.direction), None)
            case e.StepSettled(state="present") | e.StepSettled(by="person") | e.GenerationRaised():
                self.pending.pop(_place(saga_id, event.path, event.direction), None)
            case e.StepRequested() | e.StepVerified():
                self.pending.pop((saga_id, event.path), None)
            case e.UndoRequested() | e.UndoVerified():
                self.pending.pop(_place(saga_id, event.path, "undo"), None)

    def _taken(self, message_id: str, saga_id: SagaId) -> None:
        self.require(message_id not in self.taken, "S18", f"{message_id} is taken a second time")
        self.taken[message_id] = saga_id

    def heard_of(self, store: MemoryStore) -> None:
        """Whoever waits is known to the store, or a message is on its way to them."""
        silent = (self.waiting.keys() | self.pending.keys()) - store._tables.awaited.keys()
        if not silent:
            return
        brought = (wishes.read(row.body) for key, row in store._tables.inbox.items() if key.startswith("message:"))
        silent -= {(each.saga_id, each.path) for each in brought if isinstance(each, wishes.Deliver)}
        self.require(not silent, "L1", f"{silent} wait in vain")

    def finish(self, store: MemoryStore) -> None:
        """The store and the logs say the same of every message, and nobody waits any more."""
        for row in store.messages(limit=MESSAGES_MAX):
            by = self.taken.get(row.message_id)
            self.require(row.taken_by == by, "L1", f"the store says {row.taken_by} took {row.message_id}, the log {by}")
            self.require(bool(row.body) == (by is None), "L1", f"{row.message_id} has lost its content")
        waited = [each for each in store.awaited() if each.type != ANSWER]
        self.require(not waited, "L1", f"{waited} are waited for when every run has ended")
        lost = [each for each in store.dead_letters(limit=MESSAGES_MAX) if each.topic == "amends.messages"]
        self.require(not lost, "L1", f"messages that were sound are dead letters: {lost}")


def _place(saga_id: SagaId, path: str, direction: Direction) -> tuple[SagaId, str]:
    return saga_id, path if direction == "forward" else f"{path}.undo"
