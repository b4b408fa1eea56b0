"""Locks: their keys come from the trigger, a run waits for all of them before it begins anything (rule 16).

Who is first in the row of a key only the store knows, for it alone sees all runs. It tells a run that has become the
first in all of its rows, and the run begins then; so what is decided here needs no look at any other run.
"""

from typing import Final

import msgspec

from amends.coordinator.core.state import State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.form import DefinitionForm
from amends.schemas.canonical import digest, encode
from amends.schemas.events import LockReleased, LocksRequested, LocksTaken
from amends.schemas.keys import has_controls, value_at

VALUE_CHARACTERS_MAX: Final = 255
"""A longer value stands in its key by its digest, and one with control characters does."""


def request_locks(turn: Turn) -> None:
    """Stand in the row of each key, if the definition has any."""
    if turn.plan.form.locks:
        keys = keys_of(turn.plan.form, msgspec.json.decode(turn.payloads(turn.state.trigger)))
        if keys:
            turn.emit(LocksRequested(keys=keys))


def take_locks(turn: Turn) -> None:
    """They are the run's. One that has turned back meanwhile has no use for them."""
    if turn.state.status == "queued" and turn.state.locks is not msgspec.UNSET:
        turn.emit(LocksTaken(keys=turn.state.locks.keys))


def release_lock(turn: Turn, key: str, reason: str) -> None:
    """Take one away, unless the run goes on already."""
    if may_release(turn.state, key) is None:
        turn.emit(LockReleased(key=key, reason=reason))


def may_release(state: State, key: str) -> str | None:
    """None, or why a person cannot take this lock away now."""
    if state.locks is msgspec.UNSET or not state.locks.held or key not in state.locks.keys:
        return f"it does not hold {key}"
    if state.status != "parked":
        return f"it is {state.status}, not parked"
    return None


def keys_of(form: DefinitionForm, trigger: object) -> tuple[str, ...]:
    """`name:value` of each lock, sorted; equal ones are one. A value that is null or absent locks nothing."""
    found = {(lock.name, _value(trigger, lock.field)) for lock in form.locks}
    return tuple(sorted({f"{name}:{_text(value)}" for name, value in found if value is not None}))


def _value(trigger: object, field: str) -> str | None:
    value = value_at(trigger, field)
    return value if value is None or isinstance(value, str) else encode(value).decode()


def _text(value: str) -> str:
    return digest(value.encode()) if len(value) > VALUE_CHARACTERS_MAX or has_controls(value) else value
