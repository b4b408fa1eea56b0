"""A state and an effect of which every field is set, so that a test sees what an event leaves alone."""

from typing import Any, Final

from msgspec.structs import replace

from amends.coordinator.core.moment import Moment
from amends.coordinator.core.state import Doubt, Effect, Parked, State, Undone
from amends.schemas import events as e
from amends.schemas.ids import Direction, EffectKey, SagaId
from amends.schemas.instants import SECOND, instant_of

BEGAN: Final = instant_of("2026-11-21T14:00:00.000000Z")
NOW: Final = BEGAN + 600 * SECOND
DUE: Final = "2026-11-21T15:00:00.000000Z"
MOMENT: Final = Moment(NOW, 8, 2)

DOUBT: Final = Doubt(
    since=BEGAN + 10,
    attempt=1,
    quiet_from=BEGAN + 20,
    reason="in_doubt",
    message="no reply",
    running=False,
    loose=True,
    asked_at=BEGAN + 30,
)
FAILURE: Final = e.Failure(step="a", attempt=2, kind="refused", message="no")
EFFECT: Final = Effect(
    phase="requested",
    attempt=2,
    counted=2,
    generation=1,
    key=EffectKey("key-1"),
    arguments="sha256:arguments",
    order=3,
    requested_at=BEGAN + 40,
    key_used_at=BEGAN + 50,
    same_request=True,
    timeout_at=BEGAN + 60,
    due_at=BEGAN + 70,
    asks=4,
    verify_since=BEGAN + 80,
    external_id="ext-1",
    result="sha256:result",
    since=BEGAN + 90,
    settled=True,
    verified_by="reply",
    doubt=DOUBT,
    failure=FAILURE,
    retriable=True,
)
STATE: Final = State(
    namespace="default",
    saga_id=SagaId("6f1f4c0e-0000-5000-8000-000000000000"),
    saga="order",
    definition_version=1,
    definition_hash="hash",
    version=7,
    at=BEGAN + 100,
    status="compensating",
    cause="failed",
    reason="because",
    idempotency_key="R-1",
    business_key="A-12",
    generation=2,
    started_at=BEGAN,
    running_since=BEGAN + 110,
    deadline_at=BEGAN + 3_600 * SECOND,
    forward={"a": EFFECT, "b": Effect()},
    undo={"a": EFFECT, "b": Effect()},
    requests=5,
    draining=True,
    undo_list=("b", "a"),
    undone=(Undone(step="b", verified_by="reply"),),
    failure=FAILURE,
    evidence=("2.0",),
    unclean_stops=1,
    alone=1,
    attempts=6,
    extensions=1,
    outcome_version=4,
)
PARKED: Final = replace(
    STATE,
    status="parked",
    parked=Parked(phase="undo", step="a", kind="in_doubt", why="nobody knows", since=NOW - 60 * SECOND),
    limit_reached=True,
)
PROGRESS: Final[dict[str, Any]] = {"unclean_stops": 0, "alone": 0}
SHIFTED: Final = replace(
    EFFECT,
    verify_since=BEGAN + 80 + 60 * SECOND,
    doubt=replace(DOUBT, since=BEGAN + 10 + 60 * SECOND),
)
"""What lasted while the run was parked for a minute."""


def effects(direction: Direction, effect: Effect) -> dict[str, dict[str, Effect]]:
    changed = {"a": effect, "b": Effect()}
    return {"forward": changed} if direction == "forward" else {"undo": changed}
