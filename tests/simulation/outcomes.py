"""Outcomes of one run as they must be: one for each entry that parks or ends it, or says how it stands since."""

from collections.abc import Callable
from dataclasses import dataclass, field

from amends.schemas.entry import Entry
from amends.schemas.events import Proof
from amends.schemas.outcome import Outcome

Require = Callable[[bool, str, str], None]


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """Those that were published, in order."""

    require: Require
    all: list[Outcome] = field(default_factory=list)

    def published(self, outcome: Outcome, entry: Entry, *, status: str, proof: Proof | None) -> None:
        """Check one more. `status` and `proof` are what the events say."""
        former = self.all[-1] if self.all else None
        ids = {each.outcome_id for each in self.all}
        self.require(outcome.outcome_id not in ids, "S13", f"two outcomes are called {outcome.outcome_id}")
        replaced = former.outcome_id if former is not None else None
        self.require(outcome.supersedes == replaced, "S13", f"it replaces {outcome.supersedes}, not {replaced}")
        place = (outcome.log_version, outcome.log_hash)
        self.require(place == (entry.version, entry.hash), "S14", f"the outcome is that of {place}")
        self.require(outcome.status == status, "S11", f"the outcome says {outcome.status}, the log {status}")
        self.require(outcome.proof == proof, "S11", f"the outcome says {outcome.proof}, the log {proof}")
        if former is not None and former.status != "parked":
            self._amends(former, outcome)
        self.all.append(outcome)

    def _amends(self, former: Outcome, outcome: Outcome) -> None:
        """Only how it is proven may have changed."""
        for name in ("status", "cause", "started_at", "ended_at", "result", "failure"):
            before, after = getattr(former, name), getattr(outcome, name)
            self.require(before == after, "S11", f"{name} was {before} and is {after} after the end")
        steps = [[undone.step for undone in each.undone] for each in (former, outcome)]
        self.require(steps[0] == steps[1], "S11", f"{steps[0]} were undone, and after the end {steps[1]}")
