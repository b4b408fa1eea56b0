"""Which scenarios a saga is rehearsed in: one fault at every moment of a course that a run really took.

A course is what was seen of a run: the calls of its handlers, and its entries. Two courses are broken everywhere: the
one without faults, and the one that is turned back as late as it can be, in which every undo runs.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from amends.compensations.faults import Fault, FaultKind
from amends.schemas.events import Role
from amends.schemas.ids import Direction

TOMBSTONED_MS: Final = 3600 * 1_000
"""How late a request comes to a participant that promises to refuse it however late it is."""


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What matters of a step of the definition. `handlers` are registered names."""

    path: str
    kind: str
    handler: str
    verify: str | None = None
    lookup: str | None = None
    undo: str | None = None
    undo_verify: str | None = None
    follow_up: bool = False
    pivot: bool = False
    past_pivot: bool = False
    class_c: bool = False
    deduplicates: bool = False
    undo_deduplicates: bool = False
    late_ms: int = 0
    """How late a request may still act, by what its participant promises; 0: it promises nothing of it."""
    refuses: bool = False
    """Its own code raises a refusal."""
    waits: bool = False
    """For a message: as a step of its own, or where its handler returns before it is done."""
    unseen: bool = False
    """The user says that no snapshot shows its effect."""

    @property
    def acts(self) -> bool:
        return self.kind == "action"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a handler. `nth` counts that handler's calls; `requests` are those its connectors sent to act."""

    handler: str
    path: str
    direction: Direction
    role: Role
    nth: int
    made: bool
    """Whether the user's function was really called, and what it sent has not been lost on its way."""
    returned: bool = False
    """Whether it came back with a result."""
    requests: int = 0
    commands: int = 0
    """Those that it put on the bus, for participants that answer later."""
    carried: tuple[str, ...] = ()
    """What carries them out, in words: whose, and where it is written."""
    may_refuse: bool = False
    """The code of what carries them out raises a refusal."""
    changed: tuple[str, ...] = ()
    """Where the world differed after it, and after the participants carried its commands out."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    calls: tuple[Call, ...]
    entries: int


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger, and what goes wrong."""

    trigger: int
    """Which of the triggers, from 1."""
    faults: tuple[Fault, ...] = ()


_ACTING: tuple[FaultKind, ...] = (
    "refused",
    "unavailable",
    "lost_before",
    "lost_after",
    "lost_before_always",
    "lost_after_always",
    "raises_before",
    "raises_after",
    "died_before",
    "died_after",
)
_READING: tuple[FaultKind, ...] = ("refused", "unavailable_once", "died_before")
_ASKED: tuple[FaultKind, ...] = ("denied", "unread", "died_before")


def base_path(path: str) -> str:
    """The step of a path, without the places of its items and rounds: `notify[2]` is `notify`."""
    head, bracket, tail = path.partition("[")
    return f"{head}{base_path(tail.partition(']')[2])}" if bracket else head


def turn_of(calls: tuple[Call, ...], steps: Mapping[str, StepFacts]) -> tuple[Fault, ...]:
    """Where a run can be turned back so that the step itself is undone, too, in the order of the calls."""
    found: dict[str, Fault] = {}
    for call in calls:
        step = steps[base_path(call.path)]
        if call.direction == "forward" and _turns(call, step):
            found.setdefault(call.path, _at(call, "turned_back"))
    return tuple(found.values())


def _turns(call: Call, step: StepFacts) -> bool:
    """Whether a run that is turned back here undoes the step itself."""
    return call.role == "step" and step.undo is not None and not step.past_pivot


def forward_scenarios(course: Course, steps: Mapping[str, StepFacts], trigger: int) -> Iterator[Scenario]:
    """The course without faults, broken at every moment."""
    for call in course.calls:
        if call.direction == "forward":
            step = steps[base_path(call.path)]
            for fault in _faults_of(call, step):
                yield Scenario(trigger=trigger, faults=(fault,))
            if call.commands and step.late_ms and _turns(call, step):
                yield Scenario(trigger=trigger, faults=(_at(call, "turned_back"), _at(call, "command_late")))
    commanding = {base_path(call.path) for call in course.calls if call.commands}
    for step in steps.values():
        if step.waits and step.path not in commanding:
            fault = Fault(kind="unanswered", path=step.path)
            yield Scenario(trigger=trigger, faults=(fault,))
    for fault in _deaths(course):
        yield Scenario(trigger=trigger, faults=(fault,))


def turned_scenarios(
    course: Course, steps: Mapping[str, StepFacts], trigger: int, turn: tuple[Fault, ...]
) -> Iterator[Scenario]:
    """A course that turned back, broken on its way back; and with its steps requested in another order."""
    for call in course.calls:
        step = steps[base_path(call.path)]
        if call.direction == "undo":
            for fault in _faults_of(call, step):
                yield Scenario(trigger=trigger, faults=(*turn, fault))
        elif call.role == "step" and step.acts and turn and call.path != turn[-1].path:
            yield Scenario(trigger=trigger, faults=(*turn, _at(call, "unavailable_once")))
    for fault in _deaths(course):
        yield Scenario(trigger=trigger, faults=(*turn, fault))


def _faults_of(call: Call, step: StepFacts) -> Iterator[Fault]:
    if call.role == "verify":
        for kind in _ASKED:
            yield _at(call, kind)
        return
    if call.role == "lookup":
        return
    for kind in _ACTING if step.acts else _READING:
        yield _at(call, kind)
    for request in range(1, call.requests):
        yield msgspec.structs.replace(_at(call, "died_between"), request=request)
        yield msgspec.structs.replace(_at(call, "raises_between"), request=request)
    if call.commands:
        for kind in _commanded(call, step):
            yield _at(call, kind)
    if step.late_ms and call.direction == "forward":
        yield _at(call, "lands_late")
    if _is_read_back(call, step):
        yield _at(call, "claimed")


def _commanded(call: Call, step: StepFacts) -> Iterator[FaultKind]:
    """What befalls a command on the bus. A participant is tried no further than by what it promises."""
    yield from ("command_lost", "reply_lost", "reply_repeated", "answered_refused", "answered_unavailable")
    undo = call.direction == "undo"
    if step.undo_deduplicates if undo else step.deduplicates:
        yield "command_repeated"
        yield "reply_late"
    if step.undo_deduplicates if undo else step.late_ms:
        yield "command_late"


def _is_read_back(call: Call, step: StepFacts) -> bool:
    """Whether somebody asks the world whether it is true; a doubt that nobody can settle is left out."""
    if call.direction == "undo":
        return step.undo_verify is not None
    return step.acts and step.verify is not None and not step.class_c


def _deaths(course: Course) -> Iterator[Fault]:
    kinds: tuple[Literal["died_unappended", "died_appended"], ...] = ("died_unappended", "died_appended")
    for version in range(1, course.entries + 1):
        for kind in kinds:
            yield Fault(kind=kind, version=version)


def _at(call: Call, kind: FaultKind) -> Fault:
    return Fault(kind=kind, handler=call.handler, nth=call.nth, path=call.path, direction=call.direction)
