"""What a saga locks by: what `locks=` may say, and what it means for a definition's hash."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Saga, Topic
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import LockForm
from amends.coordinator.definition.locks import LOCKS_MAX


class Person(BaseModel):
    number: int | None = None
    tags: list[str] = []


class Order(BaseModel):
    request_id: str
    order_id: str
    person: Person


def saga(locks: Any = None, **options: Any) -> Saga[Order]:
    made = Saga(
        "order",
        trigger=Topic("orders", Order, idempotency_key="request_id", business_key="order_id"),
        locks=locks,
        **options,
    )

    @made.read
    def look(trigger: Order) -> str:
        return trigger.order_id

    return made


def called(locks: Mapping[str, str] | None) -> Saga[Order]:
    """A saga that calls another one, which locks the order."""
    inner = Saga("inner", trigger=Order, locks={"order": "order_id"})

    @inner.read
    def price(trigger: Order) -> int:
        return 5

    @inner.result
    def priced(price: int = price.result) -> int:
        return price

    outer = saga(locks)
    outer.call("prices", inner, trigger=outer.trigger)
    return outer


def test_locks_are_in_the_form_by_name() -> None:
    form = saga({"order": "order_id", "customer": "person.number"}).close().form
    assert form.locks == (LockForm(name="customer", field="person.number"), LockForm(name="order", field="order_id"))


def test_the_hash_knows_of_locks_and_a_saga_without_them_keeps_its_own() -> None:
    assert saga().close().hash == saga({}).close().hash
    assert len({saga(locks).close().hash for locks in (None, {"order": "order_id"}, {"object": "order_id"})}) == 3


@pytest.mark.parametrize(
    "locks",
    [
        pytest.param("order_id", id="a field alone"),
        pytest.param(["order_id"], id="a list"),
        pytest.param({"order": 1}, id="no field"),
        pytest.param({"order": ""}, id="an empty field"),
        pytest.param({"": "order_id"}, id="no name"),
        pytest.param({"a:b": "order_id"}, id="a name that would not be told from its value"),
    ],
)
def test_what_is_no_lock_is_refused_where_it_stands(locks: Any) -> None:
    with pytest.raises(DefinitionError) as refused:
        saga(locks)
    assert [each.code for each in refused.value.findings] == ["AM1006"]


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        pytest.param(lambda: saga({"order": "order"}), "AM1090", "no field 'order'", id="no such field"),
        pytest.param(lambda: saga({"tag": "person.tags"}), "AM1091", "holds a list", id="a list"),
        pytest.param(lambda: saga({"person": "person"}), "AM1091", "named by text or an integer", id="an object"),
        pytest.param(
            lambda: saga({f"l{number}": "order_id" for number in range(LOCKS_MAX + 1)}), "AM1092", "16", id="too many"
        ),
        pytest.param(lambda: called(None), "AM1094", "locks 'order'", id="what a called saga locks"),
    ],
)
def test_what_cannot_be_locked_is_an_error_of_check(made: Callable[[], Saga[Any]], code: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as refused:
        made().close()
    assert [each.code for each in refused.value.findings if each.severity == "error"] == [code]


def test_a_lock_that_names_the_subject_is_warned_of() -> None:
    assert "AM1093" in [each.code for each in saga({"who": "person.number"}, subject="person.number").check()]


def test_who_calls_a_saga_locks_for_it() -> None:
    assert called({"order": "order_id"}).close().form.locks == (LockForm(name="order", field="order_id"),)
