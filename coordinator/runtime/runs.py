"""A run in memory: a struct in a dict, nothing more. No task, queue, future or timer belongs to it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from amends.coordinator.core.commands import Command
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.sealing.keys import Seal
from amends.schemas.events import Digest, Role
from amends.schemas.ids import Direction, SagaId
from amends.schemas.instants import Instant


class Identity(NamedTuple):
    """One handler call of a run: an attempt, or a question by its number."""

    path: str
    direction: Direction
    role: Role
    number: int


def identity_of(command: Command) -> Identity:
    """What makes two commands the same."""
    return Identity(command.path, command.direction, command.role, command.number)


@dataclass(slots=True, kw_only=True)
class Run:
    """`state` may be one batch ahead of the store; `running` is what was handed over, so never ahead."""

    saga_id: SagaId
    shard: int
    plan: Plan
    state: State
    payloads: dict[Digest, bytes] = field(default_factory=dict)
    running: dict[Identity, Command] = field(default_factory=dict)
    put_off: dict[Identity, Command] = field(default_factory=dict)
    """Questions whose instant has not come, and commands that wait for a slot or a handler."""
    begun: set[Identity] = field(default_factory=set)
    """Attempts handed over here: none is a second time, though its reply is in a batch that was taken back."""
    due: Instant | None = None
    timer_due: Instant | None = None
    """The `due` that a timer was last set for."""
    told: str | None = None
    """What its row said it waits for, when it was read from the store."""
    seal: Seal | None = None
    """How its payloads and texts are sealed, if they are."""
    uncommitted: int = 0
    """Decisions that the store does not have yet."""

    def payload(self, digest: Digest) -> bytes:
        """A value's JSON text. Raises `KeyError` if it is nowhere, which puts the run into quarantine."""
        return self.payloads[digest]
