"""An explanation says what the core will do: held against it at every version of histories and of simulated runs."""

from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec
import pytest

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.messages import CancelWished, Message
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import waited_for
from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.reading.explaining import explain
from amends.coordinator.reading.explanation import Explanation
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.standing import Standing
from amends.schemas.entry import Entry, Inline, decode
from amends.schemas.events import Digest
from amends.schemas.instants import Instant, text_of
from tests.replay.recording import read, recorded
from tests.simulation.random_definitions import random_saga
from tests.simulation.run import Run
from tests.simulation.simulation import Faults, Simulation
from tests.unit.reading.stored_histories import row_of

NAMES: Final = recorded()
SIMULATED: Final = 120
_AT_REST: Final = frozenset({"idle", "done", "skipped", "failed", "absent", "waiting", "repeating"})


def told(plan: Plan, state: State, moments: Sequence[Moment], now: Instant) -> Explanation:
    """What a run says of itself whose row says what its state does."""
    row = row_of(state, waited_for(plan, state) if plan.waits else None)
    explanation = explain(Standing(row=row, state=state, plan=plan.of(state), others={}), moments, now)
    assert explanation is not None
    return explanation


def check(plan: Plan, state: State, moments: Sequence[Moment], now: Instant) -> Explanation:
    """All that must be true of every explanation."""
    said = told(plan, state, moments, now)
    assert msgspec.json.decode(msgspec.json.encode(said), type=Explanation) == said
    kinds = {each.kind for each in said.waits}
    assert ("person" in kinds) == (state.parked is not None)
    if state.closed:
        assert (said.pending, said.retries, said.undo.steps) == ((), (), ())
        due = next_due(plan, state)
        assert {each.until for each in said.waits} >= (set() if due is None else {text_of(due)})
        return said
    assert said.waits or state.status == "queued", "an open run waits for something"
    due = next_due(plan, state)
    untils = {each.until for each in said.waits} | {said.turns_back_at}
    assert due is None or text_of(due) in untils, f"at {text_of(due)} something is decided: {said.waits}"
    assert said.turns_back_at is None or (due is not None and text_of(due) <= said.turns_back_at)
    if state.undo_list is not None:
        assert tuple(each.path for each in said.undo.steps) == state.undo_list
        assert {each.path for each in said.pending} <= set(state.undo_list)
    return said


def would_be_undone(plan: Plan, state: State, payloads: dict[Digest, bytes]) -> tuple[str, ...] | None:
    """What the core undoes if the run is cancelled now; None where it settles something first or does not turn back."""
    if any(effect.phase not in _AT_REST for effect in state.forward.values()):
        return None
    _, after = decide(plan, state, CancelWished(reason="no more"), state.at, payloads.__getitem__)
    return after.undo_list if after.status == "compensating" or after.closed else None


@pytest.mark.parametrize("name", NAMES)
def test_at_every_version_of_a_history_it_says_what_the_core_will_do(name: str) -> None:
    plan = plan_of(msgspec.json.decode(read(name).definition, type=DefinitionForm))
    entries = [decode(data) for data in read(name).entries]
    payloads = {
        digest: payload.inline.encode()
        for entry in entries
        for digest, payload in entry.payloads.items()
        if isinstance(payload, Inline)
    }
    state: State | None = None
    moments: list[Moment] = []
    for entry, data in zip(entries, read(name).entries, strict=True):
        state = fold_entry(state, entry)
        moments.append(Moment(entry=entry, data=data, state=state))
        said = check(plan, state, moments, state.at)
        undone = would_be_undone(plan, state, payloads) if said.undo.phase in {"if_it_turns_back", "none"} else None
        if undone is not None and not state.closed:
            assert tuple(each.path for each in said.undo.steps) == undone


@pytest.mark.parametrize("portion", range(4))
def test_in_every_state_of_simulated_runs_it_says_what_the_core_will_do(portion: int) -> None:
    seen: set[str] = set()
    for seed in range(portion, SIMULATED, 4):
        random = Random(seed)
        simulation = Simulation.of(random_saga(random), random, Faults(crash=2, no_reply=20, raises=8, cancel=2))
        before = simulation.run.on_entry
        assert before is not None

        def on_entry(run: Run, entry: Entry, message: Message) -> None:
            before(run, entry, message)  # noqa: B023  called before the next one is made
            said = check(run.plan, run.get(), (), run.now)
            seen.update(each.kind for each in said.waits)

        simulation.run.on_entry = on_entry
        simulation.to_the_end()
    assert {"reply", "return", "retry", "question", "readback", "person"} <= seen
