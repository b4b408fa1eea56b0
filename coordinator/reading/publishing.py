"""What the log looks like on the bus: entries, outcomes and dead letters as records, the same on every bus."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OwnTopics:
    """The names of Amends' own topics under their prefix (design, section 7)."""

    prefix: str

    @property
    def outcomes(self) -> str:
        return f"{self.prefix}.outcomes"

    @property
    def audit(self) -> str:
        return f"{self.prefix}.audit"

    @property
    def reviews(self) -> str:
        return f"{self.prefix}.reviews"

    @property
    def decisions(self) -> str:
        return f"{self.prefix}.decisions"

    @property
    def messages(self) -> str:
        return f"{self.prefix}.messages"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def checkpoints(self) -> str:
        return f"{self.prefix}.checkpoints"

    @property
    def published(self) -> frozenset[str]:
        """Those that only Amends writes to."""
        return frozenset({self.outcomes, self.audit, self.reviews, self.dead_letters, self.checkpoints})
