"""The last sentences of a story: how the run ended and what it left in the world."""

from collections import Counter

from msgspec import UNSET

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.verifying import name_of
from amends.coordinator.reading.exposure import exposure_of
from amends.coordinator.reading.times import day_and_clock
from amends.coordinator.reading.undoing import follows_up
from amends.coordinator.reading.words import counted
from amends.schemas.instants import Instant


def ending(state: State, plan: Plan | None, waiting_for: str | None = None) -> list[str]:
    """One sentence, more where a person has to act. `waiting_for` is of a run in which nothing else is to be done."""
    match state.status:
        case "completed":
            return [_completed(state), *_expected(state)]
        case "compensated":
            return [_compensated(state, plan), *_expected(state)]
        case "killed":
            return [f"Killed. {_left(state) or 'Nothing is left in the world.'}"]
        case "parked":
            return _parked(state)
        case _ if waiting_for is not None:
            return [f"Waits for {each}." for each in _waits(state) or [f"handler {waiting_for}, which no worker has"]]
        case _:
            return [f"Not over yet: {state.status}."]


def _waits(state: State) -> list[str]:
    """What comes from outside, the soonest first."""
    found: list[tuple[Instant, str]] = []
    for path, effect in state.forward.items():
        if effect.phase not in {"waiting", "pending"} or effect.due_at is None or effect.awaited is UNSET:
            continue
        until, awaited = day_and_clock(effect.due_at), effect.awaited
        if awaited.awaits == "message":
            found.append(
                (effect.due_at, f"message {awaited.message_type} of {awaited.correlation} until {until}, in {path}")
            )
        elif awaited.awaits == "answer":
            found.append((effect.due_at, f"an answer of {awaited.correlation} until {until}, in {path}"))
        else:
            found.append((effect.due_at, f"{until}, in {path}"))
    return [text for _, text in sorted(found)]


def _expected(state: State) -> list[str]:
    """Whether the run is proven."""
    checked, later = state.expectations or {}, state.verifications or ()
    failed = [path for path, each in checked.items() if not each.held]
    failed += [name_of(each) for each in later if each.held is False]
    if failed:
        return [f"Flagged: not as expected: {', '.join(failed)}."]
    due = [f"{name_of(each)} from {day_and_clock(each.due_at)}" for each in later if each.held is None]
    if due:
        return [f"Not proven yet: to be read back: {', '.join(due)}."]
    said = [counted(len(checked), "expectation")] if checked else []
    said += [counted(len(later), "late read-back")] if later else []
    return [f"Proven: {' and '.join(said)} held."] if said else []


def _completed(state: State) -> str:
    checked = state.expectations or {}
    done = sum(effect.phase == "done" and path not in checked for path, effect in state.forward.items())
    skipped = sum(effect.phase == "skipped" for effect in state.forward.values())
    return f"Everything is done: {counted(done, 'step')}{f', {skipped} skipped' if skipped else ''}."


def _compensated(state: State, plan: Plan | None) -> str:
    undone, listed = len(state.undone), len(state.undo_list or ())
    left = _left(state)
    if not listed:
        return left or "The world is as it was before: no effect had to be undone."
    said = f"{undone} of {counted(listed, 'effect')} {_how(state)}"
    followed = [each.step for each in state.undone if follows_up(plan, each.step)]
    if followed:
        said += f"; what stays was followed up: {', '.join(followed)}"
    if left:
        return f"{said}. {left}"
    return f"Amends are made: {said}." if followed else f"The world is as it was before: {said}, nothing left."


def _how(state: State) -> str:
    """A hand and a reply alone are no read-back."""
    found = Counter[str](each.verified_by for each in state.undone)
    weaker = (("person", "by hand"), ("reply", "by the participant's reply alone"))
    named = [f"{found[by]} {words}" for by, words in weaker if found[by]]
    return f"undone, of them {' and '.join(named)}" if named else "undone and verified"


def _left(state: State) -> str:
    exposure = exposure_of(state)
    return f"Left in the world: {', '.join(f'{each.step} ({each.why})' for each in exposure)}." if exposure else ""


def _parked(state: State) -> list[str]:
    parked = state.parked
    assert parked is not None, "a parked run says why"
    what = [f"Parked at {parked.step or 'no step'} since {day_and_clock(parked.since)}: {parked.why}."]
    left = _left(state)
    return [*what, *([left] if left else []), f"A person decides: amends parked show {state.saga_id}"]
