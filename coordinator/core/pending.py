"""Pending effects: the attempt has returned, a message will say what came of it, or its time is over (rules 2, 7, 8).

Nothing runs meanwhile, so a stop of the owner cuts nothing off. What was asked for stays an intent: without an answer
it is in doubt, never failed. Its key is listened to for as long as nobody knows better, also after the run's end.
"""

from typing import Final

from msgspec import UNSET

from amends.coordinator.core.messages import Pends, Replied, Unknown
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.settle import key_open, tombstones
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.schemas.events import StepInDoubt, StepPending
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant, text_of

_DIRECTIONS: Final[tuple[Direction, Direction]] = ("forward", "undo")


def begin_pending(turn: Turn, message: Replied, answer: Pends) -> None:
    """Write down under which key the answer is awaited, and until when."""
    turn.emit(
        StepPending(
            path=message.path,
            direction=message.direction,
            attempt=message.attempt,
            correlation=answer.correlation,
            external_id=answer.external_id,
            timeout_at=text_of(turn.now + answer.within_ms * MILLISECOND),
        )
    )


def refused_key(turn: Turn, message: Replied, effect: Effect, answer: Pends) -> Unknown | None:
    """Why the answer cannot be awaited: a late one to another request would be taken for this one's.

    Only a participant that knows the key of the effect answers a repeated request as it answered the first. What was
    asked for is on its way all the same, and may land as late as any request whose reply was lost.
    """
    other = _other_under(turn.state, message, answer.correlation)
    if other is None:
        used_by = (effect.correlations or {}).get(answer.correlation)
        step = turn.plan.steps[message.path]
        knows = key_open(step, message.direction, effect, effect.requested_at or turn.now)
        if used_by is None or (used_by == effect.generation and knows):
            return None
        other = "an earlier request"
    why = f"pending under {answer.correlation!r}, as {other} is or was: make a key for each request"
    return Unknown(kind="invalid_result", message=why)


def _other_under(state: State, message: Replied, correlation: str) -> str | None:
    """Another step of the run, or undo, whose answers have this key."""
    for direction in _DIRECTIONS:
        for path, effect in state.effects(direction).items():
            used = effect.correlations
            if used and correlation in used and (path, direction) != (message.path, message.direction):
                return path if direction == "forward" else f"the undo of {path}"
    return None


def tend_pending(turn: Turn, path: str, direction: Direction) -> None:
    """Its time is over, or the run turned back and its undo does not need the answer: from here it is in doubt."""
    effect = turn.state.effect(path, direction)
    due_at = pending_until(turn.plan, turn.state, path, direction)
    if effect.phase != "pending" or due_at is None or due_at > turn.now:
        return
    overdue = effect.due_at is None or effect.due_at <= turn.now
    turn.emit(
        StepInDoubt(
            path=path,
            direction=direction,
            attempt=effect.attempt,
            reason="timeout" if overdue else "in_doubt",
            message=f"no answer for {key_of(effect)}" + (" in time" if overdue else ", and the run turned back"),
            attempt_running=False,
        )
    )


def pending_until(plan: Plan, state: State, path: str, direction: Direction) -> Instant | None:
    """How long an answer is awaited: in the drain for longer (rule 7), unless its undo settles it, answered or not."""
    effect, step = state.effect(path, direction), plan.steps[path]
    if effect.due_at is None or direction == "undo" or not state.draining:
        return effect.due_at
    if tombstones(step, effect):
        return state.at if effect.requested_at is None else effect.requested_at
    return effect.due_at + step.drain_within_ms * MILLISECOND


def takes_answer(state: State, path: str, direction: Direction, correlation: str) -> bool:
    """Whether an answer under this key is one for this effect's present request."""
    awaited = state.effect(path, direction).awaited
    return awaited is not UNSET and (awaited.awaits, awaited.correlation) == ("answer", correlation)


def open_answers(state: State) -> dict[str, str]:
    """Under which keys answers are listened to, by the effect's place (`place_of`)."""
    return {
        place_of(path, direction): key_of(effect)
        for direction in _DIRECTIONS
        for path, effect in state.effects(direction).items()
        if effect.awaited is not UNSET and effect.awaited.awaits == "answer"
    }


def key_of(effect: Effect) -> str:
    """The key of its answer."""
    assert effect.awaited is not UNSET, "what is pending says what it awaits"
    assert effect.awaited.correlation is not None, "and under which key"
    return effect.awaited.correlation


def place_of(path: str, direction: Direction) -> str:
    """What stands for an effect where only a path fits: a step's own path, with `.undo` for its undo."""
    return path if direction == "forward" else f"{path}{_UNDO}"


def effect_at(place: str) -> tuple[str, Direction]:
    """The way back."""
    return (place.removesuffix(_UNDO), "undo") if place.endswith(_UNDO) else (place, "forward")


_UNDO: Final = ".undo"
"""No path ends so."""
