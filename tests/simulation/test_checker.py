"""The checker can be trusted: a core with a bug seeded into it breaks an invariant within a few hundred stories."""

from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from typing import Any, Final

import pytest

from amends.compensations.settling import Doubtful, Move, settle_forward, settle_in_drain
from amends.coordinator.core import (
    answering,
    compensate,
    decide,
    drain,
    expectations,
    pending,
    people,
    recovery,
    replies,
    requesting,
    savepoints,
    settle,
    undo_list,
    verifying,
)
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import Effect, State, Verification
from amends.coordinator.core.turn import Turn
from amends.coordinator.reading import outcomes
from amends.schemas.events import (
    Event,
    ExpectationChecked,
    OutcomeAmended,
    StepFailed,
    UndoFailed,
    VerificationRequested,
)
from amends.schemas.instants import text_of
from amends.schemas.outcome import Outcome
from tests.simulation.checker import InvariantBroken
from tests.simulation.test_simulation import story

STORIES: Final = 1_500


def always(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


def in_requested_order(last_requested: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(last_requested, key=last_requested.__getitem__))


def everything(plan: Plan, _state: State, _savepoint: str) -> frozenset[str]:
    return plan.paths


def guessed_absent(doubt: Doubtful) -> Move:
    move = settle_in_drain(doubt)
    return "absent" if move == "park" else move


def guessed_to_be_safe(doubt: Doubtful) -> Move:
    move = settle_forward(doubt)
    return "resend" if move == "park" and not doubt.running else move


def undone_anyway(doubt: Doubtful) -> Move:
    return "wait" if doubt.running else "undo"


def requested(effect: Effect) -> bool:
    return effect.phase == "requested"


def that_holds(checked: type[ExpectationChecked] | type[OutcomeAmended]) -> Callable[..., Event]:
    return lambda **fields: checked(**{**fields, "held": True})


def that_replaces_nothing(**fields: Any) -> Outcome:
    return Outcome(**{**fields, "supersedes": None})


def asked_at_once(turn: Turn) -> None:
    for each in verifying.open_verifications(turn.state):
        if each.number == 0:
            place: dict[str, Any] = {"path": each.path, "direction": each.direction}
            turn.emit(VerificationRequested(**place, number=1, due_at=text_of(turn.now)))


def all_verifications(state: State) -> tuple[Verification, ...]:
    return state.verifications or () if state.closed else ()


def failed_instead(*, direction: str, **fields: Any) -> Event:
    del fields["attempt_running"]
    failed = StepFailed if direction == "forward" else UndoFailed
    return failed(kind=fields.pop("reason"), retriable=True, **fields)


_NUMBERS = count()

BUGS: Final[Mapping[str, tuple[object, str, object, str]]] = {
    "undone in the order they were done": (undo_list, "undo_order", in_requested_order, "S6 S7"),
    "compensation begins before doubt is settled": (drain, "_quiet", always(value=True), "S6|S21"),
    "undone as a whole where only a part was wished": (savepoints, "behind_savepoint", everything, "S6 S7"),
    "undos side by side": (compensate, "OVER", frozenset({"done", "skipped", "requested", "verifying"}), "S7|S6"),
    "an undo sent again under another key": (
        requesting,
        "effect_key_of",
        lambda **_: f"key-{next(_NUMBERS)}",
        "S4|S5|S12",
    ),
    "keys taken to be remembered for ever": (settle, "key_open", always(value=True), "S4"),
    "an absence believed at once": (settle, "_believable_from", always(0), "S4|S5|S12"),
    "the pivot ignored": (drain, "pivot_passed", always(value=False), "S10"),
    "limits ignored": (settle, "whole_limit", always(None), "rule 18"),
    "a failed undo passed over": (compensate, "OVER", frozenset({"done", "skipped", "failed"}), "S6|S7"),
    "a doubt taken for an absence": (settle, "settle_in_drain", guessed_absent, "S5|S12"),
    "a doubt sent again though nobody knows the key": (settle, "settle_forward", guessed_to_be_safe, "S4"),
    "a doubt undone without tombstones": (settle, "settle_in_drain", undone_anyway, "S5|S10|S12"),
    "an attempt taken to have ended at its timeout": (Effect, "attempt_open", property(requested), "S8|S21|S23"),
    "what a crash cut off runs again": (recovery, "_lost", always(None), "S3"),
    "a failure that says nothing taken for a verdict": (replies, "_is_definite", always(value=True), "S4|S5|S12"),
    "forward from a savepoint without what was undone": (savepoints, "go_forward_again", always(None), "S12|S6 S7"),
    "turned back though only its proof is looked for": (people, "everything_done", always(value=False), "S8"),
    "expectations that always hold": (expectations, "ExpectationChecked", that_holds(ExpectationChecked), "S11"),
    "a run that is proven by nothing": (outcomes, "proof_of", always("proven"), "S11"),
    "an outcome that replaces nothing": (outcomes, "Outcome", that_replaces_nothing, "S13"),
    "nothing read back later": (compensate, "plan_verifications", always(None), "rule 9"),
    "read back later as soon as it has ended": (decide, "ask_due", asked_at_once, "rule 9"),
    "read back again though it is known": (verifying, "open_verifications", all_verifications, "S4|S11"),
    "a late read-back that always holds": (verifying, "OutcomeAmended", that_holds(OutcomeAmended), "S12"),
    "an answer taken twice": (answering, "takes_answer", always(value=True), "rule 2"),
    "an answer to a request taken for the next one's": (replies, "refused_key", always(None), "rule 3"),
    "an answer taken though the undo list is frozen": (answering, "_too_late", always(value=False), "S8|S11"),
    "what nobody answers taken for a failure": (pending, "StepInDoubt", failed_instead, "S4|S5|S12"),
    "what is pending awaited for ever": (pending, "pending_until", always(None), "L1"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_breaks_its_invariant(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, instead, rules = BUGS[bug]
    monkeypatch.setattr(module, name, instead)
    with pytest.raises(InvariantBroken, match=rf"^({rules}):"):
        _play()


def _play() -> None:
    for seed in range(STORIES):
        story(Random(seed)).to_the_end()
