"""Histories recorded once are folded for ever: the same state, byte for byte, and today's core goes on from anywhere.

Record with `make histories`; see `recording.py`.
"""

import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
import pytest

from amends.coordinator.core.commands import commands, missing_handler, next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.evolve import fold, fold_entry, sealed
from amends.coordinator.core.messages import CancelWished, KillWished, Recovered, Tick
from amends.coordinator.core.people import resolutions
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.state import State
from amends.coordinator.core.verifying import open_verifications
from amends.coordinator.definition.form import DefinitionForm, graph_hash
from amends.schemas.canonical import encode
from amends.schemas.entry import Draft, Entry, External, Inline, decode, seal, unseal
from amends.schemas.events import EVENT_TYPES, Digest
from amends.schemas.instants import SECOND, instant_of
from tests.replay.causes import message_of
from tests.replay.recording import read, recorded
from tests.replay.stories import STORIES, history_of

NAMES: Final = recorded()
PROJECT: Final = Path(__file__).parents[2]
UNRECORDED: Final = frozenset({"CheckpointRecorded", "EvidenceRecorded", "PermissionDenied"})
"""Made by connectors and handlers, which a recorded story has none of; `tests/unit/core/test_fold.py` folds them."""


@cache
def entries_of(name: str) -> tuple[Entry, ...]:
    return tuple(decode(data) for data in read(name).entries)


def form_of(name: str) -> DefinitionForm:
    return msgspec.json.decode(read(name).definition, type=DefinitionForm)


def plan_for(name: str) -> Plan:
    return plan_of(form_of(name))


def payload_of(entries: tuple[Entry, ...], digest: Digest) -> bytes:
    """An inline payload; conditions of these stories read nothing else."""
    payload = next(entry.payloads[digest] for entry in entries if digest in entry.payloads)
    assert isinstance(payload, Inline)
    return payload.inline.encode()


def test_every_story_is_recorded() -> None:
    assert set(STORIES) <= set(NAMES)


def test_every_event_and_every_ending_is_in_some_history() -> None:
    entries = [entry for name in NAMES for entry in entries_of(name)]
    seen = {type(event).__name__ for entry in entries for event in entry.events}
    assert set(EVENT_TYPES) - seen == UNRECORDED
    assert {fold(entries_of(name)).status for name in NAMES} == {"completed", "compensated", "parked", "killed"}
    assert any(isinstance(payload, External) for entry in entries for payload in entry.payloads.values())


@pytest.mark.parametrize("name", NAMES)
def test_it_folds_to_the_recorded_state_byte_for_byte(name: str) -> None:
    assert encode(fold(entries_of(name))) == read(name).state


@pytest.mark.parametrize("seed", ["0", "1234"])
def test_the_state_does_not_depend_on_the_order_of_hashes(seed: str) -> None:
    program = (
        "from tests.replay.test_histories import *\n"
        "assert all(encode(fold(entries_of(name))) == read(name).state for name in NAMES)"
    )
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=PROJECT, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_its_chain_holds_and_its_bytes_are_canonical(name: str) -> None:
    previous = ""
    for version, data in enumerate(read(name).entries, start=1):
        entry = decode(data)
        assert (entry.version, entry.previous_hash) == (version, previous)
        assert sha256(unseal(data)).hexdigest() == entry.hash
        draft = Draft(**{field: getattr(entry, field) for field in Draft.__struct_fields__})
        assert seal(draft) == (data, entry.hash)
        previous = entry.hash


@pytest.mark.parametrize("name", NAMES)
def test_its_definition_has_the_hash_it_is_pinned_to(name: str) -> None:
    assert {entry.definition_hash for entry in entries_of(name)} == {graph_hash(form_of(name))}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_messages_are_decided_the_same(name: str) -> None:
    entries, plan = entries_of(name), plan_for(name)
    state: State | None = None
    for entry in entries:
        at = instant_of(entry.at)
        events, decided = decide(
            plan, state, message_of(plan, state, entry), at, lambda digest: payload_of(entries, digest)
        )
        assert events == entry.events, f"version {entry.version}"
        state = fold_entry(state, entry)
        assert encode(sealed(decided, version=entry.version, at=at, entry_hash=entry.hash)) == encode(state)


@pytest.mark.parametrize("name", NAMES)
def test_todays_core_goes_on_from_anywhere_in_it(name: str) -> None:
    entries, plan = entries_of(name), plan_for(name)
    lacking = plan_of(plan.form, missing=frozenset({"charge", "reserve.undo"}))
    state: State | None = None
    for entry in entries:
        state = fold_entry(state, entry)
        for message in (
            Tick(),
            Recovered(clean=True),
            Recovered(clean=False),
            CancelWished(reason="old"),
            KillWished(reason="old"),
        ):
            for here in (plan, lacking):
                _, after = decide(
                    here, state, message, state.at + 60 * SECOND, lambda digest: payload_of(entries, digest)
                )
                commands(here, after, after.at)
                next_due(here, after)
                missing_handler(here, after, after.at)
                resolutions(here, after)
                assert not state.closed or after is state or open_verifications(state)


def test_a_story_played_today_is_decided_as_it_was_recorded() -> None:
    for name in ("completed", "parked-and-retried", "long"):
        played = [decode(data).events for data in history_of(STORIES[name]()).entries]
        assert played == [entry.events for entry in entries_of(name)], name
