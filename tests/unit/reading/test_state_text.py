"""Every instant of a fold is read as a time."""

import re
from pathlib import Path

from amends.coordinator.core import state
from amends.coordinator.reading.state_text import INSTANTS, told_of
from amends.schemas.ids import SagaId


def test_every_field_that_is_an_instant_is_known() -> None:
    assert set(re.findall(r"^    (\w+): Instant\b", Path(state.__file__).read_text(), re.MULTILINE)) == INSTANTS


def test_an_instant_is_told_as_a_time_wherever_it_is_and_nothing_else_is() -> None:
    charge = state.Effect(phase="requested", attempt=2, requested_at=1_500_000, due_at=None)
    parked = state.Parked(phase="forward", step="at", kind="refused", why="closed", since=2_000_000)
    told = told_of(
        state.State(
            namespace="default",
            saga_id=SagaId("x"),
            saga="order",
            definition_version=1,
            definition_hash="",
            version=3,
            started_at=1_000_000,
            forward={"since": charge},
            parked=parked,
        )
    )
    assert (told["started_at"], told["version"], told["ended_at"]) == ("1970-01-01T00:00:01.000000Z", 3, None)
    assert told["forward"]["since"]["requested_at"] == "1970-01-01T00:00:01.500000Z"
    assert (told["forward"]["since"]["attempt"], told["forward"]["since"]["due_at"]) == (2, None)
    assert (told["parked"]["since"], told["parked"]["step"]) == ("1970-01-01T00:00:02.000000Z", "at")
