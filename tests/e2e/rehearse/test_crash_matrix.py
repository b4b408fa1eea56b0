"""A saga crashed at every entry and around every effect comes to one final world; one that does not is told."""

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Pending, Saga, Topic
from amends.testing import ParticipantStandIn, Sandbox, SentMessage, SqlStandIn, crash_matrix, rehearse
from tests.e2e.rehearse.test_samples import sample

EVERYTHING = Path(__file__).parents[3] / "examples/90_everything"
FESTIVAL = {
    "request_id": "F-1",
    "festival": "May",
    "mayor": "Ann",
    "square": "meadow",
    "guests": 300,
    "stalls": [{"number": 1, "name": "soup", "meters": 3}, {"number": 2, "name": "cake", "meters": 2}],
    "opens_at": "2026-01-01T00:10:00Z",
}


class Order(BaseModel):
    id: str


def counting(*, careful: bool) -> Sandbox:
    """A participant of the user's own: a plain counter, which knows its requests by their keys, or does not."""
    seen: dict[str, int] = {}
    saga = Saga("counting", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True)
    def count(ctx: Context, trigger: Order) -> None:
        key = ctx.idempotency_key if careful else str(len(seen))
        seen[key] = 1

    @count.undo(verify="reply", idempotent=True)
    def uncount(ctx: Context) -> None:
        assert ctx.undoing is not None
        with suppress(KeyError):
            del seen[ctx.undoing.idempotency_key if careful else str(len(seen) - 1)]

    def snapshot() -> dict[str, Any]:
        return {"count": len(seen)}

    return Sandbox(saga, triggers=[Order(id="1")], begin=seen.clear, snapshot=snapshot)


def burying(*, buries: bool) -> Sandbox:
    """A participant that promises to refuse what comes after its undo, and keeps that, or does not."""
    seen: dict[str, bool] = {}
    saga = Saga("burying", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True, tombstones=True)
    def put(ctx: Context, trigger: Order) -> None:
        seen.setdefault(ctx.idempotency_key, True)

    @put.undo(verify="reply", idempotent=True)
    def take(ctx: Context) -> None:
        assert ctx.undoing is not None
        if buries or ctx.undoing.idempotency_key in seen:
            seen[ctx.undoing.idempotency_key] = False

    return Sandbox(
        saga, triggers=[Order(id="1")], begin=seen.clear, snapshot=lambda: {"there": sorted(k for k in seen if seen[k])}
    )


def test_a_request_that_acts_after_its_undo_is_found_where_the_promised_tombstone_is_not_kept() -> None:
    assert rehearse(burying(buries=True)).ok
    (finding,) = rehearse(burying(buries=False)).errors
    assert (finding.kind, finding.handler) == ("not_restored", "put.undo")
    assert finding.when == "every request of put is lost, and the first one acts as late as its participant allows"


def pending(*, answered: bool) -> Sandbox:
    """An action that a message answers for."""
    seen: dict[str, bool] = {}
    saga = Saga("pending", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True, tombstones=True, pending_within="20m")
    def put(ctx: Context, trigger: Order) -> Order | Pending:
        seen.setdefault(ctx.idempotency_key, True)
        return Pending(correlation=ctx.idempotency_key)

    @put.undo(verify="reply", idempotent=True)
    def take(ctx: Context) -> None:
        assert ctx.undoing is not None
        seen[ctx.undoing.idempotency_key] = False

    return Sandbox(
        saga,
        triggers=[Order(id="1")],
        begin=seen.clear,
        snapshot=lambda: {"there": sorted(key for key in seen if seen[key])},
        answer=lambda _type, _key: {"id": "P-1"} if answered else None,
    )


def test_an_action_that_is_pending_is_answered_by_the_sandbox() -> None:
    found = rehearse(pending(answered=True))
    assert found.findings == (), found
    assert found.undone["put"] > 20
    silent = rehearse(pending(answered=False))
    assert [(finding.kind, finding.when) for finding in silent.errors] == [("parks", "nothing fails")]


@pytest.mark.parametrize("name", ["wrong_order_mended", "follow_up_mended", "verify_mended", "participant_mended"])
def test_a_sound_saga_has_one_final_world(name: str) -> None:
    found = crash_matrix(sample(name).sandbox)
    assert found.ok, found
    assert found.crashes > 6
    assert str(found) == f"✔ order: {found.crashes} crashes, one final world"


def test_an_effect_that_a_crash_repeats_is_told_with_the_crash_and_both_values() -> None:
    found = crash_matrix(counting(careful=False))
    assert not found.ok
    assert "    when the coordinator dies after count acted: count was 1, is 2" in str(found).splitlines()


def test_a_participant_of_the_user_s_own_is_rehearsed_by_begin_and_snapshot() -> None:
    assert crash_matrix(counting(careful=True)).ok
    assert rehearse(counting(careful=True)).ok
    careless = rehearse(counting(careful=False))
    assert {finding.kind for finding in careless.errors} == {"not_the_same", "not_restored"}


SAYS = {"Approval": {"officer": "Bo"}, "amends.answer": {"number": 12}}


@pytest.mark.timeout(300)
def test_the_saga_that_uses_everything_is_undone_from_wherever_it_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(EVERYTHING))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rain").touch()
    festival, band = import_module("festival"), import_module("band")
    found = rehearse(
        Sandbox(
            festival.festival,
            triggers=[FESTIVAL],
            stand_ins=[
                SqlStandIn(festival.hall, script="CREATE TABLE books (what TEXT)"),
                ParticipantStandIn(festival.band, band.band, script=band.TABLES, without=("diary",)),
            ],
            messages=[SentMessage("Greeting", "F-1", {"words": "Be glad."})],
            answer=lambda kind, _key: SAYS.get(kind),
        )
    )
    assert found.ok, found
    assert found.scenarios > 250
    assert {"insurance/insure", "benches/cart", "rent_tent", "hire_band", "stalls/pitch", "invite"} <= set(found.undone)
