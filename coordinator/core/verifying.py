"""Delayed verification: what is read back long after the run has ended, and amends its outcome (rules 9 and 12).

It is planned in the entry that ends the run, asked at its instant, and answered by entries after the terminal one.
"""

from collections.abc import Iterator

from amends.coordinator.core.messages import NoAnswer, ReadBack, Yes
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.retrying import polling_delay_ms
from amends.coordinator.core.soonest import soonest
from amends.coordinator.core.state import State, Verification
from amends.coordinator.core.turn import Turn
from amends.schemas.events import OutcomeAmended, VerificationPlanned, VerificationRequested
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant, text_of


def plan_verifications(turn: Turn, direction: Direction) -> None:
    """What is to be read back of the steps that are done, or undone, now that the run ends."""
    for path, effect in turn.state.effects(direction).items():
        handler = turn.plan.delayed(path, direction)
        if handler is None or effect.phase != "done" or effect.verified_by == "person" or effect.verify_since is None:
            continue
        due_at = effect.verify_since + handler.verify_after_ms * MILLISECOND
        turn.emit(VerificationPlanned(path=path, direction=direction, due_at=text_of(max(due_at, turn.now))))


def open_verifications(state: State) -> tuple[Verification, ...]:
    """Those that are not over, of a run that has ended."""
    if not state.verifications or not state.closed:
        return ()
    return tuple(each for each in state.verifications if each.held is None)


def ask_due(turn: Turn) -> None:
    """Ask those whose instant has come; one whose handler is missing waits for it."""
    for each in open_verifications(turn.state):
        handler = turn.plan.delayed(each.path, each.direction)
        if each.number == 0 and each.due_at <= turn.now and handler is not None and turn.has_handler(handler.name):
            _ask(turn, each, turn.now)


def being_asked(state: State) -> tuple[Verification, ...]:
    """Those that a handler is, or was, at work for."""
    return tuple(each for each in open_verifications(state) if each.number > 0)


def at_work(plan: Plan, state: State) -> tuple[Verification, ...]:
    """Those among them whose handler this worker has: no other can have been at work."""
    return tuple(each for each, handler in asked_verifications(plan, state) if handler not in plan.missing)


def ask_anew(turn: Turn) -> None:
    """The owner stopped while they were asked."""
    for each in at_work(turn.plan, turn.state):
        _ask(turn, each, turn.now)


def give_up_asking(turn: Turn, why: str) -> None:
    """Nobody can say of those that are asked whether they hold."""
    for each in at_work(turn.plan, turn.state):
        turn.emit(OutcomeAmended(path=each.path, direction=each.direction, held=False, message=why))


def record_verification(turn: Turn, message: ReadBack) -> None:
    """An answer amends the outcome; a no is asked again for as long as read-backs may lag."""
    found = next((each for each in open_verifications(turn.state) if _is_about(each, message)), None)
    if found is None:
        return
    turn.emit(*message.notes)
    handler = turn.plan.delayed(found.path, found.direction)
    assert handler is not None, "only what has a read-back is verified"
    if isinstance(message.answer, Yes):
        turn.emit(OutcomeAmended(path=found.path, direction=found.direction, held=True, message=None))
        return
    since = found.asked_at or turn.now
    due_at = turn.now + polling_delay_ms((turn.now - since) // MILLISECOND) * MILLISECOND
    if due_at <= since + handler.within_ms * MILLISECOND:
        _ask(turn, found, due_at)
        return
    seen = message.answer.message if isinstance(message.answer, NoAnswer) else None
    turn.emit(OutcomeAmended(path=found.path, direction=found.direction, held=False, message=seen))


def due_of(plan: Plan, state: State) -> Instant | None:
    """When the next one is to be asked; one whose handler is missing is when that has come."""
    found = (each for each in open_verifications(state) if each.number == 0)
    return min((each.due_at for each in found if _handler_of(plan, each) not in plan.missing), default=None)


def missing_for_verifications(plan: Plan, state: State) -> str | None:
    """The handler without which nothing of what is still to be read back can be asked, if that is so."""
    names = [_handler_of(plan, each) for each in open_verifications(state)]
    return next(iter(names), None) if plan.missing.issuperset(names) else None


def asked_verifications(plan: Plan, state: State) -> Iterator[tuple[Verification, str]]:
    """Those that a handler should be at work for, and the handler."""
    for each in being_asked(state):
        handler = plan.delayed(each.path, each.direction)
        if handler is not None:
            yield each, handler.name


def awaited_verifications(state: State) -> str | None:
    """What an ended run is still to be verified by, and from when."""
    found = ((each.due_at, name_of(each)) for each in open_verifications(state))
    return soonest(found, lambda due_at, name: f"verification of {name}: {text_of(due_at)}")


def name_of(each: Verification) -> str:
    """A step, or its undo."""
    return each.path if each.direction == "forward" else f"the undo of {each.path}"


def _handler_of(plan: Plan, each: Verification) -> str:
    handler = plan.delayed(each.path, each.direction)
    assert handler is not None, "only what has a read-back is verified"
    return handler.name


def _ask(turn: Turn, each: Verification, due_at: Instant) -> None:
    turn.emit(
        VerificationRequested(path=each.path, direction=each.direction, number=each.number + 1, due_at=text_of(due_at))
    )


def _is_about(each: Verification, message: ReadBack) -> bool:
    return (each.path, each.direction, each.number, "verify") == (
        message.path,
        message.direction,
        message.asked,
        message.role,
    )
