"""What a handler raises is told in one printable line, whatever it is made of."""

import math
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Pending, Saga, Topic
from amends.coordinator.core.evolve import fold
from amends.coordinator.failures import told_by
from amends.coordinator.runtime.answers import _kind, _line, _wait_ms
from amends.schemas.entry import decode
from amends.testing import world


class Order(BaseModel):
    id: str


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ValueError("a\nb\t c"), "a b c", id="lines become one"),
        pytest.param(ValueError(), "", id="nothing said"),
        pytest.param(Mute(), "it raised SystemExit when asked for its text", id="no text"),
    ],
)
def test_an_error_s_text_is_one_line(error: BaseException, text: str) -> None:
    assert told_by(error) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[2J\x00", "\ufffd[2J\ufffd"),
        ("\ud800", "\ufffd"),
        ("x" * 500, "x" * 99 + "…"),
        ("  a  b  ", "a b"),
    ],
)
def test_a_line_is_printable_and_bounded(text: str, line: str) -> None:
    assert _line(text, 100) == line


@pytest.mark.parametrize(
    ("wait_s", "wait_ms"),
    [
        (None, None),
        (1.5, 1_500),
        (0, 0),
        (-1, None),
        (math.nan, None),
        (math.inf, None),
        ("soon", None),
        (1e300, 365 * 24 * 3_600_000),
    ],
)
def test_only_a_time_to_wait_is_waited(wait_s: object, wait_ms: int | None) -> None:
    assert _wait_ms(wait_s) == wait_ms


@pytest.mark.parametrize(("kind", "told"), [("closed", "closed"), ("", "refused"), (None, "refused"), (17, "refused")])
def test_a_kind_is_text_or_the_usual_one(kind: object, told: str) -> None:
    assert _kind(kind, "refused") == told


def test_what_is_promised_by_a_handler_that_may_not_promise_may_still_land() -> None:
    saga = Saga("parcels", trigger=Topic("orders", Order, idempotency_key="id", business_key="id"))

    @saga.action(irreversible=True, unsafe="nobody can say whether it is booked")
    def book(trigger: Order) -> str:
        promised: Any = Pending(correlation=trigger.id)
        return promised  # type: ignore[no-any-return]

    installation = world(saga)
    installation.publish({"id": "R-1"})
    installation.run()
    (row,) = installation.store.runs()
    state = fold(decode(stored.data) for stored in installation.store.entries_of(row.saga_id))
    assert state.parked is not None
    assert (state.status, state.parked.kind) == ("parked", "in_doubt")
    assert "add Pending to its hint" in state.parked.why
