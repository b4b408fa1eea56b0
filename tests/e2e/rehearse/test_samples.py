"""Six sample sagas with a deliberately broken undo, each found for what it is; and mended, each passes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from amends.testing import Rehearsal, rehearse

SAGAS = Path(__file__).parent / "sagas"

BROKEN = [
    pytest.param("wrong_order", "not_restored", "reserve.undo", "mind the order", id="wrong order of effects"),
    pytest.param("forgotten_field", "not_restored", "reserve.undo", "not as it was", id="an undo forgets one field"),
    pytest.param(
        "never_ran", "parks", "reserve.undo", "never took effect", id="an undo fails where its step never ran"
    ),
    pytest.param("verify", "verify_blind", "reserve.undo.verify", "never ran", id="a verify always says yes"),
    pytest.param("participant", "not_restored", "book.undo", "not as it was", id="a participant's undo forgets"),
    pytest.param("follow_up", "no_amends", "notify", "nothing makes amends", id="a follow-up is missing"),
]


def sample(name: str) -> ModuleType:
    """One of the samples, imported anew."""
    spec = importlib.util.spec_from_file_location(f"sample_{name}", SAGAS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rehearsed(name: str) -> Rehearsal:
    return rehearse(sample(name).sandbox)


@pytest.mark.parametrize(("name", "kind", "handler", "said"), BROKEN)
def test_a_broken_undo_is_found_for_what_it_is(name: str, kind: str, handler: str, said: str) -> None:
    found = rehearsed(f"{name}_broken")
    assert [(each.kind, each.handler) for each in found.errors] == [(kind, handler)]
    (finding,) = found.errors
    assert said in finding.message
    file, line = found.place(handler).rsplit(":", 1)
    function = (SAGAS / Path(file).name).read_text().splitlines()[int(line) - 1]
    assert function.startswith("async def "), "the place is where the handler is written"


@pytest.mark.parametrize("name", [each.values[0] for each in BROKEN])
def test_a_mended_undo_passes(name: str) -> None:
    found = rehearsed(f"{name}_mended")
    assert found.findings == (), found
    assert found.ok


def test_what_differs_is_told_by_place_with_both_values() -> None:
    (finding,) = rehearsed("forgotten_field_broken").errors
    assert [str(each) for each in finding.differences] == ["stock.stock.tea.reserved was 0, is 2"]


def test_a_mended_saga_is_rehearsed_at_every_moment_of_both_ways() -> None:
    found = rehearsed("forgotten_field_mended")
    assert found.scenarios > 60
    assert found.undone["reserve"] > 40
    assert found.undone["charge"] > 30


def test_participants_over_http_and_mail_are_stood_in_for_by_servers() -> None:
    found = rehearsed("http_and_mail")
    assert found.findings == (), found
    assert {"charge", "notify", "ship"} <= set(found.undone)


def test_what_a_participant_forgets_is_seen_in_its_own_database() -> None:
    (finding,) = rehearsed("participant_broken").errors
    assert [str(each) for each in finding.differences] == ["shipping.trucks.T-1.loaded was 5, is 7"]
    (carried,) = finding.carried
    whose, file, line = carried.rsplit(":", 2)
    assert whose == "shipping, on 'cancel'"
    written = (SAGAS / Path(file.strip()).name).read_text().splitlines()
    assert written[int(line) - 1].startswith("def free_slot")
    assert f"    carried out by {carried}" in str(rehearsed("participant_broken")).splitlines()
