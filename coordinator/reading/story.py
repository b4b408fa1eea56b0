"""A run as a narrative for people (contract, section 7): what was tried, what came of it, what is left in the world.

One line a step and one an undo, at the moment it was first requested; what people and crashes did stands between them.
"""

from collections.abc import Sequence

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import waited_for
from amends.coordinator.reading.endings import ending
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.telling import Line, Telling
from amends.coordinator.reading.times import clock, took
from amends.coordinator.reading.words import PLACE_WIDTH, STATUS_SYMBOLS, cells, label_of, padded

_GAP = 3
_UNDO_GAP = 2


def story(moments: Sequence[Moment], plan: Plan | None, waiting_for: str | None = None) -> str:
    """Tell a run's whole history. `plan` gives keys and dependencies their names.

    `waiting_for` is what the run's row says, which also knows of a handler that no worker has.
    """
    state = moments[-1].state
    plan = plan.of(state) if plan is not None else None
    telling = Telling(plan)
    for moment in moments:
        telling.take(moment)
    if waiting_for is None and plan is not None:
        waiting_for = waited_for(plan, state)
    lines = sorted(telling.lines, key=lambda line: line.at)  # stable: what is told first stays first
    width = max((len(line.name) for line in lines), default=0)
    said = max((cells(line.said) for line in lines if line.place), default=0)
    shown = (_text(line, width, said) for line in lines)
    told = [_head(state, plan, waiting_for), *shown, *(f"  {each}" for each in ending(state, waiting_for))]
    return "\n".join(told) + "\n"


def _head(state: State, plan: Plan | None, waiting_for: str | None) -> str:
    trigger = plan.form.trigger if plan else None
    label = label_of(trigger.business_key if trigger else None, "key")
    about = "" if state.business_key == state.saga_id else f" · {label} {state.business_key}"
    if state.ended_at is not None:
        when = f" in {took(state.ended_at - state.started_at)}"
    else:
        resting = waiting_for is not None or state.status in {"parked", "queued"}
        when = "" if resting else f" for {took(state.at - state.running_since)}"
    status = state.status if waiting_for is None else "waiting"
    return f"{state.saga} v{state.definition_version}{about} · {STATUS_SYMBOLS[status]} {status}{when}"


def _text(line: Line, name_width: int, said_width: int) -> str:
    name = f"  ↩ {line.name.ljust(name_width + _UNDO_GAP)}" if line.undo else line.name.ljust(name_width + _GAP)
    said = line.said
    if line.place:
        said = padded(said, said_width) + " " * _GAP + line.place
    if line.evidence:
        said = padded(said, said_width + _GAP + PLACE_WIDTH, gap=2) + f"evidence {line.evidence}"
    return f"  {clock(line.at)}  {name}{said}".rstrip()
