"""What of a run must be undone, in which order, how it will be known, and what would stay in the world."""

from collections.abc import Iterable

from msgspec import UNSET
from msgspec.structs import replace

from amends.coordinator.core.expectations import everything_done
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.savepoints import to_undo
from amends.coordinator.core.state import Effect, State
from amends.coordinator.reading.explanation import Undoing, UndoOrder, UndoPhase
from amends.coordinator.reading.exposure import NOT_UNDONE, exposure_of
from amends.schemas.outcome import Exposure

_STANDS = frozenset({"verifying", "done"})
_NO_UNDO = "done, and nothing undoes it"


def follows_up(plan: Plan | None, path: str) -> bool:
    """Whether the step's effect stays, and what stands in for an undo makes amends for it."""
    undo = plan.steps[path].undo if plan is not None and path in plan.steps else None
    return undo is not None and undo.follow_up


def undo_order_of(plan: Plan, state: State) -> UndoOrder:
    """As it stands; of a run that goes forward, as it would be if it turned back now."""
    if state.closed:
        stays = exposure_of(state)
        return UndoOrder(
            phase="left" if state.status == "killed" and stays else "none", savepoint=None, steps=(), stays=stays
        )
    if state.undo_list is not None:
        return _order(plan, state, "compensating", state.undo_list)
    if pivot_passed(plan, state) or everything_done(plan, state):
        phase: UndoPhase = "past_the_pivot" if pivot_passed(plan, state) else "all_done"
        return UndoOrder(phase=phase, savepoint=None, steps=(), stays=())
    paths = to_undo(plan, _if_all_happened(plan, state))
    if state.draining:
        return _order(plan, state, "draining", paths)
    return _order(plan, state, "if_it_turns_back" if paths else "none", paths)


def _if_all_happened(plan: Plan, state: State) -> State:
    """The state in which whatever was sent, and is not known to have failed, has taken."""
    return replace(
        state,
        forward={
            path: replace(effect, phase="done") if _may_stand(plan, path, effect) else effect
            for path, effect in state.forward.items()
        },
    )


def _may_stand(plan: Plan, path: str, effect: Effect) -> bool:
    if not plan.steps[path].acts:
        return False
    return effect.phase in {"requested", "pending", "in_doubt"} or (
        effect.phase == "retrying" and effect.doubt is not None
    )


def _order(plan: Plan, state: State, phase: UndoPhase, paths: Iterable[str]) -> UndoOrder:
    steps = tuple(_undoing(plan, state, path) for path in paths)
    undone = {step.path for step in steps if step.status != "skipped"}
    stays = tuple(_left(plan, each) for each in exposure_of(state) if each.step not in undone)
    savepoint = None if state.savepoint is UNSET else state.savepoint
    return UndoOrder(phase=phase, savepoint=savepoint, steps=steps, stays=stays if savepoint is None else ())


def _undoing(plan: Plan, state: State, path: str) -> Undoing:
    undo = plan.steps[path].undo
    assert undo is not None, "the undo list holds only steps that have one"
    return Undoing(
        path=path,
        status=state.effect(path, "undo").phase,
        verified_by=state.effect(path, "undo").verified_by,
        certain=state.effect(path, "forward").phase in _STANDS,
        verified="reply" if undo.verify is None else "readback",
        readback=undo.verify.name if undo.verify is not None else None,
        follow_up=undo.follow_up,
    )


def _left(plan: Plan, exposure: Exposure) -> Exposure:
    """Of a step that has no undo, that nothing will change it."""
    if plan.steps[exposure.step].undo is not None:
        return exposure
    return replace(exposure, why=_NO_UNDO if exposure.why == NOT_UNDONE else f"{exposure.why}; nothing undoes it")
