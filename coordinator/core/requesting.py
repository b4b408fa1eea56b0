"""Intents: the events that ask for an effect, with its key, its argument digest and its time limit (rules 1 to 3)."""

from amends.coordinator.core.sources import source_of
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.form import CONTEXT, HandlerForm, StepForm
from amends.schemas.canonical import digest, encode
from amends.schemas.events import Digest, StepRequested, UndoRequested
from amends.schemas.ids import effect_key_of
from amends.schemas.instants import MILLISECOND, text_of


def request_step(turn: Turn, step: StepForm) -> None:
    """Ask for the step's next attempt, unless this worker lacks its handler: then the run waits (rule 14)."""
    if not turn.has_handler(step.handler.name):
        return
    before = turn.state.effect(step.path, "forward")
    key = None
    if step.acts:
        key = before.key if before.key_used_at is not None else None
        key = key or effect_key_of(
            saga_id=turn.state.saga_id, path=step.path, direction="forward", generation=before.generation
        )
    turn.emit(
        StepRequested(
            path=step.path,
            attempt=before.attempt + 1,
            generation=before.generation,
            idempotency_key=key,
            arguments=arguments_digest(turn, step.handler),
            timeout_at=_timeout_at(turn, step.handler),
            same_request=step.acts and before.key_used_at is not None,
            permission="allowed",
            policy_version=None,
            price_version=None,
            reservation=None,
        )
    )


def request_undo(turn: Turn, step: StepForm) -> None:
    """Ask for the next attempt of the step's undo, unless this worker lacks its handler."""
    assert step.undo is not None, "the undo list holds only steps that have one"
    handler = step.undo.handler
    if not turn.has_handler(handler.name):
        return
    before = turn.state.effect(step.path, "undo")
    turn.emit(
        UndoRequested(
            path=step.path,
            attempt=before.attempt + 1,
            generation=before.generation,
            idempotency_key=effect_key_of(
                saga_id=turn.state.saga_id, path=step.path, direction="undo", generation=before.generation
            ),
            arguments=arguments_digest(turn, handler),
            timeout_at=_timeout_at(turn, handler),
            same_request=before.key_used_at is not None,
            permission="allowed",
        )
    )


def arguments_digest(turn: Turn, handler: HandlerForm) -> Digest:
    """Digest of which values a handler gets: parameter to payload digest and the way into it."""
    return digest(
        encode(
            {
                parameter: [source_of(turn.plan, turn.state, argument.step), argument.field]
                for parameter, argument in handler.arguments.items()
                if argument.source != CONTEXT
            }
        )
    )


def _timeout_at(turn: Turn, handler: HandlerForm) -> str:
    return text_of(turn.now + handler.timeout_ms * MILLISECOND)
