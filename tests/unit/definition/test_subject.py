"""Whose data a run holds: what `subject=` and `seal_result=` may say."""

from collections.abc import Callable
from typing import Any

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
