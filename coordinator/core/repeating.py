"""Steps that repeat others: for every item of a list, or in rounds. What is repeated is planned here and ended here.

In between its copies are steps like any other: see `unfolding.py`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from amends.coordinator.core.leaving_out import collected, failed_with, left_out, may_have_acted, put_off
from amends.coordinator.core.progress import in_turn
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.copies import until
from amends.coordinator.definition.expression import field_of
from amends.coordinator.definition.form import EachForm, StepForm
from amends.schemas.events import (
    FanOutEnded,
    FanOutPlanned,
    LimitReached,
    LoopEnded,
    RoundPlanned,
    StepFailed,
    StepSkipped,
)
from amends.schemas.instants import MILLISECOND, text_of

KEY_CHARACTERS_MAX: Final = 255
KEYS_BYTES_MAX: Final = 128 * 1024
"""Of all keys of a list together: they stand in one event."""
STEPS_MAX: Final = 3_000
"""Of one run, with all that is repeated: an entry may tell of each of them, and is to fit into its topic."""


class _Unusable(ValueError):
    """The value is no list of items that can be told apart."""


def begin_repeating(turn: Turn, step: StepForm) -> None:
    """Plan what is to be done: freeze the items, or begin the first round."""
    if step.each is None:
        _next_round(turn, step, 0)
        return
    items = step.handler.arguments["items"]
    source = turn.state.trigger if items.step is None else turn.state.effect(items.step, "forward").result
    value = field_of(turn.value(items.step), items.field)
    try:
        keys = _keys(value, step.each)
    except _Unusable as error:
        _fail(turn, step, "invalid_items", str(error))
        return
    if len(keys) > step.each.items_max:
        turn.emit(LimitReached(limit="items", used=len(keys), allowed=step.each.items_max))
        _fail(turn, step, "limit", f"{len(keys)} items, items_max allows {step.each.items_max}")
        return
    if _too_many_steps(turn, step, len(keys) * len(step.each.steps)):
        return
    turn.emit(FanOutPlanned(path=step.path, items=source or "", keys=keys))


def tend_repeating(turn: Turn, step: StepForm) -> None:
    """End it, or begin the next round, once all copies are over."""
    if not turn.progress.of(turn.plan, turn.state, step.path).over:
        return
    count = _count(turn.state, step)
    if step.each is not None:
        turn.emit(FanOutEnded(path=step.path, failed=_failed(turn, step)))
        return
    assert step.loop is not None, "what repeats is over items or a loop"
    if turn.holds(until(step, count - 1)):
        turn.emit(LoopEnded(path=step.path, rounds=count, met=True))
    elif (because := failed_with(turn.plan, turn.state, step.path)) is not None:
        turn.emit(StepSkipped(path=step.path, because=because))
    elif count < step.loop.rounds_max:
        _next_round(turn, step, count)
    elif step.loop.on_max == "go_on":
        turn.emit(LoopEnded(path=step.path, rounds=count, met=False))
    else:
        turn.emit(LimitReached(limit="rounds", used=count, allowed=step.loop.rounds_max))
        _fail(turn, step, "limit", f"{count} rounds, and its condition does not hold")


def in_order(turn: Turn) -> Iterable[StepForm]:
    """The steps in the order in which they may begin, also those that were begun.

    Of those that repeat others, an item's when there is room for it beside those at work, a round's when it has come.
    """
    return _with_copies(turn) if turn.plan.repeats else turn.plan.form.steps


def _with_copies(turn: Turn) -> Iterator[StepForm]:
    for step in turn.plan.unrepeated:
        yield step
        if step.repeats:
            yield from _copies(turn, step)


def _copies(turn: Turn, step: StepForm) -> Iterator[StepForm]:
    effect = turn.state.effect(step.path, "forward")
    if effect.phase != "repeating" or (effect.due_at is not None and effect.due_at > turn.now):
        return
    room = step.each.concurrency if step.each is not None else 1
    plan = turn.plan
    for index in in_turn(turn.progress.of(plan, turn.state, step.path), room=room):
        for path in plan.copies[step.path][index]:
            copy = plan.steps[path]
            yield copy
            if copy.repeats:
                yield from _copies(turn, copy)


def may_fail(turn: Turn, path: str) -> bool:
    """Whether the run goes on without the item that fails with this copy, and had no effect for certain."""
    plan, state = turn.plan, turn.state
    item = collected(plan, path)
    return (
        item is not None and state.effect(path, "forward").phase == "failed" and not may_have_acted(plan, state, *item)
    )


def go_on_without(turn: Turn, path: str) -> None:
    """Leave an item out: this copy failed, and nothing more is begun of what comes with it."""
    item = collected(turn.plan, path)
    assert item is not None, "only items of a list that collects are left out"
    turn.emit(StepSkipped(path=path, because="failed"))
    for other in put_off(turn.plan, turn.state, *item):
        turn.emit(StepSkipped(path=other, because=path))


def round_due(state: State, path: str, effect: Effect) -> int | None:
    """When a loop's next round begins, as long as it has not."""
    if effect.due_at is None:
        return None
    begun = f"{path}[{(state.fans or {})[path].count - 1}]"
    return None if any(other.startswith(begun) for other in state.forward) else effect.due_at


def _next_round(turn: Turn, step: StepForm, number: int) -> None:
    assert step.loop is not None, "only a loop has rounds"
    if _too_many_steps(turn, step, len(step.loop.steps)):
        return
    due_at = turn.now + (step.loop.every_ms * MILLISECOND if number else 0)
    turn.emit(RoundPlanned(path=step.path, round=number, due_at=text_of(due_at)))


def _too_many_steps(turn: Turn, step: StepForm, more: int) -> bool:
    count = len(turn.plan.form.steps) + more
    if count <= STEPS_MAX:
        return False
    turn.emit(LimitReached(limit="steps", used=count, allowed=STEPS_MAX))
    _fail(turn, step, "limit", f"the run would have {count} steps with all that is repeated, {STEPS_MAX} are allowed")
    return True


def _count(state: State, step: StepForm) -> int:
    assert state.fans, "what is tended was planned"
    return state.fans[step.path].count


def _failed(turn: Turn, step: StepForm) -> tuple[int, ...]:
    return tuple(
        index
        for index, paths in enumerate(turn.plan.copies.get(step.path, ()))
        if left_out(turn.plan, turn.state, paths) is not None
    )


def _fail(turn: Turn, step: StepForm, kind: str, message: str) -> None:
    attempt = turn.state.effect(step.path, "forward").attempt + 1
    turn.emit(StepFailed(path=step.path, attempt=attempt, kind=kind, message=message, retriable=False))


def _keys(value: object, each: EachForm) -> tuple[str, ...]:
    """What each item is called. Raises `_Unusable`."""
    if not isinstance(value, list):
        raise _Unusable("there is no list of items" if value is None else "the items are no list")
    keys: dict[str, int] = {}
    for index, item in enumerate(value):
        found = field_of(item, each.key)
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            where = f"{each.key!r} of " if each.key else ""
            why = "it is empty" if found == "" else "it is neither text nor an integer"
            raise _Unusable(f"{where}item {index} names nothing: {why}")
        key = str(found)
        if len(key) > KEY_CHARACTERS_MAX:
            raise _Unusable(f"the key of item {index} has {len(key)} characters, {KEY_CHARACTERS_MAX} are allowed")
        if key in keys:
            raise _Unusable(f"items {keys[key]} and {index} have the same key {key!r}")
        keys[key] = index
    size_bytes = sum(len(key.encode()) for key in keys)
    if size_bytes > KEYS_BYTES_MAX:
        raise _Unusable(f"the keys of all items have {size_bytes} bytes, {KEYS_BYTES_MAX} are allowed")
    return tuple(keys)
