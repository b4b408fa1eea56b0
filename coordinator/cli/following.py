"""Waiting for what becomes of triggers and wishes: a bounded look at the store, again and again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from amends.coordinator.cli.call import Call
from amends.coordinator.cli.endings import outcome_lines
from amends.coordinator.cli.failing import TimedOut
from amends.coordinator.cli.output import encoded, note, write, write_line
from amends.coordinator.cli.progress import progress
from amends.coordinator.definition.durations import milliseconds
from amends.coordinator.errors import Conflict, UsageError
from amends.coordinator.ports.bus import Place
from amends.coordinator.ports.rows import DeadLetterRow
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.logs import latest_outcome
from amends.coordinator.reading.triggers import Fate, fates, wrong_with
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId
from amends.schemas.outcome import OUTCOMES, Outcome

LOOK_S: Final = 0.05
EXIT_CODES: Final = {"completed": 0, "compensated": 3, "parked": 4, "killed": 9}
DEAD_LETTER: Final = 1
CONFLICT: Final = 7


@dataclass(slots=True, kw_only=True)
class Followed:
    """What came of it all. The exit code is the first that is not 0."""

    outcomes: list[Outcome] = field(default_factory=list)
    dead_letters: list[DeadLetterRow] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        codes = [EXIT_CODES[outcome.status] for outcome in self.outcomes]
        codes += [CONFLICT if row.reason == "conflict" else DEAD_LETTER for row in self.dead_letters]
        return next((code for code in codes if code), 0)

    def show(self, call: Call, document: dict[str, Any]) -> int:
        """Print the outcomes (with `document` around them as JSON); the exit code."""
        for row in self.dead_letters:
            place = f"{row.topic}:{row.partition}:{row.offset}"
            what = f"{place} became dead letter {row.n} ({row.reason}): {wrong_with(row)}"
            note(f"error AM5016: {what}; see: amends dead-letters show {row.n}")
        if call.text:
            write(outcome_lines(self.outcomes))
        else:
            import msgspec

            outcomes = [msgspec.Raw(OUTCOMES.to_json(outcome)) for outcome in self.outcomes]
            letters = [{"n": row.n, "reason": row.reason, "saga_id": row.saga_id} for row in self.dead_letters]
            write_line(encoded({**document, "outcomes": outcomes, "dead_letters": letters}))
        return self.exit_code


def follow_places(call: Call, store: Store, places: list[Place], timeout_s: float) -> Followed:
    """Wait until each record has become runs that ended or parked, or a dead letter. Raises `TimedOut`."""
    followed = Followed()
    until = time.monotonic() + timeout_s
    for place in places:
        origin = Origin(topic=place.topic, partition=place.partition, offset=place.offset)
        where = f"{origin.topic}:{origin.partition}:{origin.offset}"
        found = wait_for(
            lambda origin=origin: _fates(call, store, origin),  # type: ignore[misc]
            until,
            f"nothing has become of {where} yet",
            f"look later: amends triggers explain {where}",
        )
        for fate in found:
            if fate.dead_letter is not None:
                followed.dead_letters.append(fate.dead_letter)
            elif fate.run is not None:
                followed.outcomes.append(follow_run(store, fate.run.saga_id, until))
    return followed


def follow_run(store: Store, saga_id: SagaId, until: float) -> Outcome:
    """Wait until the run has ended or parked. Raises `TimedOut`."""
    found: Outcome = wait_for(
        lambda: _outcome(store, saga_id),
        until,
        f"run {saga_id} has not ended yet",
        f"look later: amends runs show {saga_id}",
    )
    return found


def wait_for(ask: Callable[[], Any], until: float, what: str, do: str) -> Any:  # noqa: ANN401  what `ask` gives
    """Ask until the answer is truthy. Raises `TimedOut` (AM5015, exit 5)."""
    with progress("waiting"):
        while True:
            found = ask()
            if found:
                return found
            if time.monotonic() > until:
                raise TimedOut("AM5015", f"the wait is over, {what}", do=do)
            time.sleep(LOOK_S)


def waiting_s(text: str) -> float:
    """A `--timeout` in seconds. Raises `UsageError`."""
    try:
        return milliseconds(text) / 1000
    except ValueError as error:
        raise UsageError("AM5005", f"--timeout: {error}", do="write it like 30s") from None


def _outcome(store: Store, saga_id: SagaId) -> Outcome | None:
    row = store.run(saga_id)
    if row is not None and row.quarantined:
        raise Conflict(
            "AM5013",
            f"run {saga_id} is quarantined: nothing becomes of it",
            do=f"see why: amends audit verify {saga_id}",
        )
    over = row is not None and (row.ended_at is not None or row.status == "parked")
    return latest_outcome(store, saga_id) if over else None


def _fates(call: Call, store: Store, origin: Origin) -> list[Fate]:
    found = fates(store, origin)
    if found or call.settings.kafka is not None:
        return found
    if store.consumed(call.settings.group, origin.topic) <= origin.offset:
        return []
    return fates(store, origin) or [Fate(state="duplicate", origin=origin)]
