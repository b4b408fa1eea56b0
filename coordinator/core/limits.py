"""Limits of a run: forward work may use 70 % of each, the rest is kept for settling and undo (rules 12 and 18)."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.schemas.events import LimitReached

FORWARD_PERCENT = 70


def forward_limit(plan: Plan, state: State) -> LimitReached | None:
    """The limit that forward work has used up, if any."""
    for name, used, allowed in _limits(plan, state):
        if allowed is not None and used * 100 >= allowed * FORWARD_PERCENT:
            return LimitReached(limit=name, used=used, allowed=allowed)
    return None


def whole_limit(plan: Plan, state: State) -> LimitReached | None:
    """The limit that even the reserve has used up, if any."""
    for name, used, allowed in _limits(plan, state):
        if allowed is not None and used >= allowed:
            return LimitReached(limit=name, used=used, allowed=allowed)
    return None


def _limits(plan: Plan, state: State) -> tuple[tuple[str, int, int | None], ...]:
    return (
        ("entries", state.version, plan.entries_max),
        ("attempts", state.attempts, plan.form.budget.attempts),
    )
