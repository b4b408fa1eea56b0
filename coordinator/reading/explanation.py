"""What a run says of itself: the keys under `explanation` of `runs show -o json`. Times are RFC 3339 text."""

from typing import Literal

import msgspec

from amends.coordinator.core.state import Phase
from amends.coordinator.reading.possible import Possible
from amends.schemas.events import Failure, VerifiedBy
from amends.schemas.ids import Direction
from amends.schemas.outcome import Exposure

WaitKind = Literal[
    "reply",  # an attempt is open
    "return",  # an attempt's time is up, and its handler still runs
    "round",  # a loop's next round has its instant
    "retry",  # the next request has its instant
    "question",  # a lookup or a read-back is asked whether something happened
    "answer",  # the participant has taken it on, and a message will say what came of it
    "verification",  # after the end, the world is read back at its instant
    "readback",  # the participant says done, and the world is read back
    "message",
    "instant",
    "pause",
    "lock",
    "handler",  # no worker has it
    "worker",  # nobody owns the run's shard
    "person",  # the run is parked
    "quarantine",
]


UndoPhase = Literal[
    "none",  # there is nothing to undo, or it is over
    "if_it_turns_back",  # the run goes forward: what would be undone if it failed or were cancelled now
    "draining",  # it has turned back: what was sent is awaited and settled first
    "compensating",
    "past_the_pivot",  # nothing may be undone any more
    "all_done",  # nor here: it is only asked whether all is as expected
    "left",  # the run was killed: nobody undoes anything
]

May = Literal["yes", "person", "no"]

ApprovedKind = Literal["locks", "message", "decision"]


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Completed(_Told, frozen=True, kw_only=True):
    """A step that is over."""

    path: str
    kind: str
    status: Literal["done", "skipped"]
    at: str | None
    verified_by: VerifiedBy | None
    """None: the reply alone says so, or it has no effect."""
    external_id: str | None
    because: str | None
    """Of one that was skipped."""


class Unfinished(_Told, frozen=True, kw_only=True):
    """A step, or an undo, that the run is still to do."""

    path: str
    direction: Direction
    status: Phase
    attempts: int
    after: tuple[str, ...]
    """What must be over before it begins, as far as it is not."""


class Approved(_Told, frozen=True, kw_only=True):
    """What somebody let the run have: locks, messages, decisions of people."""

    kind: ApprovedKind
    at: str
    version: int
    actor: str
    what: str
    step: str | None = None
    reason: str | None = None
    evidence: str | None = None


class RetryVerdict(_Told, frozen=True, kw_only=True):
    """Whether a step or undo that is not over may be tried again, by whom, and why or why not."""

    path: str
    direction: Direction
    may: May
    attempts: int
    """Those that count against the policy."""
    attempts_max: int
    due_at: str | None
    why: str
    failure: Failure | None


class Undoing(_Told, frozen=True, kw_only=True):
    """One place in the undo order."""

    path: str
    status: Phase
    """Of the undo."""
    verified_by: VerifiedBy | None
    """Of one that is done: what showed it."""
    certain: bool
    """False: whether its effect happened at all is not known yet."""
    verified: Literal["readback", "reply"]
    """How it will be known that it is undone."""
    readback: str | None
    """The handler that is asked."""
    follow_up: bool
    """It reverses nothing: it does what makes good instead."""


class UndoOrder(_Told, frozen=True, kw_only=True):
    """What must be undone, the first first."""

    phase: UndoPhase
    savepoint: str | None
    """The step that a person had it undone to: it goes forward again from there."""
    steps: tuple[Undoing, ...]
    stays: tuple[Exposure, ...]
    """What would be left in the world, or is."""


class Waited(_Told, frozen=True, kw_only=True):
    """One thing that the run waits for."""

    kind: WaitKind
    path: str | None
    direction: Direction | None
    what: str
    since: str | None
    until: str | None
    """When it ends or is given up; None: nothing ends it but its coming."""
    then: str | None = None
    """What happens if it has not come by then."""
    key: str | None = None
    """A lock's, or a message's correlation key."""
    message_type: str | None = None
    saga_id: str | None = None
    """The run that holds the lock."""
    before: int | None = None
    """Runs that stand before it in the lock's row."""
    see: str | None = None
    """The command that says more."""


class Explanation(_Told, frozen=True, kw_only=True):
    """The whole of it."""

    at: str
    """Now, or the time of the entry after which it was so."""
    items: dict[str, tuple[str, ...]]
    """Of each step that was planned to be done for each item of a list, what its items are called, in their order."""
    completed: tuple[Completed, ...]
    pending: tuple[Unfinished, ...]
    approved: tuple[Approved, ...]
    retries: tuple[RetryVerdict, ...]
    undo: UndoOrder
    waits: tuple[Waited, ...]
    turns_back_at: str | None
    """When the run turns back if it is not behind its pivot by then: its deadline, or its budget's time."""
    commands: tuple[Possible, ...]
