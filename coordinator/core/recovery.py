"""After a stop of the owner: what was running is lost, and a run that keeps killing its worker is found (rule 19)."""

from typing import Literal

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.core.verifying import ask_anew, at_work, give_up_asking
from amends.schemas.events import RunResumed, SagaParked, StepFailed, StepInDoubt
from amends.schemas.ids import Direction

SUSPECT_AFTER = 2
"""Unclean stops in a row, with an attempt open each time."""
ALONE_MAX = 2
"""How often the worker may die while the run is alone."""

_ASKING = frozenset({"verifying", "in_doubt", "ended"})


def was_running(plan: Plan, state: State) -> bool:
    """Whether a handler of this run was at work when its owner stopped."""
    return bool(_at_work(plan, state))


def _at_work(plan: Plan, state: State) -> list[tuple[str, Direction]]:
    """Effects with an open attempt, then those that a question may have been open about.

    What waits for a handler that is missing was not asked: it has stopped nobody.
    """
    plan = plan.of(state)
    if state.closed:
        return [(each.path, each.direction) for each in at_work(plan, state)]
    found = _open_attempts(state)
    if state.status == "parked":
        return found
    asked: list[tuple[str, Direction]] = [
        (path, "undo") for path, effect in state.undo.items() if _may_be_asked(plan, path, "undo", effect)
    ]
    if state.undo_list is None:
        effects = state.forward.items()
        asked += [(path, "forward") for path, effect in effects if _may_be_asked(plan, path, "forward", effect)]
    return found + [each for each in asked if each not in found]


def _open_attempts(state: State) -> list[tuple[str, Direction]]:
    directions: tuple[Direction, Direction] = ("forward", "undo")
    return [
        (path, direction)
        for direction in directions
        for path, effect in state.effects(direction).items()
        if effect.attempt_open
    ]


def _may_be_asked(plan: Plan, path: str, direction: Direction, effect: Effect) -> bool:
    if effect.phase not in _ASKING:
        return False
    handler = plan.readback(path, direction) if effect.phase == "verifying" else plan.reader(path, direction)
    return handler is None or handler.name not in plan.missing


def is_suspect(plan: Plan, state: State, *, clean: bool) -> bool:
    """Whether it must be resumed alone: this is at least the second unclean stop in a row that cut it off."""
    return not clean and was_running(plan, state) and state.unclean_stops + 1 >= SUSPECT_AFTER


def recover(turn: Turn, *, clean: bool) -> None:
    """Record what the stop cut off."""
    state = turn.state
    cut_off = _at_work(turn.plan, state)
    if not cut_off:
        return
    poison = state.alone >= ALONE_MAX and not clean
    turn.emit(RunResumed(why="recovery", clean=clean, alone=is_suspect(turn.plan, state, clean=clean) and not poison))
    if state.closed:
        if poison:
            give_up_asking(turn, "its worker died each time it was asked")
        ask_anew(turn)
        return
    for path, direction in _open_attempts(state):
        _lost(turn, turn.plan, path, direction, clean=clean)
    if poison and state.parked is None:
        phase: Literal["forward", "undo"] = "undo" if state.status == "compensating" else "forward"
        step, _ = cut_off[0]
        turn.emit(SagaParked(phase=phase, step=step, kind="poison", why="its worker died each time it ran"))


def _lost(turn: Turn, plan: Plan, path: str, direction: Direction, *, clean: bool) -> None:
    effect = turn.state.effect(path, direction)
    message = "its worker stopped" if clean else "its worker died or was replaced"
    if direction == "forward" and not plan.steps[path].acts:
        turn.emit(StepFailed(path=path, attempt=effect.attempt, kind="withdrawn", message=message, retriable=True))
        return
    turn.emit(
        StepInDoubt(
            path=path,
            direction=direction,
            attempt=effect.attempt,
            reason="lost",
            message=message,
            attempt_running=False,
        )
    )
