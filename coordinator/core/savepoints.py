"""Savepoints: a parked run is undone as far as a step, and goes forward again from there.

Any step that is done is one. What is undone is frozen in the undo list, like that of a whole compensation, and undone
by the same rules: everything is settled first, then one at a time, each verified before the next.
"""

from msgspec import UNSET

from amends.coordinator.core.forward_again import UNDO_HELD, go_forward_again, may_have_taken, pivot_in_doubt
from amends.coordinator.core.messages import SavepointWished
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.core.undo_list import undo_list_of
from amends.coordinator.definition.copies import is_or_copies
from amends.schemas.events import CompensationStarted, GenerationRaised, SavepointChosen, SavepointReached
from amends.schemas.instants import Instant


def savepoints(plan: Plan, state: State) -> tuple[str, ...]:
    """The steps that a parked run may be undone to now, in the definition's order."""
    plan = plan.of(state)
    if why_no_savepoint(plan, state) is not None:
        return ()
    return tuple(step.path for step in plan.form.steps if why_not_back_to(plan, state, step.path) is None)


def why_no_savepoint(plan: Plan, state: State) -> str | None:
    """None, or why the run cannot be undone to any step."""
    if state.parked is None:
        return f"it is {state.status}, not parked"
    if pivot_passed(plan, state):
        return "it has passed its pivot and can only go forward"
    if plan.pivot is not None and (
        state.effect(plan.pivot.path, "forward").attempt_open or pivot_in_doubt(plan, state)
    ):
        return f"whether it has passed its pivot {plan.pivot.path!r} is not known"
    if any(may_have_taken(undo) for undo in state.undo.values()):
        return "an undo that was given up may have taken"
    return None


def why_not_back_to(plan: Plan, state: State, path: str) -> str | None:
    """None, or why this step is none that a run, which can be undone to some, can be undone to."""
    if path not in plan.paths:
        return f"it has no step {path!r}"
    phase, undo = state.effect(path, "forward").phase, state.effect(path, "undo").phase
    if phase == "skipped":
        return f"{path!r} was skipped"
    if phase != "done":
        return f"{path!r} is not done"
    if undo == "done":
        return f"{path!r} is undone already"
    begun = [other for other, each in state.undo.items() if each.phase not in UNDO_HELD]
    if not begun:
        return None  # For a long list of items it takes long to say what is behind each of them.
    behind = behind_savepoint(plan, state, path)
    before = next((each for each in begun if each not in behind), None)
    return None if before is None else f"the undo of {before!r} has begun and is not over"


def choose_savepoint(turn: Turn, wish: SavepointWished) -> None:
    """Turn back as far as the step; a wish that does not fit the state any more changes nothing."""
    plan, state = turn.plan, turn.state
    if why_no_savepoint(plan, state) or why_not_back_to(plan, state, wish.step):
        return
    parked = state.parked
    assert parked is not None, "only a parked run has savepoints"
    turn.emit(SavepointChosen(step=wish.step, reason=wish.reason))
    if turn.state.undo_list is None:
        return  # The list is made once everything is settled.
    turn.emit(CompensationStarted(undo_list=to_undo(plan, turn.state)))
    undo = turn.state.effect(parked.step, "undo")
    if undo.phase == "failed":
        turn.emit(GenerationRaised(path=parked.step, direction="undo", generation=undo.generation + 1, why="person"))


def too_late_for_savepoint(state: State, now: Instant) -> bool:
    """Whether its deadline has come before the run could go forward again: then it is undone as a whole."""
    return state.savepoint is not UNSET and now >= state.deadline_at


def to_undo(plan: Plan, state: State) -> tuple[str, ...]:
    """The undo list: of everything, or of what is behind the savepoint."""
    paths = undo_list_of(plan, state)
    if state.savepoint is UNSET:
        return paths
    behind = behind_savepoint(plan, state, state.savepoint)
    return tuple(path for path in paths if path in behind)


def go_forward_from(turn: Turn, savepoint: str) -> None:
    """All that was behind it is undone."""
    behind = behind_savepoint(turn.plan, turn.state, savepoint)
    turn.emit(SavepointReached(step=savepoint))
    go_forward_again(turn, behind)


def behind_savepoint(plan: Plan, state: State, savepoint: str) -> frozenset[str]:
    """What was last requested after it, and all that depends on any of that, or on the step itself."""
    own = {path for path in {*plan.paths, *state.forward} if is_or_copies(savepoint, path)}
    kept = own | plan.ancestors[savepoint]
    place = _place(plan, state, savepoint, own)
    found = {path for path, effect in state.forward.items() if effect.order > place and path not in kept}
    for step in plan.form.steps:
        before = plan.ancestors[step.path]
        if step.path not in kept and (savepoint in before or not found.isdisjoint(before)):
            found.add(step.path)
    return frozenset(found)


def _place(plan: Plan, state: State, savepoint: str, own: set[str]) -> int:
    """Its place among the requests; of a step that makes none, the last one made before it."""
    forward, effect = state.forward, state.effect(savepoint, "forward")
    found = max(state.effect(path, "forward").order for path in own)
    if found:
        return found
    if effect.requested_at is not None:
        return max((each.order for each in forward.values() if _before(each, effect.requested_at)), default=0)
    return max((state.effect(path, "forward").order for path in plan.ancestors[savepoint]), default=0)


def _before(effect: Effect, at: Instant) -> bool:
    return effect.requested_at is not None and effect.requested_at <= at
