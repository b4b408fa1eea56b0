"""What a person is told who wishes something that a run does not take."""

from typing import Any

import pytest
from msgspec.structs import replace

from amends.coordinator.ports.rows import LockRow
from amends.coordinator.reading.judging import Judged, refusal
from amends.coordinator.reading.standing import Standing
from amends.schemas import wishes
from tests.unit.runtime.test_waiting_runs import ordered


def standing(**changed: Any) -> Standing:
    """A run that holds `item:A-12`, with this in its row."""
    (row,) = ordered().store.runs()
    row = replace(row, **changed)
    lock = LockRow(key="item:A-12", saga_id=row.saga_id, shard=0, place=1, since=0, held_since=0)
    return Standing(row=row, state=None, plan=None, locks=(lock,), others={})


def release(of: Standing) -> Judged:
    return wishes.Release(actor="ines", saga_id=of.row.saga_id, key="item:A-12", reason="it is needed")


def rerun(of: Standing) -> Judged:
    return wishes.Rerun(actor="ines", saga_id=of.row.saga_id, reason="again")


QUARANTINED = {"quarantined": True}
STILL_DUE = {"status": "waiting", "cause": None, "ended_at": 1}


@pytest.mark.parametrize(
    ("changed", "wish", "code", "says", "do"),
    [
        pytest.param(
            {"status": "running"}, release, "AM0354", "which is running, not parked", "wait for", id="running"
        ),
        pytest.param(QUARANTINED, release, "AM0354", "would not learn that it lost", "audit verify", id="quarantined"),
        pytest.param(STILL_DUE, rerun, "AM5013", "is completed, but still to be read back", "until", id="still due"),
        pytest.param({"status": "parked"}, rerun, "AM5013", "it is parked, and", "amends parked show", id="parked"),
    ],
)
def test_who_wishes_what_cannot_be_is_told_how_the_run_really_stands(
    changed: dict[str, Any], wish: Any, code: str, says: str, do: str
) -> None:
    here = standing(**changed)
    refused = refusal(here, wish(here))
    assert refused is not None
    assert (refused.code, says in refused.what, do in str(refused.do)) == (code, True, True), refused.line()


def test_a_parked_run_gives_its_lock_up() -> None:
    parked = standing(status="parked")
    assert refusal(parked, release(parked)) is None
