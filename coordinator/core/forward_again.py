"""Forward again, after some of what was done is undone: what is requested anew, under new keys, and what is kept."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.copies import with_owners
from amends.schemas.events import GenerationRaised

UNDO_HELD = frozenset({"idle", "failed", "absent", "done", "skipped"})
"""Phases of an undo in which it does not take any more than it has."""
_REQUEST_ANEW = frozenset({"failed", "absent", "retrying"})


def pivot_in_doubt(plan: Plan, state: State) -> bool:
    """Also where a person left it so: it would be sent again beside the steps that come before it."""
    return plan.pivot is not None and state.effect(plan.pivot.path, "forward").doubt is not None


def may_have_taken(undo: Effect) -> bool:
    """Whether it is an undo that a person gave up, which had been sent and had not failed for certain."""
    return undo.phase == "skipped" and undo.attempt > 0 and (undo.doubt is not None or undo.failure is None)


def go_forward_again(turn: Turn, behind: frozenset[str] = frozenset()) -> None:
    """Undone and failed steps are requested again, under new keys; what still stands is kept.

    Of those `behind` a savepoint nothing is kept that has no effect.
    """
    anew = _requested_anew(turn, behind)
    for path, effect in turn.state.forward.items():
        undo = turn.state.effect(path, "undo")
        if path in anew:
            turn.emit(GenerationRaised(path=path, direction="forward", generation=effect.generation + 1, why="person"))
        if undo.phase != "idle":
            turn.emit(GenerationRaised(path=path, direction="undo", generation=undo.generation + 1, why="person"))


def _requested_anew(turn: Turn, behind: frozenset[str]) -> set[str]:
    """Also what only reads, or was skipped, behind a step that is done anew: it may see something else now."""
    plan, state = turn.plan, turn.state
    anew: set[str] = set()
    for path, effect in state.forward.items():
        if state.effect(path, "undo").phase == "done" or (effect.phase in _REQUEST_ANEW and effect.doubt is None):
            anew.update(with_owners(path))
    for step in plan.form.steps:
        without_effect = not step.acts or state.effect(step.path, "forward").phase == "skipped"
        touched = step.path in behind or anew & plan.ancestors[step.path]
        if step.path in state.forward and without_effect and touched:
            anew.update(with_owners(step.path))
    return anew
