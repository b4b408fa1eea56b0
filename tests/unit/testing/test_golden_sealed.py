"""A sealed run is recorded without anything that is somebody's, and is decided again as it was."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, PositiveInt

from amends import Context, Retry, Saga, StepRefused, Topic, negate
from amends.coordinator.errors import UsageError
from amends.schemas.canonical import sha256_hex
from amends.schemas.entry import decode, unseal
from amends.testing import World, fails, ok, record, replay, unavailable, world

ANN = {
    "request_id": "R-1",
    "customer": "customer-of-4711",
    "name": "Ann Pfefferkorn",
    "age": 41_414_141_414,
    "born": "1985-03-07T04:05:06Z",
    "iban": "DE02120300000000202051",
    "country": "Liechtenstein",
    "cents": 98_765_432_109,
    "score": "17.253456789",
    "tier": "gold-member",
    "vip": True,
    "debts": {"Cousin Bert": 12_345_678_901, "Uncle Carl": 67_890_123_456},
    "parcels": [{"number": "P-1", "wish": "by the oleander"}, {"number": "P-2", "wish": "with Mrs. Dorn"}],
    "wakes_at": "2026-01-01T01:00:00+01:00",
}
CONSTANT = "Liechtenstein"
"""The saga's own: that it was this one is told by the step that was requested."""


class Parcel(BaseModel):
    number: str
    wish: str


class Customer(BaseModel):
    request_id: str
    customer: str
    name: str = Field(pattern="^[A-Z]")
    age: PositiveInt
    born: datetime
    iban: str = Field(min_length=22)
    country: str
    cents: int
    score: Decimal
    tier: Literal["gold-member", "plain-member"]
    vip: bool
    debts: dict[str, int]
    parcels: list[Parcel]
    wakes_at: datetime


class Verdict(BaseModel):
    """What comes of a look."""

    grade: Literal["grave", "harmless"]
    told: str


def credit() -> Saga[Customer]:
    """Its course hangs on texts, numbers and flags of the trigger, and on a result."""
    saga = Saga(
        "credit",
        trigger=Topic("credits", Customer, idempotency_key="request_id"),
        subject="customer",
    )
    asked = saga.trigger

    @saga.read
    def look(ctx: Context, trigger: Customer) -> Verdict:
        ctx.checkpoint("looked", at=trigger.name)
        return Verdict(grade="grave" if trigger.age > 40_000_000_000 else "harmless", told=f"{trigger.name} owes")

    @saga.read(when=(asked.country == "Liechtenstein") & (asked.cents > 50_000_000_000))
    def ask_abroad(trigger: Customer) -> str:
        return f"abroad: {trigger.name}"

    @saga.read(when=negate(asked.vip) | (look.result.grade == "harmless"))
    def wave_through() -> None: ...

    @saga.action(idempotent=True, retry=Retry(attempts=2), after=ask_abroad)
    def pay(trigger: Customer) -> str:
        if trigger.tier == "plain-member":
            raise StepRefused(f"{trigger.name} is no member")
        return f"paid {trigger.iban}"

    @pay.undo(verify="reply")
    def take_back(paid: str | None = pay.maybe) -> None: ...

    @saga.expect
    def is_settled(trigger: Customer, paid: str = pay.result) -> bool:
        return trigger.iban in paid

    return saga


def played(saga: Saga[Customer], replies: Any = None, **trigger: object) -> World:
    installation = world(saga, replies=replies)
    installation.publish({**ANN, **trigger})
    installation.run()
    return installation


def strings(value: object) -> set[str]:
    """Every text and number within, and every name."""
    if isinstance(value, dict):
        return set().union(*(strings(each) for each in value), *(strings(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(strings(each) for each in value))
    return set() if isinstance(value, bool) else {str(value)}


def of_ann(*but: str) -> set[str]:
    """All that is hers, and no name of a field."""
    hers = strings(ANN) - set(Customer.model_fields) - set(Parcel.model_fields)
    return hers - {"R-1", *but}


def recorded(installation: World, folder: Path) -> str:
    (name,) = record(installation, folder)
    return "".join(file.read_text() for file in folder.glob(f"{name}.*"))


STORIES: list[Any] = [
    pytest.param({}, {}, "completed", id="completed"),
    pytest.param({"pay": fails("Ann Pfefferkorn is broke")}, {}, "compensated", id="compensated, for a reason of hers"),
    pytest.param({"pay": [unavailable("Ann Pfefferkorn sleeps"), ok("paid")]}, {}, "completed", id="retried"),
    pytest.param({"pay.undo": fails("no"), "is_settled": fails("Ann")}, {}, "completed", id="flagged"),
    pytest.param({}, {"vip": False}, "completed", id="another flag"),
    pytest.param({}, {"country": "Andorra"}, "completed", id="another country"),
    pytest.param({}, {"cents": 49_999_999_997}, "completed", id="another sum"),
    pytest.param({}, {"age": 39_393_939_393}, "completed", id="another result"),
    pytest.param({}, {"tier": "plain-member"}, "compensated", id="refused by the saga itself"),
]


@pytest.mark.parametrize(("replies", "trigger", "status"), STORIES)
def test_a_sealed_run_is_decided_again_as_it_was_and_nothing_of_its_subject_is_in_the_files(
    replies: Any, trigger: dict[str, object], status: str, tmp_path: Path
) -> None:
    installation = played(credit(), replies, **trigger)
    assert installation.store.runs(limit=2)[0].status == status
    text = recorded(installation, tmp_path)
    hers = of_ann(CONSTANT) | {"Pfefferkorn", *(str(each) for each in trigger.values() if isinstance(each, str | int))}
    assert [each for each in hers - {"True", "False"} if each in text] == []
    assert '"sealed":' not in text
    assert "sealed:" not in text
    (replayed,) = replay(tmp_path, credit())
    assert replayed.ok, replayed
    assert replayed.compared == replayed.entries > 1


def test_a_constant_of_the_definition_stands_where_the_log_says_so_anyway(tmp_path: Path) -> None:
    assert CONSTANT in recorded(played(credit()), tmp_path / "asked")
    assert CONSTANT not in recorded(played(credit(), country="Andorra"), tmp_path / "not asked")


def test_what_is_recorded_is_a_chain_of_its_own(tmp_path: Path) -> None:
    recorded(played(credit()), tmp_path)
    previous = ""
    for line in (tmp_path / "credit-R-1.jsonl").read_bytes().splitlines():
        entry = decode(line)
        assert (entry.previous_hash, entry.hash) == (previous, sha256_hex(unseal(line)))
        previous = entry.hash


class Word(BaseModel):
    said: str
    enough: bool


def test_what_is_recorded_again_is_the_same(tmp_path: Path) -> None:
    installation = played(credit())
    assert recorded(installation, tmp_path / "one") == recorded(installation, tmp_path / "other")


def rounds() -> Saga[Customer]:
    """Its course hangs on items, a lock, an instant, a message, rounds, and fields held against each other."""
    bring = Saga("bring", trigger=Parcel)

    @bring.action(idempotent=True)
    def carry(trigger: Parcel) -> str:
        return f"carried {trigger.wish}"

    @carry.undo(verify="reply")
    def fetch() -> None: ...

    saga = Saga(
        "rounds",
        trigger=Topic("credits", Customer, idempotency_key="request_id"),
        subject="customer",
        locks={"parcel": "request_id"},
        deadline="30d",
    )
    asked = saga.trigger
    carried = saga.for_each("carried", bring, asked.parcels, key="number", returns=carry)
    slept = saga.wait_until("slept", asked.wakes_at, after=carried)
    word = saga.wait("word", Word, correlation=asked.request_id, timeout="2h", after=slept)

    @saga.read(when=(word.result.enough == True) & (asked.iban < asked.country) & (asked.cents > asked.age))  # noqa: E712
    def think(word: Word = word.result) -> str:
        return word.said

    return saga


def test_keys_instants_and_fields_held_against_each_other_lead_where_they_led(tmp_path: Path) -> None:
    installation = played(rounds())
    installation.send("Word", "R-1", Word(said="Ann says yes", enough=True))
    installation.run(within="5h")
    assert installation.store.runs(limit=2)[0].status == "completed"
    text = recorded(installation, tmp_path)
    assert [each for each in of_ann("P-1", "P-2") | {"Ann says"} if each in text] == []
    assert all(key in text for key in ("P-1", "P-2")), "they stand in clear in the log, and are nobody's"
    (replayed,) = replay(tmp_path, rounds())
    assert replayed.ok, replayed
    assert replayed.compared == replayed.entries > 4


def test_where_no_other_values_lead_the_same_way_they_are_left_out(tmp_path: Path) -> None:
    saga = Saga("order", trigger=Topic("credits", Customer, idempotency_key="request_id"), subject="customer")
    asked = saga.trigger
    order = (asked.tier > asked.name) & (asked.name < asked.iban) & (asked.iban < asked.country)
    strange = order & (asked.country < asked.customer) & (asked.customer < asked.tier)

    @saga.read(when=strange)
    def look(trigger: Customer) -> str:
        return trigger.name

    @saga.read
    def tell(trigger: Customer) -> str:
        return trigger.name

    installation = played(saga, name="A", iban="B" * 22, country="C", customer="D", tier="gold-member")
    text = recorded(installation, tmp_path)
    (replayed,) = replay(tmp_path, saga)
    assert replayed.ok, replayed
    assert replayed.compared < replayed.entries
    assert '"external":0' in text
    assert "BBBB" not in text


def test_a_field_that_today_s_handlers_want_is_missed_and_a_rule_about_its_value_is_not(tmp_path: Path) -> None:
    recorded(played(credit()), tmp_path)

    class Stricter(Customer):
        age: int = Field(gt=1_000)
        name: str = Field(pattern="^Q")

    class Wider(Customer):
        phone: str

    class Other(Customer):
        age: str  # type: ignore[assignment]

    def today(model: type[Customer]) -> list[str]:
        saga = Saga(
            "credit", version=2, trigger=Topic("credits", model, idempotency_key="request_id"), subject="customer"
        )

        def look(trigger: Customer) -> None: ...

        look.__annotations__["trigger"] = model
        saga.read(look)
        (replayed,) = replay(tmp_path, saga)
        return [each.what for each in replayed.deviations if each.what.startswith("look:")]

    assert today(Stricter) == []
    assert today(Wider) == ["look: parameter 'trigger' of 'look': phone: Field required"]
    assert today(Other) == ["look: parameter 'trigger' of 'look': age: Input should be a valid string"]


def test_a_run_whose_subject_was_erased_is_not_recorded(tmp_path: Path) -> None:
    installation = played(credit())
    store = installation.store
    name = store.master().name_of(str(ANN["customer"]))
    assert store.erase_subject(name, reason="asked to", by="ops", at=installation.clock.now) is not None
    with pytest.raises(UsageError, match="is sealed, and cannot be opened: its subject was erased") as refused:
        record(installation, tmp_path)
    assert refused.value.code == "AM5111"
    assert list(tmp_path.iterdir()) == []
