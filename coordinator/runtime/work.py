"""One handler call on its way: everything it needs, made in the engine's turn, run by a thread for handlers."""

import asyncio
from dataclasses import dataclass
from typing import Any

from amends.coordinator.attempt import Attempt, Undoing
from amends.coordinator.context import context_of
from amends.coordinator.core.commands import Command
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.sources import Source, source_of
from amends.coordinator.core.state import State
from amends.coordinator.definition.form import CONTEXT, HandlerForm
from amends.coordinator.definition.handler import Handler, field_of_json
from amends.coordinator.runtime.runs import Identity, Run
from amends.schemas.ids import EffectKey, SagaId, effect_key_of


@dataclass(slots=True, kw_only=True)
class Work:
    """`stopping` and `overdue` are set in the engine's turn, the rest by whoever runs it."""

    saga_id: SagaId
    identity: Identity
    handler: Handler
    values: dict[str, bytes | None]
    attempt: Attempt
    result_bytes_max: int
    finds_nothing_typed: bool = False
    """A lookup of a step without result: it answers with a `bool`."""
    pending_ms: int | None = None
    """How long its effect may be pending; None: not at all."""
    stopping: str | None = None
    begun: bool = False
    overdue: bool = False
    task: "asyncio.Task[None] | None" = None

    def arguments(self) -> dict[str, Any]:
        """What the handler is called with. Raises `ArgumentUnreadable`."""
        context = context_of(self.attempt) if self.handler.takes_context else None
        return self.handler.bind(self.values, context)

    def told_to_stop(self) -> bool:
        """Asked anew each time: another thread sets it."""
        return self.stopping is not None


def handler_form(plan: Plan, command: Command) -> HandlerForm:
    """The handler that a command names, as the definition declares it."""
    step = plan.steps[command.path]
    undo = step.undo
    if command.role == "lookup" and step.lookup is not None:
        return step.lookup
    if command.role == "verify":
        found = step.verify if command.direction == "forward" else undo.verify if undo is not None else None
    else:
        found = step.handler if command.direction == "forward" else undo.handler if undo is not None else None
    assert found is not None, "a command names a handler of its definition"
    return found


def pending_of(plan: Plan, command: Command) -> int | None:
    """How long the effect of the handler that a command names may be pending; None: not at all."""
    step = plan.steps[command.path]
    declared = step.pending if command.role == "step" else None
    if command.role == "undo" and step.undo is not None:
        declared = step.undo.pending
    return None if declared is None else declared.within_ms


def values_of(run: Run, form: HandlerForm) -> dict[str, bytes | None]:
    """The JSON text of each of the handler's parameters."""
    found: dict[str, bytes | None] = {}
    plan = run.plan.of(run.state)
    for name, argument in form.arguments.items():
        if argument.source == CONTEXT:
            continue
        value = _value(run, source_of(plan, run.state, argument.step))
        found[name] = field_of_json(value, argument.field) if value is not None and argument.field else value
    return found


def _value(run: Run, source: Source) -> bytes | None:
    if isinstance(source, tuple):
        return b"[%b]" % b",".join(run.payload(digest) if digest is not None else b"null" for digest in source)
    return run.payload(source) if source is not None else None


def key_of(state: State, command: Command) -> EffectKey:
    """The key of the effect that a handler performs or asks about."""
    effect = state.effect(command.path, command.direction)
    return effect.key or effect_key_of(
        saga_id=state.saga_id, path=command.path, direction=command.direction, generation=effect.generation
    )


def undoing_of(run: Run, command: Command) -> Undoing | None:
    """What an undo undoes; None on the way forward."""
    if command.direction == "forward":
        return None
    effect = run.state.effect(command.path, "forward")
    settled = effect.settled or effect.phase in {"ended", "tombstone"}
    return Undoing(
        state="settled" if settled else "succeeded",
        idempotency_key=effect.key or EffectKey(""),
        external_id=run.seal.opened(effect.external_id) if run.seal is not None else effect.external_id,
        argument_digest=effect.arguments or "",
    )
