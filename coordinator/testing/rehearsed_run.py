"""One run on its stage, from its trigger to its end: whoever dies is replaced, and a person tries again what parked."""

from dataclasses import dataclass, field
from typing import Final

from amends.compensations.faults import Fault
from amends.compensations.judging import Flag, Park, is_expected
from amends.coordinator.core.evolve import fold
from amends.coordinator.core.proof import proof_of
from amends.coordinator.core.state import State
from amends.coordinator.core.verifying import open_verifications
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.rows import ANSWER
from amends.coordinator.reading.parking import parked_way
from amends.coordinator.testing.sandbox import Sandbox, Trigger
from amends.coordinator.testing.stage import ACTOR, CoordinatorDied, Hands, Stage
from amends.schemas import wishes
from amends.schemas.entry import decode

RETRIES_MAX: Final = 3
"""How often a person tries again what parked."""
DEATHS_MAX: Final = 10
MESSAGES_MAX: Final = 1_000
RESTS_MAX: Final = 10_000
"""Times that a run comes to rest and goes on again."""


@dataclass(slots=True, kw_only=True)
class RehearsedRun:
    """One run on its stage."""

    stage: Stage
    hands: Hands
    trigger: Trigger
    sandbox: Sandbox
    faults: tuple[Fault, ...]
    deaths: int = 0
    answered: set[tuple[str, str, str]] = field(default_factory=set)
    over: bool = False
    """Whether its faults are."""

    def to_its_end(self) -> tuple[str, tuple[Park, ...], str]:
        """Go on until it ends, a person trying again what its fault parked. Status, parks, and why it is stuck."""
        self.stage.publish(self.trigger)
        if not self._unanswered:
            for message in self.sandbox.messages:
                self.stage.send(message.type, message.key, message.body)
        parks: list[Park] = []
        for _ in range(RETRIES_MAX + 1):
            try:
                self._go()
                state = self._until_nothing_comes()
            except RuntimeError as error:
                return "stuck", tuple(parks), str(error)
            if self._row_is_quarantined():
                return "stuck", tuple(parks), "its state cannot be decided: it is quarantined"
            if state.parked is None:
                ended = state.status if state.closed else "stuck"
                return ended, tuple(parks), f"it is {state.status}"
            park = _park_of(state)
            parks.append(park)
            if self.over or not is_expected(self.faults, park):
                return "parked", tuple(parks), park.why
            self._end_faults()
            wish = wishes.Resolve(
                actor=ACTOR,
                saga_id=state.saga_id,
                step=state.parked.step,
                resolution="retry",
                reason="rehearsed",
                evidence=None,
            )
            self.stage.wish(wish)
        return "parked", tuple(parks), parks[-1].why

    def _until_nothing_comes(self) -> State:
        """Once the run has ended, what the bus held up arrives."""
        post = self.hands.post
        state = self._state()
        while post is not None and post.holds and state.closed:
            post.release()
            self._go()
            state = self._state()
        return state

    def _end_faults(self) -> None:
        """From here on nothing fails; what nobody sent before comes now."""
        silent = self._unanswered
        self.over = True
        self.hands.faults.over()
        if self.hands.post is not None:
            self.hands.post.mend()
        for message in self.sandbox.messages if silent else ():
            self.stage.send(message.type, message.key, message.body)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What did not hold of the run that has ended."""
        state = self._state()
        if proof_of(state) != "flagged":
            return ()
        expected = state.expectations if state.status == "completed" and state.expectations else {}
        later = state.verifications or ()
        return (
            *(Flag(path=path, message=each.message) for path, each in expected.items() if not each.held),
            *(
                Flag(path=each.path, direction=each.direction, message=each.message)
                for each in later
                if each.held is False
            ),
        )

    @property
    def left_out(self) -> frozenset[str]:
        """Steps that failed though it has completed: of items that it goes on without."""
        state = self._state()
        if state.status != "completed":
            return frozenset()
        effects = state.forward.items()
        return frozenset(path for path, effect in effects if effect.phase == "skipped" and effect.failure is not None)

    @property
    def entries(self) -> int:
        (row,) = self.stage.store.runs(limit=1)
        return row.version

    def _go(self) -> None:
        """Until nothing is left to do; the coordinator that dies is replaced by one that knows only the store.

        Raises `RuntimeError` where that never comes.
        """
        while True:
            try:
                for _ in range(RESTS_MAX):
                    self.stage.run()
                    if self._answers():
                        continue
                    if not self._waits():
                        return
                    self.stage.run(until=self.stage.engine.next_due())
                raise RuntimeError(f"it has waited {RESTS_MAX} times, and waits again")
            except CoordinatorDied:
                self.deaths += 1
                if self.deaths > DEATHS_MAX:
                    raise
                self._replace()

    def _replace(self) -> None:
        while True:
            try:
                self.stage.crash()
                if not self.stage.store.runs(limit=1):
                    self.stage.publish(self.trigger)
                self.stage.take_inbox()
                return
            except CoordinatorDied:
                continue

    def _answers(self) -> bool:
        """Bring what the run waits for and the sandbox knows; whether there was any."""
        if self.sandbox.answer is None or self._unanswered:
            return False
        sent = False
        for row in self.stage.store.awaited(limit=MESSAGES_MAX):
            known = (row.path, row.type, row.correlation_key)
            if known not in self.answered and not self._is_commanded(row.correlation_key):
                self.answered.add(known)
                body = self.hands.content(self.sandbox.answer, row.type, row.correlation_key)
                if body is not None:
                    pending = row.type == ANSWER
                    self.stage.send(row.type, row.correlation_key, body, answer="succeeded" if pending else None)
                    sent = True
        return sent

    def _is_commanded(self, correlation: str) -> bool:
        """Whether a participant was asked, which answers for itself."""
        post = self.hands.post
        return post is not None and correlation in post.correlations

    @property
    def _unanswered(self) -> bool:
        return any(fault.kind == "unanswered" for fault in self.faults) and not self.over

    def _waits(self) -> bool:
        """Whether something is still to come by itself: an instant that the run waits for, or is read back at."""
        rows = self.stage.store.runs(limit=1)
        if not rows or rows[0].quarantined or self.stage.engine.next_due() is None:
            return False
        state = self._state()
        return bool(open_verifications(state)) if state.closed else state.parked is None

    def _row_is_quarantined(self) -> bool:
        (row,) = self.stage.store.runs(limit=1)
        return row.quarantined

    def _state(self) -> State:
        rows = self.stage.store.runs(limit=1)
        if not rows:
            letters = self.stage.store.dead_letters(limit=1)
            why = f"{letters[0].reason}: {letters[0].detail}" if letters else "it was not taken"
            raise UsageError("AM5108", f"the trigger becomes no run: {why}", do="mend the trigger of the sandbox")
        return fold(decode(stored.data) for stored in self.stage.store.entries_of(rows[0].saga_id))


def _park_of(state: State) -> Park:
    assert state.parked is not None, "the run is parked"
    parked = state.parked
    return Park(path=parked.step, direction=parked_way(state), kind=parked.kind, why=parked.why)
