"""What `runs show` says to a person."""

import pytest

from amends.coordinator.cli.run_texts import facts_text
from amends.schemas.events import Failure

STEP = {"path": "receipt", "kind": "result", "status": "pending", "attempts": 0, "failure": None, "undo": None}
FACTS = {
    "saga_id": "32e97119-c6a5-5258-8491-d53059d0ee95",
    "saga": "order",
    "definition_version": 1,
    "idempotency_key": "R-1",
    "business_key": "A-1",
    "generation": 0,
    "version": 3,
    "proof": None,
    "expectations": [],
    "verifications": [],
    "started_at": "2026-11-22T01:20:39.702787Z",
    "updated_at": "2026-11-22T01:20:39.702787Z",
    "trigger": {"topic": "orders", "partition": 0, "offset": 0, "duplicates": 0, "origins": []},
    "waiting_for": None,
    "parked": None,
    "failure": None,
    "rerun": None,
    "locks": [],
    "checkpoints": [],
    "result": None,
    "exposure": [],
    "explanation": None,
    "steps": [STEP],
}


@pytest.mark.parametrize(
    ("status", "ended_at", "said"),
    [
        ("running", None, "· pending"),
        ("parked", None, "· pending"),
        ("compensated", "2026-11-22T01:20:42.562000Z", "· not reached"),
    ],
)
def test_a_step_that_was_never_requested_is_pending_only_while_it_may_still_be(
    status: str, ended_at: str | None, said: str
) -> None:
    shown = facts_text({**FACTS, "status": status, "cause": None, "ended_at": ended_at}).splitlines()
    assert next(line for line in shown if " receipt " in line).split("result")[1].strip() == said


def test_a_repetition_of_a_run_that_has_ended_repeats_no_more() -> None:
    step = {**STEP, "path": "parcels", "kind": "for_each", "status": "repeating"}
    ended = {**FACTS, "status": "compensated", "cause": None, "ended_at": "2026-11-22T01:20:42.562000Z"}
    shown = facts_text({**ended, "steps": [step]}).splitlines()
    assert next(line for line in shown if " parcels " in line).split("for_each")[1].strip() == "· not finished"


def test_a_checkpoint_is_shown_with_where_it_stood_and_what_it_tells() -> None:
    checkpoint = {"name": "ticket_created", "step": "create", "role": "step", "at": "2026-11-22T01:20:40.000000Z"}
    looked = {**checkpoint, "name": "looked", "role": "verify", "values": b"{}"}
    found = [{**checkpoint, "values": b'{"id":7}'}, looked]
    shown = facts_text({**FACTS, "status": "running", "cause": None, "ended_at": None, "checkpoints": found})
    assert [line.split() for line in shown.splitlines()[-3:]] == [
        ["checkpoint", "step", "at", "(UTC)", "tells"],
        ["ticket_created", "create", "01:20:40.000", '{"id":7}'],
        ["looked", "create,", "verify", "01:20:40.000"],
    ]


def test_a_read_that_is_not_needed_any_more_is_withdrawn_and_has_not_failed() -> None:
    failure = Failure(step="look", attempt=1, kind="withdrawn", message="not needed any more: the run turned back")
    step = {**STEP, "path": "look", "kind": "read", "status": "failed", "attempts": 1, "failure": failure}
    ended = {**FACTS, "status": "compensated", "cause": "failed", "ended_at": "2026-11-22T01:20:42.562000Z"}
    shown = facts_text({**ended, "steps": [step]}).splitlines()
    at = next(number for number, line in enumerate(shown) if " look " in line)
    assert shown[at].split("read")[1].strip() == "⊘ withdrawn"
    assert shown[at + 1].strip() == "not needed any more: the run turned back"
