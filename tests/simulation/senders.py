"""Other services: they send what a simulated run waits for and answer what is pending; late, twice, wrongly, never."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amends.coordinator.core.messages import Delivered, Done, Ended, Failed, Said, Unknown
from amends.schemas.events import WaitStarted
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from tests.simulation.world import Request, Verdict

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


@dataclass(slots=True, kw_only=True)
class Senders:
    """What they send while the run has no owner waits for the next one."""

    simulation: "Simulation"

    def awaited(self, wait: WaitStarted) -> None:
        """Somebody sends what is waited for, or nothing; in time or not, twice or something else first."""
        simulation = self.simulation
        if wait.awaits != "message" or simulation.percent(20):
            return
        for _ in range(simulation.random.choice((1, 1, 1, 2, 3))):
            at = simulation.run.now + simulation.random.choice((1, 50, 1_500, 90_000)) * MILLISECOND
            kind = "Return" if simulation.percent(15) else "Arrival"
            simulation.at(at, lambda kind=kind: self._send(wait, kind))  # type: ignore[misc]

    def will_answer(
        self, request: Request, key: str, known: Callable[[], Verdict | None], *, after: Instant, within_ms: int
    ) -> None:
        """The participant answers once, or again and again, or never; perhaps first that it does not know yet."""
        simulation = self.simulation
        if simulation.percent(15):
            return
        at, times = after, simulation.random.choice((1, 1, 1, 1, 2, 3))
        for number in range(times):
            at += simulation.random.randrange(1, (2 if number == 0 else 4) * within_ms) * MILLISECOND
            unknown = simulation.percent(10)
            simulation.at(at, lambda unknown=unknown: self._answer(request, key, known, unknown=unknown))  # type: ignore[misc]

    def _send(self, wait: WaitStarted, kind: str) -> None:
        simulation = self.simulation
        if simulation.down:
            simulation.at(simulation.run.now + SECOND, lambda: self._send(wait, kind))
            return
        taken = simulation.run.receives(wait.path, wait.correlation or "", kind=kind)
        simulation.checker.require(not taken or kind == "Arrival", "rule 2", f"{wait.path} took a {kind}")

    def _answer(self, request: Request, key: str, known: Callable[[], Verdict | None], *, unknown: bool) -> None:
        simulation = self.simulation
        if simulation.down:
            again_at = simulation.run.now + SECOND
            simulation.at(again_at, lambda: self._answer(request, key, known, unknown=unknown))
            return
        verdict = known()
        if verdict is None:
            return  # It never landed.
        message = Delivered(
            path=request.path,
            direction=request.direction,
            message_id=f"reply:{key}",
            correlation=key,
            message_type="answer",
            body=simulation.run.keep(request.path),
            answer=self._said(request, verdict, unknown=unknown),
        )
        for _ in range(2 if simulation.percent(20) else 1):
            simulation.tell(message)

    def _said(self, request: Request, verdict: Verdict, *, unknown: bool) -> Said:
        if unknown:
            return Said(verdict="unknown", answer=Unknown(kind="in_doubt", message=""))
        if verdict == "refused":
            return Said(verdict="refused", answer=Failed(kind="refused", message="", retriable=False))
        if verdict == "unavailable":
            return Said(verdict="unavailable", answer=Failed(kind="unavailable", message="", retriable=True))
        forward = request.direction == "forward"
        if forward and self.simulation.percent(10):  # Its content is no result.
            return Said(verdict="succeeded", answer=Ended(kind="invalid_result", message=""))
        return Said(
            verdict="succeeded", answer=Done(result=self.simulation.run.keep(request.path) if forward else None)
        )
