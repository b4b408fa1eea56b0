"""One trial of a connector: requests of a run that never was, and what they did to a fresh object."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from amends.coordinator.attempt import Attempt, attempting
from amends.coordinator.definition.dependency import Dependency
from amends.coordinator.definition.form import Certainty
from amends.coordinator.failures import StepRefused, StepUnavailable
from amends.coordinator.testing.attempts import attempt_at, new_saga_id
from amends.schemas.ids import SagaId

Count = Callable[[str], Awaitable[int]]
Act = Callable[[str], Awaitable[object]]
Fault = Callable[[str], AbstractAsyncContextManager[object]]

EPOCH: Final = 7
RESENDS: Final = 40
RESEND_PAUSE_S: Final = 0.25


class BrokenPromise(AssertionError):
    """What was promised, what happened instead, and what follows from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A connector and one step that acts through it. Every function takes the object it is about, a fresh text.

    `applied` and `undone` count, in the participant's own books and not through the connector, how often the step and
    its undo took effect on that object. The faults are context managers: within `refuses`, the participant refuses the
    object's requests for good; within `loses_replies`, it acts and its reply is lost; within `unreachable`, it is not
    there. `fences`: it refuses a lower epoch. `secrets`: values that must appear nowhere.
    """

    dependency: Dependency
    do: Act
    applied: Count
    undo: Act | None = None
    undone: Count | None = None
    lookup: Act | None = None
    refuses: Fault | None = None
    loses_replies: Fault | None = None
    unreachable: Fault | None = None
    fences: bool = False
    secrets: tuple[str, ...] = ()

    @property
    def promises(self) -> Certainty:
        return self.dependency.certainty or Certainty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one attempt came to."""

    attempt: Attempt
    value: object = None
    failure: Exception | None = None

    @property
    def ok(self) -> bool:
        return self.failure is None

    @property
    def definite_failure(self) -> bool:
        return isinstance(self.failure, StepRefused | StepUnavailable)

    def __str__(self) -> str:
        return "success" if self.failure is None else f"{type(self.failure).__name__}: {self.failure}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of one check: a run that never was, and an object nobody else knows."""

    subject: Subject
    promise: str
    thing: str = field(default_factory=lambda: f"kit-{uuid4().hex[:12]}")
    saga_id: SagaId = field(default_factory=new_saga_id)

    async def do(self, *, number: int = 1, generation: int = 0, epoch: int = EPOCH) -> Reply:
        """The step. A number above 1 says that the key was used before."""
        attempt = attempt_at(self.saga_id, number=number, generation=generation, epoch=epoch)
        return await self.under(attempt, self.subject.do)

    async def undo(self, *, number: int = 1, epoch: int = EPOCH) -> Reply:
        attempt = attempt_at(self.saga_id, role="undo", undo=True, number=number, epoch=epoch)
        assert self.subject.undo is not None
        return await self.under(attempt, self.subject.undo)

    async def lookup(self) -> object:
        """What the lookup says; it has to say something."""
        assert self.subject.lookup is not None
        reply = await self.under(attempt_at(self.saga_id, role="lookup", epoch=EPOCH), self.subject.lookup)
        self.expect(reply.ok, f"the lookup failed with {reply}", "doubt can then only be settled by a person")
        return None if reply.value is False else reply.value

    async def under(self, attempt: Attempt, act: Act) -> Reply:
        with attempting(attempt):
            try:
                return Reply(attempt=attempt, value=await act(self.thing))
            except Exception as failure:  # noqa: BLE001  every verdict is looked at
                return Reply(attempt=attempt, failure=failure)

    async def do_until_definite(self) -> Reply:
        """The same request under the same key until the answer is definite, as a coordinator settles (rule 8)."""
        reply = await self.do(number=2)
        for number in range(3, RESENDS):
            if reply.ok or isinstance(reply.failure, StepRefused):
                return reply
            await asyncio.sleep(RESEND_PAUSE_S)
            reply = await self.do(number=number)
        return reply

    async def books(self) -> tuple[int, int]:
        """How often the step and its undo took effect."""
        undone = 0 if self.subject.undone is None else await self.subject.undone(self.thing)
        return await self.subject.applied(self.thing), undone

    async def expect_books(self, *, applied: int, undone: int = 0, after: str, follows: str) -> None:
        found = await self.books()
        self.expect(
            found == (applied, undone),
            f"after {after} the step had taken effect {found[0]} times and its undo {found[1]} times"
            f" instead of {applied} and {undone}",
            follows,
        )

    def expect(self, kept: bool, what: str, follows: str) -> None:  # noqa: FBT001  it reads as a sentence
        if not kept:
            name = self.subject.dependency.name
            raise BrokenPromise(f"{name} promises that {self.promise}, but {what}: {follows}")

    def expect_success(self, reply: Reply, what: str) -> None:
        self.expect(reply.ok, f"{what} ended with {reply}", "the kit needs it to succeed; is the participant up?")
