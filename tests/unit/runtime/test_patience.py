"""What was away is back when it works, and for a while where a single success says little."""

import logging

import pytest

from amends.coordinator.errors import BusUnavailable
from amends.coordinator.runtime.patience import Patience

AWAY = BusUnavailable("AM4108", "Kafka does not allow this", do="give the right")
log = logging.getLogger("amends.test_patience")


@pytest.mark.parametrize(
    ("steady_s", "said"),
    [
        pytest.param(0.0, ["unavailable", "is_back", "unavailable", "is_back"], id="each success counts"),
        pytest.param(60.0, ["unavailable", "unavailable"], id="one success between two failures is not to be back"),
    ],
)
async def test_it_is_back_when_it_has_worked_for_long_enough(
    caplog: pytest.LogCaptureFixture, steady_s: float, said: list[str]
) -> None:
    caplog.set_level(logging.INFO, log.name)
    patience = Patience("bus", log, steady_s=steady_s)
    for _ in range(2):
        await patience.wait(AWAY)
        patience.over()
        patience.over()
    assert [record.message for record in caplog.records] == [f"bus_{event}" for event in said]


async def test_waits_go_on_growing_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience("bus", log, steady_s=60.0)
    for _ in range(2):
        await patience.wait(AWAY)
        patience.over()
    assert [record.__dict__["again_in_s"] for record in caplog.records] == [0.25, 0.5]
