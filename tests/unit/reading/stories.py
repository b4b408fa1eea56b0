"""Histories written by hand: each entry at the time and with the events that a test says."""

from dataclasses import dataclass, field

from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.reading.history import Moment, history
from amends.schemas import events as e
from amends.schemas.entry import Draft, seal
from amends.schemas.ids import EffectKey, SagaId

DAY = "2026-11-21T"
SAGA_ID = SagaId("8f1c1a52-6d0e-5f7a-9a53-0d9b8c7e6f50")
DIGEST = e.Digest("sha256:" + "0" * 64)
KEY = EffectKey("2c0f6a3e-8b1d-5e4f-a6c7-9d8e7f6a5b4c")
LATER = DAY + "15:02:07.110000Z"


class Requested(BaseModel):
    request_id: str
    order_id: str


def refund() -> Saga[Requested]:
    """The saga of the contract's story: money back, goods back, a mail."""
    saga = Saga(
        "refund",
        version=3,
        trigger=Topic("billing.refund-requested", Requested, idempotency_key="request_id", business_key="order_id"),
    )

    @saga.action(dependency="payments", idempotent=True)
    async def reverse_charge(ctx: Context, trigger: Requested) -> str:
        return "rev_77"

    @reverse_charge.verify
    async def is_reversed(ctx: Context) -> bool:
        return True

    @reverse_charge.undo
    async def recharge(ctx: Context) -> None: ...

    @recharge.verify
    async def is_recharged(ctx: Context) -> bool:
        return True

    @saga.action(dependency="inventory", idempotent=True, after=reverse_charge)
    async def restock(ctx: Context, trigger: Requested) -> None: ...

    @restock.undo
    async def take_out(ctx: Context) -> None: ...

    @take_out.verify
    async def is_taken_out(ctx: Context) -> bool:
        return True

    @saga.action(dependency="mail", irreversible=True, after=restock, unsafe="a mail twice does no harm")
    async def notify(ctx: Context, trigger: Requested) -> None: ...

    return saga


def waiting_plan() -> Plan:
    """The same saga, waiting for a payment first."""
    saga = Saga(
        "refund",
        version=3,
        trigger=Topic("billing.refund-requested", Requested, idempotency_key="request_id", business_key="order_id"),
    )
    saga.wait("paid", Requested, correlation=saga.trigger.order_id, timeout="30m", type="payment")
    return plan_of(saga.close().form)


def refund_plan() -> Plan:
    return plan_of(refund().close().form)


@dataclass(slots=True)
class History:
    """Entries of one run, sealed one upon the other."""

    entries: list[bytes] = field(default_factory=list)
    _previous: str = ""

    def entry(self, at: str, *events: e.Event, actor: str = "amends", cause: str = "reply") -> None:
        data, self._previous = seal(
            Draft(
                namespace="default",
                saga_id=SAGA_ID,
                saga="refund",
                definition_version=3,
                definition_hash=refund_plan().hash,
                version=len(self.entries) + 1,
                at=at if "T" in at else f"{DAY}{at}000Z",
                cause=cause,
                causation_id=None,
                correlation_id=SAGA_ID,
                actor=actor,
                epoch=1,
                build="test",
                events=events,
                payloads={},
                previous_hash=self._previous,
            )
        )
        self.entries.append(data)

    def moments(self) -> list[Moment]:
        return list(history(self.entries, of=SAGA_ID))


def started() -> e.SagaStarted:
    return e.SagaStarted(
        idempotency_key="R-77",
        business_key="A-12",
        generation=0,
        origin=e.Origin(topic="billing.refund-requested", partition=3, offset=118),
        trigger=DIGEST,
        request_digest=DIGEST,
        deadline_at=LATER,
        shard=0,
        traceparent=None,
    )


def requested(path: str, *, attempt: int = 1) -> e.StepRequested:
    return e.StepRequested(
        path=path,
        attempt=attempt,
        generation=attempt - 1,
        idempotency_key=KEY,
        arguments=DIGEST,
        timeout_at=LATER,
        same_request=False,
        permission="allowed",
        policy_version=None,
        price_version=None,
        reservation=None,
    )


def succeeded(path: str, external_id: str | None = None, *, readback: bool = False) -> e.StepSucceeded:
    return e.StepSucceeded(path=path, attempt=1, result=DIGEST, external_id=external_id, readback=readback)


def evidence(path: str, tool: str, role: e.Role = "step") -> e.EvidenceRecorded:
    return e.EvidenceRecorded(
        path=path,
        direction="forward",
        role=role,
        attempt=1,
        tool=tool,
        action="post",
        resource=path,
        permission="allowed",
        status="200",
        external_id=None,
        at=LATER,
        arguments=None,
        result=None,
    )


def failed(path: str, *, attempt: int, kind: str = "unavailable", message: str = "mail 503") -> e.StepFailed:
    return e.StepFailed(path=path, attempt=attempt, kind=kind, message=message, retriable=True)


def again(path: str, *, attempt: int, due_at: str) -> tuple[e.Event, ...]:
    return (
        e.GenerationRaised(path=path, direction="forward", generation=attempt, why="failed"),
        e.RetryScheduled(path=path, direction="forward", role="step", attempt=attempt + 1, due_at=f"{DAY}{due_at}000Z"),
    )


def draining(path: str, *, attempt: int, undo: tuple[str, ...]) -> tuple[e.Event, ...]:
    failure = e.Failure(step=path, attempt=attempt, kind="unavailable", message="mail 503")
    return (
        e.DrainStarted(cause="failed", failure=failure, reason=None),
        e.CompensationStarted(undo_list=undo),
    )


def undo_requested(path: str) -> e.UndoRequested:
    return e.UndoRequested(
        path=path,
        attempt=1,
        generation=0,
        idempotency_key=KEY,
        arguments=DIGEST,
        timeout_at=LATER,
        same_request=False,
        permission="allowed",
    )


def undo_succeeded(path: str) -> e.UndoSucceeded:
    return e.UndoSucceeded(path=path, attempt=1, external_id=None)


def undo_verified(path: str) -> e.UndoVerified:
    return e.UndoVerified(path=path, by="readback")
