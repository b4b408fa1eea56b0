"""People: they look after a simulated run that is parked, and change their minds about one that is not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amends.coordinator.core.messages import CancelWished, KillWished, ResolutionWished, SavepointWished
from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.core.savepoints import savepoints
from amends.schemas.instants import SECOND

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

RESOLUTIONS_MAX: Final = 12
"""After so many a person gives up and kills the run."""


@dataclass(slots=True, kw_only=True)
class People:
    """What they may do is what they are offered; each offer changes something."""

    simulation: "Simulation"
    resolved: int = 0

    def resolve(self) -> None:
        """A decision about the parked run."""
        simulation = self.simulation
        run, state, checker = simulation.run, simulation.run.get(), simulation.checker
        assert state.parked is not None, "a parked run says why"
        run.now += simulation.random.randrange(1, 7_200) * SECOND
        self.resolved += 1
        if self.resolved > RESOLUTIONS_MAX:
            simulation.tell(KillWished(reason="too much"))
            return
        if may_cancel(run.plan, state) is None and simulation.percent(30):
            simulation.tell(CancelWished(reason="changed their mind"))
            return
        back_to = savepoints(run.plan, state)
        if back_to and simulation.percent(30):
            step = simulation.random.choice(back_to)
            decided = simulation.tell(SavepointWished(step=step, reason="from there"))
            checker.require(bool(decided), "rule 10", f"undo to {step} was offered and changes nothing")
            return
        choice = simulation.random.choice(resolutions(run.plan, state))
        path = state.parked.step
        if choice == "done_by_hand":
            simulation.world.put_right(state)
        decided = simulation.tell(ResolutionWished(step=path, resolution=choice, reason="because", evidence="ticket"))
        checker.require(bool(decided), "rule 10", f"{choice} was offered and changes nothing")

    def meddle(self) -> None:
        """Somebody outside changes what an ended run has done, before it is read back."""
        simulation = self.simulation
        state = simulation.run.get()
        for each in state.verifications or ():
            key = state.effect(each.path, "forward").key
            if each.held is None and key is not None and simulation.percent(simulation.faults.meddled):
                simulation.world.meddle(each.path, key)
