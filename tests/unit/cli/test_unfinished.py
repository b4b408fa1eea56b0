"""What a worker that ends when it is idle says of the runs it leaves open."""

from typing import Any

import pytest
from msgspec.structs import replace

from amends.coordinator.cli.unfinished import open_lines
from amends.coordinator.ports.rows import RunRow
from amends.schemas.instants import instant_of
from tests.unit.runtime.test_waiting_runs import ordered

NOW = instant_of("2026-11-22T09:00:00.000000Z")
ID = "6d527bb3-110c-5a0c-8e36-d417c3e94305"
PAID = "paid: message Payment for R-1 until 2026-11-22T10:00:00.000000Z"
LATER = f"{PAID}; goods: 2026-11-24T10:00:00.000000Z"


def row(**changed: Any) -> RunRow:
    (found,) = ordered().store.runs()
    facts = {"saga_id": ID, "saga": "shop", "business_key": "A-1", "status": "waiting", "waiting_for": None}
    return replace(found, **{**facts, **changed})


@pytest.mark.parametrize(
    ("changed", "width", "said"),
    [
        pytest.param({"status": "parked"}, None, [f"parked  {ID}  shop A-1"], id="parked"),
        pytest.param(
            {"waiting_for": LATER},
            None,
            [f"waiting for paid: message Payment for R-1 until 10:00:00; goods: 2026-11-24 10:00:00  {ID}  shop A-1"],
            id="elsewhere one line, with the day of what is not today",
        ),
        pytest.param(
            {"waiting_for": PAID},
            80,
            [f"waiting  {ID}  shop A-1", "  for paid: message Payment for R-1 until 10:00:00"],
            id="on a terminal what it waits for stands below",
        ),
        pytest.param(
            {"status": "parked", "business_key": "the-club-of-the-long-names-in-the-north"},
            80,
            ["parked  6d527bb3-110c  shop the-club-of-the-long-names-in-the-north"],
            id="where there is no room as much of the id as names the run",
        ),
        pytest.param({"waiting_for": "reserve"}, None, [f"waiting for reserve  {ID}  shop A-1"], id="a handler"),
        pytest.param(
            {"quarantined": True, "waiting_for": "quarantine"}, None, [f"quarantined  {ID}  shop A-1"], id="quarantined"
        ),
    ],
)
def test_each_open_run_is_named_with_what_it_waits_for(
    changed: dict[str, Any], width: int | None, said: list[str]
) -> None:
    assert open_lines(row(**changed), NOW, width) == said
