"""Dispatch: from commands to handlers, and back as messages. Called in the engine's turn only."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from amends.coordinator.attempt import Attempt
from amends.coordinator.core.commands import Command
from amends.coordinator.core.messages import Message, ReadBack, Replied, Unknown
from amends.coordinator.definition.form import HandlerForm
from amends.coordinator.ports.bus import Sink
from amends.coordinator.runtime import answers
from amends.coordinator.runtime.catalogue import Catalogue, Known
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.runs import Identity, Run, identity_of
from amends.coordinator.runtime.timers import Kind
from amends.coordinator.runtime.work import Work, handler_form, key_of, pending_of, undoing_of, values_of
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, Instant

Set = tuple[Instant, Kind, Identity]
"""A timer to set."""


class Hands(Protocol):
    """Whoever calls the handlers; replies come back to the engine's queue."""

    def submit(self, works: list[Work]) -> None: ...

    def stop(self, work: Work) -> bool:
        """Tell a handler to stop; whether it may still answer soon."""
        ...

    @property
    def behind(self) -> bool:
        """Whether works that could begin at once have not."""
        ...

    def look_after(self) -> None:
        """Once a second or so: find what is blocked."""
        ...


@dataclass(slots=True, kw_only=True)
class Dispatch:
    """Which handler calls are under way."""

    catalogue: Catalogue
    hands: Hands
    clock: Callable[[], Instant]
    epoch_of: Callable[[int], int]
    lease_left_s: Callable[[int, int], float]
    """For how long a shard is ours under an epoch: attempts of a former one send nothing, though it is back."""
    commands: Callable[[], Sink] | None = None
    """Opens the bus for commands to participants."""
    stopped: bool = False
    _works: dict[tuple[SagaId, Identity], Work] = field(default_factory=dict)
    _waiting: list[Work] = field(default_factory=list)

    @property
    def under_way(self) -> int:
        """Handler calls without a reply."""
        return len(self._works)

    @property
    def behind(self) -> bool:
        """Whether handlers that were handed over have not begun."""
        return self.hands.behind

    def reconcile(self, run: Run, wanted: Iterable[Command]) -> dict[Identity, Command]:
        """Stop what is not wanted any more; give what is wanted and not under way."""
        commands = {identity_of(command): command for command in wanted}
        if run.running or run.put_off:
            self._drop_unwanted(run, commands)
        return {
            identity: command
            for identity, command in commands.items()
            if not (identity in run.running or identity in run.put_off or identity in run.begun)
        }

    def _drop_unwanted(self, run: Run, commands: Mapping[Identity, Command]) -> None:
        for identity in [identity for identity in run.running if identity not in commands]:
            self._stop(run, identity, "not needed any more")
            del run.running[identity]
        for identity in [identity for identity in run.put_off if identity not in commands]:
            del run.put_off[identity]

    def start(self, run: Run, identity: Identity, command: Command, now: Instant) -> list[Set]:
        """Begin a command, or put it off; the timers that belong to it."""
        if self.stopped or command.handler in run.plan.missing:
            return []
        if command.not_before is not None and command.not_before > now:
            run.put_off[identity] = command
            return [(command.not_before, "ask", identity)]
        known = self.catalogue.by_hash(run.plan.hash)
        assert known is not None, "a run in memory has a definition"
        form = handler_form(run.plan, command)
        timeout_at = command.timeout_at or now + form.timeout_ms * MILLISECOND
        work = self._work(run, command, known, identity=identity, form=form, timeout_at=timeout_at)
        run.running[identity] = command
        if command.role in {"step", "undo"}:  # A question may be asked again under its number.
            run.begun.add(identity)
        self._works[run.saga_id, identity] = work
        self._waiting.append(work)
        return [(timeout_at, "timeout", identity)]

    def flush(self) -> None:
        """Hand over what was begun."""
        if self._waiting:
            works, self._waiting = self._waiting, []
            self.hands.submit(works)

    def heard(self, run: Run | None, saga_id: SagaId, message: Message) -> None:
        """A reply has come: the call is not under way any more, unless the reply says that it is."""
        identity = _identity(message)
        if identity is None or _still_runs(message):
            return
        self._works.pop((saga_id, identity), None)
        if run is not None:
            run.running.pop(identity, None)

    def stop(self, run: Run, identity: Identity, why: str) -> bool:
        """Tell a call to stop; whether it may still answer soon."""
        return self._stop(run, identity, why)

    def overdue(self, run: Run, identity: Identity) -> Item | None:
        """What the core is told of a call that was stopped and has not answered."""
        work = self._works.get((run.saga_id, identity))
        if work is None or work.overdue:
            return None
        work.overdue = True
        return answers.overdue(work)

    def abandon(self, run: Run) -> None:
        """The run is not ours any more: stop everything; what still comes back is nobody's."""
        for identity in list(run.running):
            self._stop(run, identity, "another worker owns the run")
            self._works.pop((run.saga_id, identity), None)
        run.running.clear()
        run.put_off.clear()

    def stop_taking(self) -> None:
        """Begin nothing more: the worker stops. What was begun and not handed over is begun by the next owner."""
        self.stopped = True

    def look_after(self) -> None:
        """See to handlers that keep others waiting."""
        self.hands.look_after()

    def _stop(self, run: Run, identity: Identity, why: str) -> bool:
        work = self._works.get((run.saga_id, identity))
        if work is None:
            return False
        work.stopping = work.stopping or why
        return self.hands.stop(work)

    def _work(
        self, run: Run, command: Command, known: Known, *, identity: Identity, form: HandlerForm, timeout_at: Instant
    ) -> Work:
        state, step = run.state, run.plan.steps[command.path]
        effect = state.effect(command.path, command.direction)
        shard, epoch = run.shard, self.epoch_of(run.shard)
        attempt = Attempt(
            namespace=state.namespace,
            saga=state.saga,
            saga_id=state.saga_id,
            business_key=state.business_key,
            path=command.path,
            direction=command.direction,
            role=command.role,
            number=effect.attempt,
            idempotency_key=key_of(state, command),
            deadline=timeout_at,
            epoch=epoch,
            may_act=step.acts and command.role in {"step", "undo"},
            arguments=effect.arguments,
            undoing=undoing_of(run, command),
            traceparent=state.traceparent,
            clock=self.clock,
            lease_left_s=lambda: self.lease_left_s(shard, epoch),
            first_use=not effect.same_request,
            commands=self.commands,
        )
        return Work(
            saga_id=run.saga_id,
            identity=identity,
            handler=known.handlers[command.handler],
            values=values_of(run, form),
            attempt=attempt,
            result_bytes_max=run.plan.form.payload_bytes_max,
            pending_ms=pending_of(run.plan, command),
            finds_nothing_typed=command.role == "lookup" and _no_result(known, command.path),
        )


def _no_result(known: Known, path: str) -> bool:
    """Whether the step returns nothing, so that its lookup says yes or no."""
    handler = known.handlers.get(known.plan.steps[path].handler.name)
    return handler is not None and handler.result is not None and handler.result.json_schema() == {"type": "null"}


def _still_runs(message: Message) -> bool:
    return isinstance(message, Replied) and isinstance(message.answer, Unknown) and message.answer.running


def _identity(message: Message) -> Identity | None:
    if isinstance(message, Replied):
        role = "step" if message.direction == "forward" else "undo"
        return Identity(message.path, message.direction, role, message.attempt)  # type: ignore[arg-type]
    if isinstance(message, ReadBack):
        return Identity(message.path, message.direction, message.role, message.asked)
    return None
