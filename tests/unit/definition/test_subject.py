"""Whose data a run holds: what `subject=` and `seal_result=` may say."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from amends import Saga, Topic
from amends.coordinator.definition.findings import DefinitionError


class Person(BaseModel):
    number: int
    email: str
    tags: list[str] = []


class Order(BaseModel):
    request_id: str
    order_id: str
    person: Person


def saga(business_key: str = "order_id", **options: Any) -> Saga[Order]:
    made = Saga(
        "order", trigger=Topic("orders", Order, idempotency_key="request_id", business_key=business_key), **options
    )

    @made.read
    def look(trigger: Order) -> int:
        return trigger.person.number

    return made


def codes(made: Saga[Any]) -> list[str]:
    return [each.code for each in made.check()]


@pytest.mark.parametrize("subject", ["person.number", "person.email", "order_id"])
def test_a_subject_is_named_by_text_or_an_integer(subject: str) -> None:
    form = saga(subject=subject, business_key="request_id" if subject == "order_id" else "order_id").close().form
    assert form.subject == subject


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        pytest.param(lambda: saga(subject="person.mail"), "AM1081", "no field 'mail'", id="no such field"),
        pytest.param(lambda: saga(subject="person.tags"), "AM1082", "holds a list", id="a list"),
        pytest.param(lambda: saga(seal_result=True), "AM1084", "names no subject", id="nothing to seal under"),
    ],
)
def test_what_cannot_be_a_subject_is_refused(made: Callable[[], Saga[Any]], code: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as refused:
        made().close()
    assert [each.code for each in refused.value.findings if each.severity == "error"] == [code]


def test_a_key_that_names_the_subject_is_warned_of_because_keys_stand_in_clear() -> None:
    assert codes(saga(subject="order_id")) == ["AM1083"]
    assert codes(saga(subject="person.email")) == []


def test_a_saga_without_a_subject_has_the_hash_it_always_had() -> None:
    assert saga().close().hash == saga(subject=None, seal_result=False).close().hash
    assert saga().close().hash != saga(subject="person.email").close().hash
    assert saga(subject="person.email").close().hash != saga(subject="person.email", seal_result=True).close().hash


def test_a_saga_that_calls_a_sealed_one_names_a_subject_itself() -> None:
    callee = Saga("inner", trigger=Order, subject="person.email")

    @callee.read
    def look(trigger: Order) -> int:
        return trigger.person.number

    def outer(**options: Any) -> Saga[Order]:
        caller = saga(**options)
        caller.call("inner", callee, trigger=caller.trigger)
        return caller

    assert "AM1084" in codes(outer())
    assert codes(outer(subject="person.email")) == []


class Guest(BaseModel):
    number: int
    ticket: UUID
    email: str
    nickname: str | None = None


class Party(BaseModel):
    request_id: str
    order_id: str
    host: str
    guests: list[Guest]
    names: list[str]


def party(key: str, *, subject: str | None = "host", names: bool = False, within: bool = False) -> Saga[Any]:
    one: Saga[Any] = Saga("one", trigger=str if names else Guest)

    @one.read
    def greet() -> int:
        return 1

    made = Saga(
        "party",
        trigger=Topic("parties", Party, idempotency_key="request_id", business_key="order_id"),
        subject=None if within else subject,
    )
    made.for_each("guests", one, made.trigger.names if names else made.trigger.guests, key=key)
    if not within:
        return made
    outer = Saga(
        "outer", trigger=Topic("p", Party, idempotency_key="request_id", business_key="order_id"), subject=subject
    )
    outer.call("inner", made, trigger=outer.trigger)
    return outer


@pytest.mark.parametrize(
    ("made", "said"),
    [
        pytest.param(lambda: party("email"), "for_each 'guests' tells items apart by 'email'", id="text"),
        pytest.param(lambda: party("nickname"), "by 'nickname'", id="text that may be missing"),
        pytest.param(lambda: party("", names=True), "by the item itself", id="items that are text"),
        pytest.param(lambda: party("email", within=True), "for_each 'inner/guests'", id="in what it calls"),
        pytest.param(lambda: party("number"), None, id="a number"),
        pytest.param(lambda: party("ticket"), None, id="a UUID"),
        pytest.param(lambda: party("email", subject=None), None, id="no subject"),
    ],
)
def test_items_that_are_told_apart_by_text_are_warned_of_where_runs_are_sealed(
    made: Callable[[], Saga[Any]], said: str | None
) -> None:
    found = [each.message for each in made().check() if each.code == "AM1088"]
    assert len(found) == (0 if said is None else 1)
    assert said is None or said in found[0]
    assert all(each.severity == "warning" for each in made().check())
