"""Commands: what the runtime should be doing for a run, read off its state.

The same function serves after every decision and after a restart, so recovery is no special case: the runtime starts
what is wanted and not running, and stops what is running and no longer wanted.
"""

import msgspec

from amends.coordinator.core.drain import running_until
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.settle import move_of
from amends.coordinator.core.state import Effect, State
from amends.schemas.events import Role
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Run one handler: `step` and `undo` perform an attempt, `verify` and `lookup` ask a question.

    `number` is the attempt's or the question's; `not_before` is set for a question that was put off.
    """

    path: str
    direction: Direction
    role: Role
    number: int
    handler: str
    timeout_at: Instant | None
    not_before: Instant | None


def commands(plan: Plan, state: State, now: Instant) -> tuple[Command, ...]:
    """Every handler that should be running."""
    if state.closed:
        return ()
    directions: tuple[Direction, Direction] = ("forward", "undo")
    found = []
    for direction in directions:
        for path, effect in state.effects(direction).items():
            command = _command(plan, state, path, direction, effect, now)
            if command is not None:
                found.append(command)
    return tuple(found)


def _command(plan: Plan, state: State, path: str, direction: Direction, effect: Effect, now: Instant) -> Command | None:
    match effect.phase:
        case "requested":
            return _perform(plan, path, direction, effect)
        case "in_doubt" if effect.doubt is not None and effect.doubt.running:
            return _perform(plan, path, direction, effect)
        case "verifying" if state.status != "parked" and _still_verified(plan, state, path, direction):
            return _ask(plan, path, direction, "verify", effect)
        case "in_doubt" | "ended" if state.status != "parked" and not (direction == "forward" and state.undo_list):
            if move_of(plan, state, path, direction, now) == "ask":
                return _ask(plan, path, direction, "lookup" if direction == "forward" else "verify", effect)
    return None


def _still_verified(plan: Plan, state: State, path: str, direction: Direction) -> bool:
    """A run that turned back does not read back what it is about to undo; the pivot it does."""
    if direction == "undo" or plan.steps[path].pivot:
        return True
    return not state.draining and state.undo_list is None


def _perform(plan: Plan, path: str, direction: Direction, effect: Effect) -> Command:
    step = plan.steps[path]
    undo = step.undo.handler if step.undo is not None else None
    handler = undo if direction == "undo" and undo is not None else step.handler
    return Command(
        path=path,
        direction=direction,
        role="step" if direction == "forward" else "undo",
        number=effect.attempt,
        handler=handler.name,
        timeout_at=effect.timeout_at,
        not_before=None,
    )


def _ask(plan: Plan, path: str, direction: Direction, role: Role, effect: Effect) -> Command | None:
    handler = plan.reader(path, direction) if role == "lookup" else plan.readback(path, direction)
    if handler is None:
        return None
    return Command(
        path=path,
        direction=direction,
        role=role,
        number=effect.asks,
        handler=handler.name,
        timeout_at=None,
        not_before=effect.due_at,
    )


def next_due(plan: Plan, state: State) -> Instant | None:
    """The next instant at which `decide` must look at the run again without a message."""
    if state.closed or state.status == "parked":
        return None
    dues = [_effect_due(plan, state, path, effect) for path, effect in state.forward.items()]
    dues += [
        effect.due_at for effect in state.undo.values() if effect.phase == "retrying" and effect.due_at is not None
    ]
    dues += [_doubt_due(plan, path, "undo", effect) for path, effect in state.undo.items()]
    if state.status != "compensating" and not pivot_passed(plan, state):
        dues.append(state.deadline_at)
        if plan.form.budget.wall_ms is not None:
            dues.append(state.started_at + plan.form.budget.wall_ms * 1000)
    return min((due for due in dues if due is not None), default=None)


def _effect_due(plan: Plan, state: State, path: str, effect: Effect) -> Instant | None:
    if state.undo_list is not None:
        return None
    if effect.phase == "retrying":
        return effect.due_at if not state.draining or effect.doubt is not None else None
    running = effect.phase == "requested" or (effect.doubt is not None and effect.doubt.running)
    if state.draining and running:
        return running_until(plan.steps[path], effect)
    return _doubt_due(plan, path, "forward", effect)


def _doubt_due(plan: Plan, path: str, direction: Direction, effect: Effect) -> Instant | None:
    """An attempt in doubt that still runs is waited for until `settle_within` is over."""
    if effect.phase != "in_doubt" or effect.doubt is None or not effect.doubt.running:
        return None
    step = plan.steps[path]
    certainty = step.undo.certainty if direction == "undo" and step.undo is not None else step.certainty
    return effect.doubt.since + certainty.settle_within_ms * 1000
