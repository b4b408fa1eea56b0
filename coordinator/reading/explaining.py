"""A state explains itself: what is done, pending, approved, to be tried again or undone, waited for, and may be wished.

Pure: from where the run stands (definition, fold and rows), its entries, and the time.
"""

from collections.abc import Sequence

from amends.coordinator.reading.accomplished import approved, completed, items_of, pending
from amends.coordinator.reading.awaiting import turns_back_at, waits_of
from amends.coordinator.reading.explanation import Explanation
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.possible import possible
from amends.coordinator.reading.retries import retries_of
from amends.coordinator.reading.standing import Standing
from amends.coordinator.reading.undoing import undo_order_of
from amends.schemas.instants import Instant, text_of


def explain(standing: Standing, moments: Sequence[Moment], now: Instant) -> Explanation | None:
    """None of a run whose definition or entries cannot be read."""
    plan, state = standing.plan, standing.state
    if plan is None or state is None:
        return None
    return Explanation(
        at=text_of(now),
        items=items_of(moments),
        completed=completed(plan, state, moments),
        pending=pending(plan, state),
        approved=approved(moments),
        retries=retries_of(plan, state, now),
        undo=undo_order_of(plan, state),
        waits=waits_of(standing, plan, state, now),
        turns_back_at=turns_back_at(plan, state),
        commands=possible(standing) if standing.present else (),
    )
