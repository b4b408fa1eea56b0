"""What became of a trigger: the runs and dead letters that its place on the bus led to."""

from dataclasses import dataclass
from typing import Any, Literal

from amends.coordinator.ports.rows import DeadLetterRow, RunRow
from amends.coordinator.ports.store import LogReading
from amends.schemas.events import Origin

TriggerState = Literal["run", "duplicate", "conflict", "dead_letter", "pending", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One thing a trigger became; exactly one of `run` and `dead_letter` is set, or neither."""

    state: TriggerState
    origin: Origin
    run: RunRow | None = None
    dead_letter: DeadLetterRow | None = None

    def facts(self) -> dict[str, Any]:
        """Under the keys of `triggers explain`."""
        letter = self.dead_letter
        saga_id = self.run.saga_id if self.run else letter.saga_id if letter else None
        return {
            "state": self.state,
            "saga_id": saga_id,
            "n": letter.n if letter else None,
            "origin": self.origin,
        }


def wrong_with(row: DeadLetterRow) -> str:
    """What is wrong with a dead letter, with the place in its data where there is one."""
    return f"{row.path}: {row.detail}" if row.path else row.detail


def fates(store: LogReading, origin: Origin) -> list[Fate]:
    """Everything the store knows of this place: runs first, then dead letters. Empty: nothing."""
    place = (origin.topic, origin.partition, origin.offset)
    runs = [Fate(state=_of_run(row, origin), origin=origin, run=row) for row in store.runs_by_origin(*place)]
    letters = [
        Fate(state="conflict" if row.reason == "conflict" else "dead_letter", origin=origin, dead_letter=row)
        for row in store.dead_letters_at(*place)
    ]
    return [*runs, *letters]


def _of_run(row: RunRow, origin: Origin) -> TriggerState:
    return "run" if row.origins and row.origins[0] == origin else "duplicate"
