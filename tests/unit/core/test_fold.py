"""The fold: total over all events, whole entries, the same bytes wherever and however it is computed (rule S15)."""

import pytest

from amends.coordinator.core.evolve import _FOLDS, fold, fold_entry
from amends.coordinator.core.messages import Note
from amends.coordinator.core.state import State
from amends.schemas.canonical import encode
from amends.schemas.events import EVENT_TYPES, EvidenceRecorded, PermissionDenied
from amends.schemas.instants import instant_of
from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run

EVIDENCE = EvidenceRecorded(
    path="a",
    direction="forward",
    role="step",
    attempt=1,
    tool="Http",
    action="POST",
    resource="/reversals",
    permission="allowed",
    status="201",
    external_id="rev_77",
    at="2026-11-21T14:00:00.000000Z",
    arguments=None,
    result=None,
)
DENIED = PermissionDenied(
    path="a", direction="forward", role="verify", attempt=1, tool="Http", action="POST", resource="/x", why="read-only"
)


def played() -> Run:
    """A run with a retry, a doubt, a failure, and its compensation."""
    run = Run.of(saga(action("a", key=True), action("b"), read("bad")))
    run.unknown("a")
    run.tick()
    run.ok("a")
    run.unavailable("b")
    run.tick()
    run.ok("b")
    run.refused("bad")
    for step in "ba":
        run.ok(f"undo of {step}")
        run.finds(f"undo of {step}")
    assert run.status == "compensated"
    return run


def test_every_event_type_is_folded() -> None:
    assert set(_FOLDS) == set(EVENT_TYPES.values())


def test_folding_the_entries_anew_gives_the_same_bytes() -> None:
    run = played()
    assert encode(fold(run.entries)) == encode(run.get())


def test_a_fold_may_go_on_where_another_one_stopped() -> None:
    run = played()
    for cut in range(1, len(run.entries)):
        assert encode(fold(run.entries[cut:], fold(run.entries[:cut]))) == encode(run.get())


def test_a_run_without_entries_is_none() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        fold([])
    state = played().get()
    assert fold([], state) is state


def test_a_history_with_a_hole_is_not_folded() -> None:
    run = played()
    for left_out in range(len(run.entries) - 1):
        with pytest.raises(ValueError, match=f"version {left_out + 2} comes after version {left_out}"):
            fold([*run.entries[:left_out], *run.entries[left_out + 1 :]])


def test_the_state_stands_where_its_last_entry_stands() -> None:
    run = played()
    state: State | None = None
    for entry in run.entries:
        state = fold_entry(state, entry)
        assert (state.version, state.at, state.hash) == (entry.version, instant_of(entry.at), entry.hash)


def test_folding_changes_no_earlier_state() -> None:
    run = played()
    states: list[State] = []
    for entry in run.entries:
        states.append(fold_entry(states[-1] if states else None, entry))
    texts = [encode(state) for state in states]
    fold(run.entries)
    assert [encode(state) for state in states] == texts


def test_the_state_names_its_definition_and_its_run() -> None:
    run = played()
    state = run.get()
    assert (state.namespace, state.saga, state.definition_version) == ("default", "order", 1)
    assert state.definition_hash == run.plan.hash
    assert (state.saga_id, state.status, state.ended_at) == (run.entries[0].saga_id, "compensated", run.now)


@pytest.mark.parametrize("notes", [(EVIDENCE,), (DENIED, EVIDENCE)], ids=["evidence", "a denial, then evidence"])
def test_evidence_is_found_by_version_and_place(notes: tuple[Note, ...]) -> None:
    run = Run.of(saga(action("a")))
    run.ok("a", notes=notes)
    assert run.get().evidence == (f"2.{len(notes) - 1}",)


def test_the_evidence_of_a_read_back_is_recorded_before_its_answer() -> None:
    run = Run.of(saga(action("a", verify=True)))
    run.ok("a")
    assert run.finds("a", notes=(EVIDENCE,)) == ["evidence of a", "a verified by readback", "completed"]
    assert run.get().evidence == ("3.0",)


def test_attempts_of_all_steps_and_undos_are_counted_and_requests_of_steps_ordered() -> None:
    state = played().get()
    assert (state.attempts, state.requests) == (7, 5)
    assert {path: effect.order for path, effect in state.forward.items()} == {"a": 2, "b": 4, "bad": 5}


def test_an_effect_stands_since_its_first_request_and_is_gone_with_a_definite_failure() -> None:
    run = Run.of(saga(action("a", key=True)))
    first = run.now
    run.now += 1_000
    run.unknown("a")
    run.tick()
    assert run.effect("a").since == first
    run.refused("a")
    assert run.effect("a").since is None
