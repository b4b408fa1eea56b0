"""Limits of a run: forward work may use 70 % of each, the rest is kept for settling and undo (rules 12 and 18)."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.schemas.events import LimitReached

FORWARD_PERCENT = 70


def forward_limit(plan: Plan, state: State) -> LimitReached | None:
    """The limit that one more request on the way forward would pass, if any."""
    return _reached(plan, state, FORWARD_PERCENT)


def whole_limit(plan: Plan, state: State) -> LimitReached | None:
    """The limit that one more request would pass even of the reserve, if any."""
    return _reached(plan, state, 100)


def _reached(plan: Plan, state: State, percent: int) -> LimitReached | None:
    times, entries, attempts = 1 + state.extensions, plan.entries_max, plan.form.budget.attempts
    if (state.version + 1) * 100 > entries * times * percent:
        return LimitReached(limit="entries", used=state.version, allowed=entries * times)
    if attempts is not None and (state.attempts + 1) * 100 > attempts * times * percent:
        return LimitReached(limit="attempts", used=state.attempts, allowed=attempts * times)
    return None
