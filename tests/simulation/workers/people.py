"""People: they look after parked runs, change their minds, and leave what they wish in the inbox."""

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.core.savepoints import savepoints
from amends.coordinator.ports.rows import InboxRow
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND
from tests.simulation.workers.judge import Judged

if TYPE_CHECKING:
    from tests.simulation.workers.installation import Installation

ACTOR: Final = "eva"
PATIENCE: Final = 5
"""After so many decisions about a run a person kills it."""


@dataclass(slots=True, kw_only=True)
class People:
    """They look at the store, which always answers them; what they wish is heard by the run's owner."""

    installation: "Installation"
    _wishes: dict[SagaId, str] = field(default_factory=dict)
    _looking: set[SagaId] = field(default_factory=set)
    _resolved: dict[SagaId, int] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    def parked(self, saga_id: SagaId) -> None:
        """Somebody will look at it, some time soon."""
        if saga_id not in self._looking:
            self._looking.add(saga_id)
            self._later(saga_id)

    def interfere(self) -> None:
        """Somebody wants some open run stopped."""
        random, judge = self.installation.random, self.installation.judge
        open_runs = [saga_id for saga_id, judged in judge.runs.items() if not judged.state.closed]
        if open_runs:
            saga_id = random.choice(open_runs)
            kills = random.random() < 0.2
            self._wish(
                wishes.Kill(actor=ACTOR, saga_id=saga_id, reason="enough")
                if kills
                else wishes.Cancel(actor=ACTOR, saga_id=saga_id, reason="changed their mind")
            )

    def _later(self, saga_id: SagaId) -> None:
        installation = self.installation
        at = installation.clock.now + installation.random.randrange(1, 10 * SECOND)
        installation.at(at, lambda: self._look(saga_id))

    def _look(self, saga_id: SagaId) -> None:
        judged = self.installation.judge.runs[saga_id]
        if judged.state.parked is None:
            self._looking.discard(saga_id)
            return
        waits = self._wishes.get(saga_id) in self.installation.store._tables.inbox
        if not waits:
            self._decide(saga_id, judged)
        self._later(saga_id)  # Until it is not parked any more: a wish may come to nothing.

    def _decide(self, saga_id: SagaId, judged: Judged) -> None:
        random, state, plan = self.installation.random, judged.state, self.installation.judge.plan
        assert state.parked is not None, "it waits for a person"
        self._resolved[saga_id] = self._resolved.get(saga_id, 0) + 1
        if self._resolved[saga_id] > PATIENCE:
            self._wish(wishes.Kill(actor=ACTOR, saga_id=saga_id, reason="too much"))
            return
        if may_cancel(plan, state) is None and random.random() < 0.3:
            self._wish(wishes.Cancel(actor=ACTOR, saga_id=saga_id, reason="changed their mind"))
            return
        back_to = savepoints(plan, state)
        if back_to and random.random() < 0.3:
            self._wish(wishes.UndoTo(actor=ACTOR, saga_id=saga_id, step=random.choice(back_to), reason="from there"))
            return
        choice = random.choice(resolutions(plan, state))
        if choice == "done_by_hand":
            judged.world.put_right(state)
        self._wish(
            wishes.Resolve(
                actor=ACTOR,
                saga_id=saga_id,
                step=state.parked.step,
                resolution=choice,
                reason="because",
                evidence="ticket",
            )
        )

    def _wish(self, wish: wishes.Cancel | wishes.Kill | wishes.Resolve | wishes.UndoTo) -> None:
        store = self.installation.store
        row = store.run(wish.saga_id)
        assert row is not None, "wishes are about runs in the store"
        message_id = self._wishes[wish.saga_id] = f"wish:{next(self._numbers)}"
        store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
