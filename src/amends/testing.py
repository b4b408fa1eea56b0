"""Test sagas without a server: the real core and engine on a store in memory, under a clock that jumps.

    from amends.testing import fails, ok, run

    def test_a_refused_mail_undoes_the_charge() -> None:
        ended = run(refund, {"request_id": "R-1", "order_id": "A-1"}, replies={
            "reverse_charge": ok(Reversal(id="rev_1")),
            "notify": fails("mailbox unknown"),
        })
        assert ended.status == "compensated"
        assert [undone.step for undone in ended.undone] == ["reverse_charge"]

A handler without a scripted reply is the user's own function, really called. The story of a run that did not complete
is logged as a warning, which pytest shows beside a test that fails.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from amends.connectors.participant.stand_in import ParticipantStandIn
from amends.connectors.sql.stand_in import SqlStandIn
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.evolve import fold
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.state import State
from amends.coordinator.definition.saga import Saga
from amends.coordinator.reading.history import history, payloads_of, run_history
from amends.coordinator.reading.outcomes import outcome_of
from amends.coordinator.reading.story import story
from amends.coordinator.testing import connector_kit, deciding_again, golden, rehearsing
from amends.coordinator.testing import crash_matrix as crashing
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.crash_matrix import CrashMatrix
from amends.coordinator.testing.deciding_again import Replayed
from amends.coordinator.testing.http_stand_in import Asked, AskedAmiss, HttpStandIn
from amends.coordinator.testing.replies import (
    Reply,
    fails,
    late,
    ok,
    on_the_bus,
    raises,
    times_out,
    unavailable,
    unknown,
)
from amends.coordinator.testing.report import Rehearsal
from amends.coordinator.testing.sandbox import Sandbox, SentMessage, Trigger
from amends.coordinator.testing.smtp_stand_in import SmtpStandIn
from amends.coordinator.testing.stand_in import StandIn
from amends.coordinator.testing.world import World
from amends.schemas.entry import decode
from amends.schemas.ids import SagaId
from amends.schemas.outcome import Outcome

log = logging.getLogger("amends.testing")

__all__ = [
    "Asked",
    "AskedAmiss",
    "CrashMatrix",
    "HttpStandIn",
    "ParticipantStandIn",
    "Rehearsal",
    "Replayed",
    "Reply",
    "Sandbox",
    "SentMessage",
    "SmtpStandIn",
    "SqlStandIn",
    "StandIn",
    "World",
    "connector_kit",
    "crash_matrix",
    "fails",
    "late",
    "ok",
    "on_the_bus",
    "outcome",
    "raises",
    "record",
    "rehearse",
    "replay",
    "run",
    "state",
    "times_out",
    "unavailable",
    "unknown",
    "world",
]


def world(
    *sagas: Saga[Any],
    replies: Mapping[str, Reply | Iterable[Reply]] | None = None,
    stand_ins: Iterable[StandIn] = (),
) -> World:
    """An installation in memory with these sagas; `publish` to it, `run` it, let it `crash`.

    With `stand_ins`, handlers that are not scripted reach these and no other participant; `snapshot` looks at them. It
    is then used `with world(…) as installation`, or closed.
    """
    clock = Clock()
    return World(_store(clock), *sagas, clock=clock, replies=replies, stand_ins=stand_ins)


def run(
    saga: Saga[Any],
    trigger: BaseModel | Mapping[str, object],
    *,
    replies: Mapping[str, Reply | Iterable[Reply]] | None = None,
) -> Outcome:
    """Run one trigger to its end or to where it parks. Raises `AssertionError` if it became no run."""
    installation = world(saga, replies=replies)
    installation.publish(trigger)
    installation.run()
    rows = installation.store.runs(limit=2)
    if not rows:
        letters = installation.store.dead_letters(limit=1)
        raise AssertionError(
            f"the trigger became no run: {letters[0].reason}, {letters[0].detail}"
            if letters
            else "the trigger became no run"
        )
    return outcome(installation, rows[0].saga_id)


def rehearse(sandbox: Sandbox, *triggers: Trigger, scenarios_max: int = rehearsing.SCENARIOS_MAX) -> Rehearsal:
    """Fail, doubt and crash the sandbox's saga at every moment; what was found, with a report as its `str`.

        found = rehearse(sandbox)
        assert found.ok, found

    `triggers` stand in the place of the sandbox's own. Raises `UsageError` where the sandbox cannot be used.
    """
    return rehearsing.rehearse(sandbox, make_store=_store, triggers=triggers or None, scenarios_max=scenarios_max)


def crash_matrix(sandbox: Sandbox, *triggers: Trigger) -> CrashMatrix:
    """Crash the coordinator before and after every effect and every entry: the end and the world must be the same."""
    return crashing.crash_matrix(sandbox, make_store=_store, triggers=triggers or None)


def record(installation: World, folder: Path | str) -> list[str]:
    """Write the runs of a world down as golden histories; their names in the folder.

    Of runs that are sealed, placeholders stand for what is their subject's.
    """
    runs = installation.store.runs(limit=golden.HISTORIES_MAX)
    return [golden.record(installation.store, row, Path(folder)).name for row in runs]


def replay(folder: Path | str, *sagas: Saga[Any]) -> list[Replayed]:
    """Decide recorded runs again with the code of today.

        for replayed in replay("tests/histories", refund):
            assert replayed.ok, replayed

    Raises `UsageError` (AM5110) where the folder cannot be read.
    """
    closed = tuple(saga.close() for saga in sagas)
    return [deciding_again.replay(each, closed) for each in golden.read_all(Path(folder))]


def state(installation: World, saga_id: SagaId) -> State:
    """The fold of a run."""
    return fold(decode(stored.data) for stored in installation.store.entries_of(saga_id))


def outcome(installation: World, saga_id: SagaId) -> Outcome:
    """What a run ended in. Raises `AssertionError` if it has not."""
    moments = run_history(installation.store, saga_id)
    ended = moments[-1].state
    if ended.outcome_version is None:
        raise AssertionError(f"run {saga_id} is {ended.status}; it has neither ended nor parked")
    if ended.status != "completed":
        log.warning("a run did not complete:\n%s%s", _story(installation, ended), _unscripted(installation, saga_id))
    return outcome_of(ended, payloads_of(moments, installation.store))


def _story(installation: World, ended: State) -> str:
    stored = [each.data for each in installation.store.entries_of(ended.saga_id)]
    forms = {saga.hash: saga.form for saga in installation.sagas}
    return story(list(history(stored, of=ended.saga_id)), plan_of(forms[ended.definition_hash]))


def _unscripted(installation: World, saga_id: SagaId) -> str:
    """The handlers that nobody scripted: a failure of one is the user's own, or its connector's."""
    script = installation.script
    called = dict.fromkeys(name for name, of in script.calls if of == saga_id and name not in script.replies)
    return f"  Not in replies, so really called: {', '.join(called)}." if called else ""


def _store(clock: Clock) -> MemoryStore:
    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    return store
