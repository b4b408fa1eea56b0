"""Attempts made by hand, so that a connector can be tried without a coordinator."""

import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from amends.coordinator.attempt import Attempt, Undoing
from amends.schemas.canonical import digest
from amends.schemas.events import Role
from amends.schemas.ids import Direction, EffectKey, SagaId, effect_key_of
from amends.schemas.instants import SECOND, Instant

STEP: Final = "act"
NO_ARGUMENTS: Final = digest(b"{}")


def new_saga_id() -> SagaId:
    """The id of a run that never was."""
    return SagaId(str(uuid4()))


def step_key(saga_id: SagaId, generation: int = 0) -> EffectKey:
    """The key under which the run's step acts."""
    return effect_key_of(saga_id=saga_id, path=STEP, direction="forward", generation=generation)


def attempt_at(
    saga_id: SagaId,
    *,
    role: Role = "step",
    undo: bool = False,
    generation: int = 0,
    number: int = 1,
    epoch: int = 1,
    within_s: float = 30.0,
    lease_left_s: float = float("inf"),
    clock: Callable[[], Instant] = lambda: time.time_ns() // 1_000,
) -> Attempt:
    """One attempt at the only step of a run, or at its undo. A number above 1 repeats a request under its key."""
    direction: Direction = "undo" if undo else "forward"
    undoing = Undoing(
        state="succeeded", idempotency_key=step_key(saga_id), external_id=None, argument_digest=NO_ARGUMENTS
    )
    return Attempt(
        namespace="connector-kit",
        saga="connector_kit",
        saga_id=saga_id,
        business_key=saga_id,
        path=STEP,
        direction=direction,
        role=role,
        number=number,
        idempotency_key=effect_key_of(saga_id=saga_id, path=STEP, direction=direction, generation=generation),
        deadline=clock() + round(within_s * SECOND),
        epoch=epoch,
        may_act=role in ("step", "undo"),
        arguments=NO_ARGUMENTS,
        undoing=undoing if undo else None,
        traceparent=None,
        clock=clock,
        lease_left_s=lambda: lease_left_s,
        first_use=number == 1,
    )
