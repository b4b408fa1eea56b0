"""Runs recorded as files are decided again by today's code, and what goes another way is told by version and event."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from amends import Context, Retry, Saga, Topic
from amends.coordinator.errors import UsageError
from amends.coordinator.testing import deciding_again
from amends.coordinator.testing.golden import read_all
from amends.coordinator.testing.golden_run import Golden
from amends.testing import Replayed, World, fails, ok, record, replay, unavailable, unknown, world

RETRY = Retry(attempts=3, wait="2s")


class Order(BaseModel):
    id: str
    gift: bool = False


class Charge(BaseModel):
    id: str


class DearCharge(BaseModel):
    id: str
    currency: str


def shop(*, version: int = 1, retry: Retry = RETRY, ship: bool = True) -> Saga[Order]:
    saga = Saga("shop", version=version, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True, retry=retry)
    def charge(ctx: Context, trigger: Order) -> Charge:
        ctx.checkpoint("charged", amount=3)
        return Charge(id="ch_1")

    @charge.lookup
    def find(ctx: Context) -> Charge | None:
        return None

    @charge.undo(verify="reply")
    def refund(ctx: Context, charged: Charge | None = charge.maybe) -> None: ...

    if ship:

        @saga.action(idempotent=True, when=saga.trigger.gift == False)  # noqa: E712  an expression
        def ship_it(ctx: Context, charged: Charge = charge.result) -> None: ...

        @ship_it.undo(verify="reply")
        def unship(ctx: Context) -> None: ...

    return saga


def dear_shop() -> Saga[Order]:
    """Its charge has a field that those recorded have not."""
    saga = Saga("shop", version=2, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True)
    def charge(ctx: Context, trigger: Order) -> DearCharge:
        return DearCharge(id="ch_1", currency="EUR")

    @charge.undo(verify="reply")
    def refund(ctx: Context) -> None: ...

    @saga.action(idempotent=True)
    def ship_it(ctx: Context, charged: DearCharge = charge.result) -> None: ...

    @ship_it.undo(verify="reply")
    def unship(ctx: Context) -> None: ...

    return saga


def played(saga: Saga[Order], replies: Any = None, **trigger: object) -> World:
    installation = world(saga, replies=replies)
    installation.publish({"id": "R-1", **trigger})
    installation.run()
    return installation


def what(replayed: list[Replayed]) -> list[str]:
    return [str(deviation) for each in replayed for deviation in each.deviations]


STORIES: list[Any] = [
    pytest.param({}, {}, id="completed"),
    pytest.param({"ship_it": fails("no truck")}, {}, id="compensated"),
    pytest.param({"charge": [unavailable("later", retry_after=5), ok(Charge(id="c"))]}, {}, id="retried as wished"),
    pytest.param({"charge": [unknown("lost"), ok(Charge(id="c"))]}, {}, id="in doubt"),
    pytest.param({}, {"gift": True}, id="a step is skipped"),
    pytest.param({"ship_it": fails("no"), "charge.undo": fails("never")}, {}, id="parked"),
]


@pytest.mark.parametrize(("replies", "trigger"), STORIES)
def test_a_run_recorded_today_is_decided_the_same_today(
    replies: Any, trigger: dict[str, object], tmp_path: Path
) -> None:
    assert record(played(shop(), replies, **trigger), tmp_path) == ["shop-R-1"]
    (replayed,) = replay(tmp_path, shop())
    assert replayed.ok, replayed
    assert replayed.compared == replayed.entries > 1


def test_a_run_that_a_crash_cut_off_is_decided_the_same(tmp_path: Path) -> None:
    installation = world(shop(), replies={"charge": [unavailable("later"), ok(Charge(id="c"))]})
    installation.publish({"id": "R-1"})
    installation.run(until=installation.clock.now + 1_000_000)
    installation.crash()
    installation.run()
    record(installation, tmp_path)
    (replayed,) = replay(tmp_path, shop())
    assert replayed.ok, replayed


def test_values_that_are_not_within_the_entries_are_recorded_too(tmp_path: Path) -> None:
    record(played(shop(), {"charge": ok(Charge(id="x" * 600_000))}), tmp_path)
    assert (tmp_path / "shop-R-1.values.json").exists()
    (replayed,) = replay(tmp_path, shop())
    assert replayed.compared == replayed.entries


@pytest.mark.parametrize(
    ("today", "said"),
    [
        pytest.param(
            dear_shop(),
            "version 2: ship_it: parameter 'charged' of 'ship_it': currency: Field required",
            id="a handler wants more than was stored",
        ),
        pytest.param(
            shop(ship=False, version=2),
            "version 2: 'ship_it' is wanted, and the APP has no such handler",
            id="a handler is gone",
        ),
        pytest.param(
            shop(retry=Retry(attempts=9)),
            "the run: 'shop' v1 is another graph than the one recorded (charge retry.attempts, "
            "charge retry.wait_ms); raise its version",
            id="the graph changed under its version",
        ),
    ],
)
def test_what_today_s_code_makes_otherwise_is_told(today: Saga[Order], said: str, tmp_path: Path) -> None:
    record(played(shop()), tmp_path)
    assert said in what(replay(tmp_path, today))


def test_a_saga_that_is_gone_is_told(tmp_path: Path) -> None:
    record(played(shop()), tmp_path)
    other = Saga("other", trigger=Topic("orders", Order, idempotency_key="id"))

    @other.read
    def look(trigger: Order) -> None: ...

    assert what(replay(tmp_path, other)) == ["the run: the APP has no saga 'shop'"]


def test_a_decision_that_is_another_today_is_told_by_version_event_and_field(tmp_path: Path) -> None:
    record(played(shop(), {"charge": [unavailable("later"), ok(Charge(id="c"))]}), tmp_path)
    (golden,) = read_all(tmp_path)
    step, *others = golden.form.steps
    impatient = replace(golden.form, steps=(replace(step, retry=replace(step.retry, attempts=1)), *others))
    deviating = Golden(name=golden.name, entries=golden.entries, form=impatient, values=golden.values)
    found = deciding_again.replay(deviating, (shop().close(),))
    assert "version 2, event 1: GenerationRaised of charge was recorded, DrainStarted is decided" in what([found])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda folder: (folder / "shop-R-1.jsonl").write_text("{}\n"), "cannot be read", id="no entry"),
        pytest.param(lambda folder: (folder / "shop-R-1.jsonl").write_text(""), "cannot be read", id="an empty file"),
        pytest.param(lambda folder: (folder / "shop-R-1.jsonl").unlink(), "there is no recorded run", id="no file"),
        pytest.param(
            lambda folder: [each.unlink() for each in (folder / "definitions").iterdir()],
            "FileNotFoundError",
            id="no definition",
        ),
        pytest.param(
            lambda folder: [each.write_text("{}") for each in (folder / "definitions").iterdir()],
            "cannot be read",
            id="another definition",
        ),
        pytest.param(lambda folder: (folder / "shop-R-1.values.json").write_text("[]"), "cannot be read", id="values"),
    ],
)
def test_what_was_recorded_and_spoiled_is_refused(spoil: Any, said: str, tmp_path: Path) -> None:
    record(played(shop()), tmp_path)
    spoil(tmp_path)
    with pytest.raises(UsageError, match=said) as refused:
        replay(tmp_path, shop())
    assert refused.value.code == "AM5110"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written") as refused:
        record(played(shop()), tmp_path / "file")
    assert refused.value.code == "AM5113"
