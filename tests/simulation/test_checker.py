"""The checker can be trusted: a core with a bug seeded into it breaks an invariant within a few hundred stories."""

from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from typing import Any, Final

import pytest

from amends.compensations.settling import Doubtful, Move, settle_forward, settle_in_drain
from amends.coordinator.core import compensate, drain, recovery, replies, requesting, savepoints, settle, undo_list
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import Effect, State
from tests.simulation.checker import InvariantBroken
from tests.simulation.test_simulation import story

STORIES: Final = 600


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
