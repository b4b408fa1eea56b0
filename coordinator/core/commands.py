"""Commands: what the runtime should be doing for a run, read off its state.

The same function serves after every decision and after a restart, so recovery is no special case: the runtime starts
what is wanted and not running, and stops what is running and no longer wanted.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from amends.coordinator.core.asking import given_to_a_person, question
from amends.coordinator.core.drain import running_until
from amends.coordinator.core.expectations import everything_done
from amends.coordinator.core.pending import pending_until
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.repeating import round_due
from amends.coordinator.core.settle import move_of, policy_of
from amends.coordinator.core.state import OVER, Effect, State, Verification
from amends.coordinator.core.turn import began_all_it_may
from amends.coordinator.core.verifying import asked_verifications, due_of, missing_for_verifications
from amends.schemas.events import Event, Role
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant


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
        return tuple(_verify(each, handler) for each, handler in asked_verifications(plan.of(state), state))
    plan = plan.of(state)
    found: list[Command] = []
    for direction in _DIRECTIONS:
        for path, effect in state.effects(direction).items():
            if effect.phase not in _ACTIVE:
                continue
            if effect.attempt_open:
                found.append(_perform(plan, path, direction, effect))
            elif state.status != "parked" and effect.phase in _ASKED:
                asked = _ask(plan, path, direction, question(plan, state, path, direction, now), effect)
                if asked is not None:
                    found.append(asked)
    return tuple(found)


_DIRECTIONS: Final[tuple[Direction, Direction]] = ("forward", "undo")
_ASKED: Final = frozenset({"verifying", "in_doubt", "ended"})
"""Phases in which a question may be open."""
_ACTIVE: Final = _ASKED | {"requested"}
"""Phases in which a handler may be wanted."""
_TIMED: Final = frozenset({"retrying", "in_doubt", "waiting", "pending", "repeating"})
"""Phases that an instant may end."""
_TIMED_IN_DRAIN: Final = _TIMED | {"requested"}


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


def _ask(plan: Plan, path: str, direction: Direction, role: Role | None, effect: Effect) -> Command | None:
    handler = plan.reader(path, direction) if role == "lookup" else plan.readback(path, direction)
    if role is None or handler is None:
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


def _verify(each: Verification, handler: str) -> Command:
    return Command(
        path=each.path,
        direction=each.direction,
        role="verify",
        number=each.number,
        handler=handler,
        timeout_at=None,
        not_before=each.due_at,
    )


def next_due(plan: Plan, state: State) -> Instant | None:
    """The next instant at which `decide` must look at the run again without a message."""
    if state.closed:
        return due_of(plan, state)
    if state.status == "parked":
        return None
    dues: list[Instant | None] = []
    timed = _TIMED_IN_DRAIN if state.draining else _TIMED
    for path, effect in state.forward.items():
        if effect.phase in timed:
            dues.append(_effect_due(plan, state, path, effect))
    for path, effect in state.undo.items():
        if effect.phase in _TIMED:
            dues.append(_undo_due(plan, path, effect))
    if state.savepoint is not UNSET:
        dues.append(state.deadline_at)
    elif state.status != "compensating" and not pivot_passed(plan, state) and not everything_done(plan, state):
        dues.append(state.deadline_at)
        if plan.form.budget.wall_ms is not None:
            dues.append(state.running_since + plan.form.budget.wall_ms * MILLISECOND)
    return min([due for due in dues if due is not None], default=None)


def due_after(plan: Plan, state: State, events: Sequence[Event]) -> Instant | None:
    """The same for a run whose last entry has these events: at once, where it could not begin everything."""
    if state.status == "running" and began_all_it_may(events):
        return state.at + 1  # Not the same instant twice: a timer is set for another one than before.
    return next_due(plan, state)


def _effect_due(plan: Plan, state: State, path: str, effect: Effect) -> Instant | None:
    if state.undo_list is not None:
        return None
    if effect.phase == "waiting":
        return effect.due_at
    if effect.phase == "pending":
        return pending_until(plan, state, path, "forward")
    if effect.phase == "repeating":
        return None if state.draining else round_due(state, path, effect)
    if effect.phase == "retrying":
        wanted = effect.doubt is not None if state.draining else True
        return effect.due_at if wanted and plan.steps[path].handler.name not in plan.missing else None
    if state.draining and effect.attempt_open:
        return running_until(plan.steps[path], effect)
    return _doubt_due(plan, path, "forward", effect)


def _undo_due(plan: Plan, path: str, effect: Effect) -> Instant | None:
    if effect.phase == "pending":
        return effect.due_at
    if effect.phase == "retrying":
        undo = plan.steps[path].undo
        return effect.due_at if undo is not None and undo.handler.name not in plan.missing else None
    return _doubt_due(plan, path, "undo", effect)


def _doubt_due(plan: Plan, path: str, direction: Direction, effect: Effect) -> Instant | None:
    """An attempt in doubt that still runs is waited for until `settle_within` is over."""
    if effect.phase != "in_doubt" or effect.doubt is None or not effect.doubt.running:
        return None
    _, certainty = policy_of(plan.steps[path], direction)
    return effect.doubt.since + certainty.settle_within_ms * MILLISECOND


def missing_handler(plan: Plan, state: State, now: Instant) -> str | None:
    """The handler that nothing but its arrival would move this run on, or None (rule 14)."""
    if not plan.missing or state.status in {"parked", "queued"}:
        return None
    if state.closed:
        return missing_for_verifications(plan, state)
    plan = plan.of(state)
    wanted = [command.handler for command in commands(plan, state, now)] + _put_off(plan, state, now)
    if any(name not in plan.missing for name in wanted):
        return None
    return next(iter([*wanted, *_not_requested(plan, state)]), None)


def _put_off(plan: Plan, state: State, now: Instant) -> list[str]:
    """Handlers of what is to be requested again, at its instant or when its handler is there."""
    steps = [
        plan.steps[path].handler.name
        for path in state.forward
        if not given_to_a_person(state, path) and _sent_again(plan, state, path, "forward", now)
    ]
    undos = [plan.steps[path].undo for path in state.undo if _sent_again(plan, state, path, "undo", now)]
    return steps + [undo.handler.name for undo in undos if undo is not None]


def _sent_again(plan: Plan, state: State, path: str, direction: Direction, now: Instant) -> bool:
    effect = state.effect(path, direction)
    if effect.phase == "retrying":
        return effect.doubt is not None or not state.draining
    if effect.phase not in {"in_doubt", "ended"}:
        return False
    return move_of(plan, state, path, direction, now) not in {"wait", "ask", "ended"}  # Else it would be done by now.


def _not_requested(plan: Plan, state: State) -> list[str]:
    """Handlers of what would be requested now if they were here."""
    if state.undo_list is not None:
        path = next((path for path in state.undo_list if state.effect(path, "undo").phase in {"idle", "absent"}), None)
        undo = plan.steps[path].undo if path is not None else None
        return [undo.handler.name] if undo is not None else []
    return [
        step.handler.name
        for step in plan.form.steps
        if step.handler.name in plan.missing
        and state.effect(step.path, "forward").phase in {"idle", "absent"}
        and all(state.effect(before, "forward").phase in OVER for before in step.after)
    ]
