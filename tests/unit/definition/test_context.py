"""`Context` is the attempt as handlers see it: the names of the contract, and nothing else."""

import logging
from datetime import UTC, datetime

import msgspec
import pytest

from amends import Context
from amends.coordinator.attempt import Attempt, Undoing
from amends.coordinator.context import context_of
from amends.schemas.ids import EffectKey, SagaId
from amends.schemas.instants import instant_of

ATTEMPT = Attempt(
    namespace="default",
    saga="shop",
    saga_id=SagaId("00000000-0000-5000-8000-000000000000"),
    business_key="A-12",
    path="charge",
    direction="undo",
    role="undo",
    number=3,
    idempotency_key=EffectKey("11111111-0000-5000-8000-000000000000"),
    deadline=instant_of("2026-11-21T14:02:07.110000Z"),
    epoch=9,
    may_act=True,
    arguments=None,
    undoing=Undoing(
        state="settled",
        idempotency_key=EffectKey("22222222-0000-5000-8000-000000000000"),
        external_id="ch_1",
        argument_digest="sha256:00",
    ),
    traceparent=None,
    clock=lambda: 0,
    lease_left_s=lambda: 1.0,
)


def test_a_context_shows_the_attempt() -> None:
    context = context_of(ATTEMPT)
    assert context.deadline == datetime(2026, 11, 21, 14, 2, 7, 110_000, tzinfo=UTC)
    assert (context.saga, context.saga_id, context.namespace) == ("shop", ATTEMPT.saga_id, "default")
    assert (context.step, context.attempt, context.epoch, context.business_key) == ("charge", 3, 9, "A-12")
    assert context.idempotency_key == ATTEMPT.idempotency_key
    assert context.undoing == ATTEMPT.undoing


def test_its_names_are_those_of_the_contract_and_that_of_checkpoints() -> None:
    names = {name for name in dir(Context) if not name.startswith("_")}
    assert names == {
        *("saga_id", "saga", "namespace", "business_key", "step", "attempt", "idempotency_key", "deadline", "epoch"),
        *("log", "undoing", "checkpoint"),
    }
    assert {field.name for field in msgspec.structs.fields(Context)} == names - {"log", "checkpoint"}


def test_its_log_names_the_run_the_step_and_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    log = context_of(ATTEMPT).log
    with caplog.at_level(logging.INFO, log.logger.name):
        log.info("charged", extra={"amount": "2.50"})
    (record,) = caplog.records
    told = {name: getattr(record, name) for name in ("saga_id", "saga", "step", "attempt", "amount")}
    assert told == {"saga_id": ATTEMPT.saga_id, "saga": "shop", "step": "charge", "attempt": 3, "amount": "2.50"}
