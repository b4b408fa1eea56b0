"""The bus between a saga in a world for tests and the participants that it commands: what is on it may go astray.

Commands and replies are the records that a real bus would carry. They arrive in order, right after what sent them,
unless something befalls them.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from amends.compensations.faults import BusFault
from amends.coordinator.failures import StepRefused, StepUnavailable
from amends.coordinator.ports.bus import Outgoing, Place
from amends.schemas.instants import MILLISECOND, Instant
from amends.schemas.record import Record

TRANSIT: Final = 1
"""Microseconds: later than what sent it is written down, earlier than anything that is waited for."""
COMMAND: Final = "amends-command"
CORRELATION: Final = "amends-correlation"
KIND: Final = "ce_type"

_FAILING: Final = {
    "answered_refused": StepRefused("refused by the participant"),
    "answered_unavailable": StepUnavailable("the participant is not able to, for now"),
}


@runtime_checkable
class TakesCommands(Protocol):
    """What stands in for a participant behind two topics."""

    name: str
    commands: str

    def carries_out(self, command: str) -> Callable[..., object] | None:
        """The function that carries it out."""

    def take(self, record: Record, *, at: Instant, failing: Exception | None) -> Sequence[Outgoing]:
        """Carry the command out, or fail as it is told to; the replies that are due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends a command: the call of a handler, and what befalls what it sends."""

    call: int = 0
    """Its number, for whoever wants to know what came of it."""
    fault: BusFault | None = None
    held_ms: int | None = None
    """How long what comes late is held up; None: until it is released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One record on its way."""

    sender: Sender
    record: Record
    to: TakesCommands | None
    """None: a reply, for the coordinator."""


Carry = Callable[[Letter, Callable[[], Sequence[Outgoing]]], Sequence[Outgoing]]


class Post:
    """The sink of every attempt, and the way to participants and back. `carry` is around what a participant does."""

    def __init__(self, clock: Callable[[], Instant], participants: Iterable[TakesCommands]) -> None:
        self.opened: Callable[[], Post] = lambda: self
        self.deliver: Callable[[Record], None] = lambda _: None
        self.carry: Carry = lambda _, take: take()
        self.sender = Sender()
        """Whoever runs now."""
        self.sent: dict[int, list[tuple[TakesCommands, str]]] = {}
        """What each call has commanded, and whom."""
        self.lost: set[int] = set()
        """Calls of which a command never arrives."""
        self.correlations: set[str] = set()
        """Of all that was asked."""
        self._clock = clock
        self._participants = tuple(participants)
        self._on_its_way: list[tuple[Instant, int, Letter]] = []
        self._held: list[Letter] = []
        self._number = 0
        self._mended = False

    async def start(self) -> None:
        """It is always there."""

    async def stop(self) -> None:
        """What is on its way stays on its way."""

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        return [self._publish(record) for record in records]

    def next_due(self) -> Instant | None:
        """When the next record arrives."""
        return self._on_its_way[0][0] if self._on_its_way else None

    def come_up(self, *, within: int = 0) -> None:
        """Let what is due arrive, or will be in so many microseconds."""
        while self._on_its_way and self._on_its_way[0][0] <= self._clock() + within:
            _, _, letter = heapq.heappop(self._on_its_way)
            self._arrive(letter)

    @property
    def holds(self) -> bool:
        """Whether something is held up until it is released."""
        return bool(self._held)

    def release(self) -> None:
        """What was held up is on its way again, in the order in which it was sent."""
        held, self._held = self._held, []
        for letter in held:
            self._send(letter)

    def mend(self) -> None:
        """From here on everything arrives, once, and participants do as they are told."""
        self._mended = True
        self.release()

    def _publish(self, record: Outgoing) -> Place:
        sender = self.sender
        letter = Letter(sender=sender, record=self._numbered(record), to=self._recipient(record))
        command = (letter.record.header(COMMAND) or b"").decode()
        self.sent.setdefault(sender.call, []).append((self._recipient(record), command))
        self.correlations.add((letter.record.header(CORRELATION) or b"").decode())
        fault = self._befalling(sender)
        if fault == "command_lost":
            self.lost.add(sender.call)
        elif fault == "command_late":
            self._hold(letter)
        else:
            self._dispatch(letter, again=fault == "command_repeated")
        return Place(topic=record.topic, partition=0, offset=letter.record.offset)

    def _arrive(self, letter: Letter) -> None:
        if letter.to is None:
            self.deliver(letter.record)
            return
        recipient, fault = letter.to, self._befalling(letter.sender)
        at, failing = self._clock(), _FAILING.get(fault or "")
        for record in self.carry(letter, lambda: recipient.take(letter.record, at=at, failing=failing)):
            reply = Letter(sender=letter.sender, record=self._numbered(record), to=None)
            if fault == "reply_lost":
                continue
            if fault == "reply_late":
                self._hold(reply)
            else:
                self._dispatch(reply, again=fault == "reply_repeated")

    def _dispatch(self, letter: Letter, *, again: bool) -> None:
        """Once; or twice in a row, and once more when nobody counts on it."""
        self._send(letter)
        if again:
            self._send(letter)
            self._hold(letter)

    def _send(self, letter: Letter, *, after_ms: int = 0) -> None:
        self._number += 1
        due = self._clock() + (after_ms * MILLISECOND or TRANSIT)
        heapq.heappush(self._on_its_way, (due, self._number, letter))

    def _hold(self, letter: Letter) -> None:
        if letter.sender.held_ms is None:
            self._held.append(letter)
        else:
            self._send(letter, after_ms=letter.sender.held_ms)

    def _befalling(self, sender: Sender) -> BusFault | None:
        return None if self._mended else sender.fault

    def _numbered(self, record: Outgoing) -> Record:
        self._number += 1
        return Record(
            topic=record.topic,
            partition=0,
            offset=self._number,
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp_ms=self._clock() // MILLISECOND,
        )

    def _recipient(self, record: Outgoing) -> TakesCommands:
        """Whoever listens to this topic, by name where several do. An attempt sends to none that is not here."""
        kind = dict(record.headers).get(KIND, b"").decode()
        there = [each for each in self._participants if each.commands == record.topic]
        named = [each for each in there if kind.startswith(f"{each.name}.")]
        return max(named, key=lambda each: len(each.name), default=None) or there[0]


def post_of(clock: Callable[[], Instant], stand_ins: Iterable[object]) -> Post | None:
    """The way to those of them that take commands; None where none does."""
    found = [each for each in stand_ins if isinstance(each, TakesCommands)]
    return Post(clock, found) if found else None
