"""How long to wait before the next try: tenacity's strategies as pure functions of recorded facts (rule 13).

Nothing sleeps here. The instant that comes out is written into the log and never computed again; jitter is derived from
saga id, path and attempt: it spreads runs that failed together, and is the same wherever it is computed.
"""

import hashlib
from functools import lru_cache

from tenacity import RetryCallState, stop_after_attempt, wait_exponential

from amends.coordinator.definition.form import RetryForm
from amends.schemas.ids import SagaId


def attempts_left(retry: RetryForm, counted: int) -> bool:
    """Whether the policy allows another try after `counted` ones."""
    return not stop_after_attempt(retry.attempts)(_after(counted))


def delay_ms(
    retry: RetryForm, *, saga_id: SagaId, path: str, attempt: int, counted: int, retry_after_ms: int | None = None
) -> int:
    """Milliseconds until the next try; a participant's own wish counts if it is longer, up to the policy's cap."""
    planned_ms = float(_wait(retry)(_after(max(counted, 1)))) * 1000
    chance = int.from_bytes(hashlib.sha256(f"{saga_id}:{path}:{attempt}".encode()).digest()[:6]) / 2**48
    jittered_ms = planned_ms * (1 + retry.jitter_percent / 100 * (2 * chance - 1))
    return int(min(max(jittered_ms, retry_after_ms or 0), retry.wait_max_ms))


def polling_delay_ms(waited_ms: int) -> int:
    """Milliseconds until a read-back is asked again: it lags, so ask soon, then ever less often."""
    return min(max(100, waited_ms // 2), 5_000)


@lru_cache(maxsize=256)
def _wait(retry: RetryForm) -> wait_exponential:
    return wait_exponential(multiplier=retry.wait_ms / 1000, exp_base=retry.factor, max=retry.wait_max_ms / 1000, min=0)


def _after(counted: int) -> RetryCallState:
    call = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    call.attempt_number = counted
    return call
