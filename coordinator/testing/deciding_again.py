"""A recorded run against the code of today: whether it is decided the same, and its handlers can read what they got."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from amends.coordinator.core.commands import commands
from amends.coordinator.core.decide import decide
from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.messages import Failed, Message, Replied
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.state import State
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.comparing import compared_forms
from amends.coordinator.definition.form import graph_hash
from amends.coordinator.definition.handler import ArgumentUnreadable, Handler
from amends.coordinator.runtime.runs import Identity, Run, identity_of
from amends.coordinator.runtime.work import handler_form, values_of
from amends.coordinator.testing.causes import NoMessage, message_of
from amends.coordinator.testing.golden_run import Golden
from amends.schemas.entry import Entry
from amends.schemas.events import Digest, Event, RetryScheduled
from amends.schemas.instants import MILLISECOND, instant_of

SHOWN_MAX: Final = 100
CHANGES_SHOWN: Final = 5


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """Where today's code goes another way than the recorded run. `version` 0 is the whole of it."""

    version: int
    event: int | None
    """Which event of the entry, from 0; None: the entry as a whole."""
    what: str

    def __str__(self) -> str:
        at = f"version {self.version}" if self.version else "the run"
        return f"{at}{f', event {self.event}' if self.event is not None else ''}: {self.what}"


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded run, decided again."""

    history: str
    saga: str
    entries: int
    compared: int
    """How many entries were decided again: what led to the others cannot be told from the log."""
    deviations: tuple[Deviation, ...]

    @property
    def ok(self) -> bool:
        return not self.deviations


def replay(golden: Golden, sagas: tuple[ClosedSaga, ...]) -> Replayed:
    """Decide a recorded run again, and read with the handlers of these sagas what its handlers got."""
    replaying = _Replaying(golden=golden, plan=plan_of(golden.form), saga=_saga_of(golden, sagas))
    deviations = tuple(dict.fromkeys(replaying.deviations()))
    return Replayed(
        history=golden.name,
        saga=golden.form.name,
        entries=len(golden.entries),
        compared=replaying.compared,
        deviations=deviations,
    )


def first_otherwise(golden: Golden) -> tuple[int, frozenset[Digest]] | None:
    """The first entry that is decided otherwise than it was recorded, and the values that were read for it."""
    values = _Watched(golden.values)
    watched = Golden(name=golden.name, entries=golden.entries, form=golden.form, values=values)
    replaying = _Replaying(golden=watched, plan=plan_of(golden.form), saga=None)
    state: State | None = None
    for entry in golden.entries:
        values.read.clear()
        if any(replaying._decided(state, entry)):  # noqa: SLF001  of this module
            return entry.version, frozenset(values.read)
        state = fold_entry(state, entry)
    return None


class _Watched(dict[Digest, bytes]):
    """Values, and which of them were read."""

    def __init__(self, values: Mapping[Digest, bytes]) -> None:
        super().__init__(values)
        self.read: set[Digest] = set()

    def __getitem__(self, digest: Digest) -> bytes:
        self.read.add(digest)
        return super().__getitem__(digest)


def _saga_of(golden: Golden, sagas: tuple[ClosedSaga, ...]) -> ClosedSaga | None:
    """The saga whose handlers would go on with such a run: of its own version, else of the newest."""
    named = sorted((saga for saga in sagas if saga.name == golden.form.name), key=lambda saga: saga.version)
    own = [saga for saga in named if saga.version == golden.form.version]
    return next(iter([*own, *reversed(named)]), None)


@dataclass(slots=True, kw_only=True)
class _Replaying:
    golden: Golden
    plan: Plan
    saga: ClosedSaga | None
    compared: int = 0
    _asked: set[Identity] = field(default_factory=set)

    def deviations(self) -> Iterator[Deviation]:
        yield from self._of_definition()
        state: State | None = None
        for entry in self.golden.entries:
            yield from self._decided(state, entry)
            try:
                state = fold_entry(state, entry)
            except Exception as error:  # noqa: BLE001  whatever today's fold makes of it
                yield Deviation(version=entry.version, event=None, what=f"it cannot be folded: {_told(error)}")
                return
            yield from self._readable(state)

    def _of_definition(self) -> Iterator[Deviation]:
        form, saga = self.golden.form, self.saga
        if saga is None:
            yield Deviation(version=0, event=None, what=f"the APP has no saga {form.name!r}")
        elif saga.version == form.version and saga.hash != graph_hash(form):
            changes = compared_forms(form, saga.form)
            named = ", ".join(" ".join(filter(None, (each.path, each.field))) for each in changes[:CHANGES_SHOWN])
            what = f"{form.name!r} v{form.version} is another graph than the one recorded ({named}); raise its version"
            yield Deviation(version=0, event=None, what=what)

    def _decided(self, state: State | None, entry: Entry) -> Iterator[Deviation]:
        """The same message again: the same events must follow."""
        at = instant_of(entry.at)
        try:
            message = message_of(self.plan if state is None else self.plan.of(state), state, entry)
        except NoMessage:
            return
        try:
            events, _ = decide(self.plan, state, message, at, self.golden.value)
            if events != entry.events:
                events, _ = decide(self.plan, state, _as_wished(message, entry), at, self.golden.value)
        except KeyError:
            return  # A value that was not recorded.
        except Exception as error:  # noqa: BLE001  whatever today's code makes of it
            yield Deviation(version=entry.version, event=None, what=f"it cannot be decided: {_told(error)}")
            return
        self.compared += 1
        if events != entry.events:
            yield _first_difference(entry, events)

    def _readable(self, state: State) -> Iterator[Deviation]:
        """What the handlers that are wanted now would be called with."""
        plan = self.plan.of(state)
        for command in commands(plan, state, state.at):
            identity = identity_of(command)
            if identity in self._asked or self.saga is None:
                continue
            self._asked.add(identity)
            handler = self.saga.handlers.get(command.handler)
            if handler is None:
                what = f"{command.handler!r} is wanted, and the APP has no such handler"
                yield Deviation(version=state.version, event=None, what=what)
                continue
            run = Run(saga_id=state.saga_id, shard=0, plan=self.plan, state=state, payloads=dict(self.golden.values))
            try:
                values = values_of(run, handler_form(plan, command))
            except KeyError:
                continue  # A value that was not recorded.
            wrong = _unreadable_shape(handler, values) if self.golden.anonymous else _unreadable(handler, values)
            if wrong is not None:
                yield Deviation(version=state.version, event=None, what=f"{command.path}: {wrong}")


def _unreadable(handler: Handler, values: dict[str, bytes | None]) -> str | None:
    try:
        handler.bind(values, None)
    except ArgumentUnreadable as error:
        return str(error)
    return None


def _unreadable_shape(handler: Handler, values: dict[str, bytes | None]) -> str | None:
    """Of placeholders only the shape can be wrong: a field that is not there, or is of another kind."""
    for name, adapter in handler.parameters:
        try:
            adapter.validator.validate_json(values.get(name) or b"null")
        except ValidationError as error:
            found = [each for each in error.errors(include_url=False, include_input=False) if _of_shape(each)]
            if found:
                path = ".".join(str(each) for each in found[0]["loc"])
                return f"parameter {name!r} of {handler.name!r}: {path}{': ' if path else ''}{found[0]['msg']}"
        except Exception:  # noqa: BLE001, S112  validators are the user's, and are not made for placeholders
            continue
    return None


def _of_shape(error: ErrorDetails) -> bool:
    kind, loc = error["type"], error["loc"]
    if kind == "missing":  # A list stands there with each kind of member once: of its length nothing is known.
        return bool(loc) and isinstance(loc[-1], str)
    return kind == "extra_forbidden" or kind.endswith("_type")


def _as_wished(message: Message, entry: Entry) -> Message:
    """A participant's own wish for a later retry stands in the log only as the instant that came of it."""
    scheduled = next((event for event in entry.events if isinstance(event, RetryScheduled)), None)
    if scheduled is None or not isinstance(message, Replied) or not isinstance(message.answer, Failed):
        return message
    wait_ms = (instant_of(scheduled.due_at) - instant_of(entry.at)) // MILLISECOND
    return msgspec.structs.replace(message, answer=msgspec.structs.replace(message.answer, retry_after_ms=wait_ms))


def _first_difference(entry: Entry, events: tuple[Event, ...]) -> Deviation:
    for index, (recorded, decided) in enumerate(zip(entry.events, events, strict=False)):
        if recorded != decided:
            return Deviation(version=entry.version, event=index, what=_between(recorded, decided))
    index = min(len(entry.events), len(events))
    longer = entry.events if len(entry.events) > len(events) else events
    name = type(longer[index]).__name__
    what = f"{name} was recorded, and nothing more is decided" if longer is entry.events else f"{name} is decided, too"
    return Deviation(version=entry.version, event=index, what=what)


def _between(recorded: Event, decided: Event) -> str:
    if type(recorded) is not type(decided):
        return f"{_shown(recorded)} was recorded, {_shown(decided)} is decided"
    fields = [name for name in recorded.__struct_fields__ if getattr(recorded, name) != getattr(decided, name)]
    pairs = (f"{name} was {getattr(recorded, name)!r}, is {getattr(decided, name)!r}" for name in fields)
    return f"{_shown(recorded)}: {'; '.join(pairs)}"


def _shown(event: Event) -> str:
    path = getattr(event, "path", None)
    return f"{type(event).__name__}{f' of {path}' if path else ''}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:SHOWN_MAX]
