"""Payments as a process: one effect for a key whatever happens, answers kept, faults as announced."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amends.examples.shop.launch import Running, begin, ready
from tests.e2e.shop.by_hand import NoAnswer, ask


def charge(
    payments: Running,
    key: str,
    card: str = "tok_visa_4242",
    *,
    amount: str = "49.90",
    epoch: str = "",
    timeout_s: float = 10,
) -> Any:
    body = {"order_id": f"order of {key}", "card": card, "amount": amount, "currency": "EUR"}
    return ask(payments.url, "POST", "/payments", body, key=key, epoch=epoch, timeout_s=timeout_s)


def refund(payments: Running, key: str, payment_key: str) -> Any:
    return ask(payments.url, "POST", "/refunds", {"payment_key": payment_key}, key=key)


def read(payments: Running, path: str) -> Any:
    return ask(payments.url, "GET", path)[:2]


def test_the_same_key_charges_once_and_is_told_the_same(payments: Running) -> None:
    status, payment, headers = charge(payments, "k1")
    again = charge(payments, "k1")
    assert (status, headers["Idempotent-Replayed"]) == (201, None)
    assert (again[0], again[1], again[2]["Idempotent-Replayed"]) == (201, payment, "true")
    assert read(payments, "/payments?key=k1") == (200, payment)
    assert read(payments, f"/payments/{payment['payment_id']}") == (200, payment)


def test_a_refusal_is_kept_and_told_again_even_after_the_card_is_mended(payments: Running) -> None:
    assert charge(payments, "k2", "tok_3110")[0] == 201
    fault = {"mode": "refuse", "operation": "charge", "ending": "3110", "reason": "card_declined"}
    assert ask(payments.url, "POST", "/faults", fault)[0] == 201
    assert charge(payments, "k3", "tok_3110")[:2] == (402, {"error": "card_declined"})
    assert ask(payments.url, "DELETE", "/faults?ending=3110")[0] == 200
    status, answer, headers = charge(payments, "k3", "tok_3110")
    assert (status, answer, headers["Idempotent-Replayed"]) == (402, {"error": "card_declined"}, "true")
    assert charge(payments, "k4", "tok_3110")[0] == 201  # Another key is another request.
    assert read(payments, "/payments?key=k3")[0] == 404


def test_a_key_cannot_be_used_for_another_request(payments: Running) -> None:
    assert charge(payments, "k5")[0] == 201
    assert charge(payments, "k5", amount="49.91")[:2] == (422, {"error": "key_reused"})
    assert refund(payments, "k5", "k5")[0] == 422
    assert read(payments, "/payments?key=k5")[1]["amount"] == "49.90"


def test_a_refund_gives_back_once_and_the_payment_says_so(payments: Running) -> None:
    payment = charge(payments, "k6")[1]
    first = refund(payments, "r6", "k6")
    assert (first[0], first[1]["amount"], first[1]["payment_id"]) == (201, "49.90", payment["payment_id"])
    assert refund(payments, "r6", "k6")[:2] == first[:2]
    assert read(payments, "/refunds?key=r6") == (200, first[1])
    assert read(payments, "/payments?key=k6")[1]["refunded"] == "49.90"
    assert refund(payments, "r6b", "k6")[:2] == (409, {"error": "not_that_much_left_to_refund"})


def test_a_payment_can_be_refunded_in_parts_but_not_beyond_it(payments: Running) -> None:
    path = f"/payments/{charge(payments, 'k7')[1]['payment_id']}/refunds"
    statuses = [
        ask(payments.url, "POST", path, {"amount": amount}, key=f"r7-{n}")[0]
        for n, amount in enumerate(("20.00", "29.90", "0.01"))
    ]
    assert statuses == [201, 201, 409]
    assert read(payments, "/payments?key=k7")[1]["refunded"] == "49.90"


def test_a_refund_that_comes_first_kills_the_late_charge(payments: Running) -> None:
    assert refund(payments, "r8", "k8")[1]["payment_id"] is None
    assert charge(payments, "k8")[:2] == (409, {"error": "refunded_before_it_came"})
    assert read(payments, "/payments?key=k8")[0] == 404


def test_a_lower_epoch_is_refused_for_its_key_alone(payments: Running) -> None:
    assert charge(payments, "k9", "tok_0503", epoch="7")[0] == 503
    assert charge(payments, "k9", "tok_0503", epoch="6")[:2] == (412, {"error": "replaced_by_a_newer_sender"})
    assert charge(payments, "k9", "tok_0503", epoch="7")[0] == 201
    assert charge(payments, "k10", epoch="6")[0] == 201


@pytest.mark.parametrize(
    ("ending", "first_answer"),
    [
        pytest.param("0503", 503, id="unavailable before the effect"),
        pytest.param("0500", 500, id="an error after the effect"),
        pytest.param("0104", NoAnswer, id="a reset after the effect"),
        pytest.param("0408", NoAnswer, id="a slow reply after the effect"),
    ],
)
def test_a_fault_leaves_doubt_once_and_the_same_key_settles_it(
    payments: Running, ending: str, first_answer: int | type[NoAnswer]
) -> None:
    key = f"fault-{ending}"
    try:
        found: object = charge(payments, key, f"tok_{ending}", timeout_s=0.5)[0]
    except NoAnswer:
        found = NoAnswer
    assert found == first_answer
    assert read(payments, f"/payments?key={key}")[0] == (404 if ending == "0503" else 200)
    assert charge(payments, key, f"tok_{ending}")[0] == 201


def test_refunds_of_one_card_are_down_until_they_are_repaired(payments: Running) -> None:
    assert charge(payments, "k11", "tok_visa_0077")[0] == 201
    assert [refund(payments, "r11", "k11")[0] for _ in range(3)] == [503, 503, 503]
    assert refund(payments, "r-other", "k-other")[0] == 201
    assert read(payments, "/payments?key=k11")[1]["refunded"] == "0.00"
    assert ask(payments.url, "DELETE", "/faults?ending=0077")[0] == 200
    assert refund(payments, "r11", "k11")[0] == 201


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        pytest.param("/payments", {"order_id": "A"}, "b1", id="fields are missing"),
        pytest.param("/payments", ["not an object"], "b2", id="not an object"),
        pytest.param(
            "/payments", {"order_id": "A", "card": "c", "amount": 49.9, "currency": "EUR"}, "b3", id="money as a float"
        ),
        pytest.param(
            "/payments", {"order_id": "A", "card": "c", "amount": "0.00", "currency": "EUR"}, "b4", id="nothing"
        ),
        pytest.param(
            "/payments", {"order_id": "A", "card": "c", "amount": "1e3", "currency": "EUR"}, "b5", id="exponent"
        ),
        pytest.param("/payments", {"order_id": "A", "card": "c", "amount": "1.00", "currency": "EUR"}, "", id="no key"),
        pytest.param("/refunds", {}, "b6", id="no payment key"),
        pytest.param("/faults", {"mode": "explode"}, "b7", id="an unknown fault"),
    ],
)
def test_a_bad_request_is_refused_and_its_key_stays_free(payments: Running, path: str, body: object, key: str) -> None:
    assert ask(payments.url, "POST", path, body, key=key)[0] == 400
    if key:
        assert charge(payments, key)[0] == 201


def test_a_payment_that_is_not_there_cannot_be_refunded_or_read(payments: Running) -> None:
    assert ask(payments.url, "POST", "/payments/pay_none/refunds", {}, key="r12")[0] == 404
    assert read(payments, "/payments/pay_none")[0] == 404
    assert read(payments, "/refunds?key=none")[0] == 404


def test_what_was_answered_survives_a_crash(data: Path) -> None:
    first = ready("payments", begin("payments", data), data)
    payment = charge(first, "k1")[1]
    assert charge(first, "k2", "tok_0002")[0] == 402
    with pytest.raises(NoAnswer):
        charge(first, "k3", "tok_0104")
    refunded = refund(first, "r1", "k1")[1]
    port = first.url.rpartition(":")[2]
    assert first.kill() == -9

    second = ready("payments", begin("payments", data, ["--port", port]), data)
    try:
        assert second.url == first.url
        assert charge(second, "k1")[:2] == (201, payment)
        assert charge(second, "k2", "tok_0002")[:2] == (402, {"error": "card_declined"})
        assert refund(second, "r1", "k1")[:2] == (201, refunded)
        assert charge(second, "k3", "tok_0104")[0] == 201
        assert moved(data) == [("charge", "k1"), ("charge", "k3"), ("refund", "r1")]
    finally:
        assert second.stop() == 0


def test_a_crash_while_charges_pour_in_loses_no_answer_and_doubles_no_charge(data: Path) -> None:
    first = ready("payments", begin("payments", data), data)
    answered = []
    killed_at = time.monotonic() + 0.3
    for n in range(10_000):
        if time.monotonic() > killed_at:
            first.process.kill()  # It dies while the next request is on its way, or just before.
        try:
            answered.append((f"k{n}", charge(first, f"k{n}")[1]))
        except NoAnswer:
            break
    first.kill()
    second = ready("payments", begin("payments", data), data)
    try:
        assert answered
        assert [charge(second, key)[1] for key, _ in answered] == [payment for _, payment in answered]
        assert charge(second, f"k{len(answered)}")[0] == 201
        assert sorted(moved(data)) == sorted(("charge", f"k{n}") for n in range(len(answered) + 1))
    finally:
        assert second.stop() == 0


def moved(data: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(data / "payments.db")) as database:
        return database.execute("SELECT kind, key FROM movements ORDER BY kind, key").fetchall()
