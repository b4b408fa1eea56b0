"""Whatever a handler does, its run ends or parks with the reason, what it did is undone, and nobody else notices."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation, used_once

pytestmark = pytest.mark.timeout(60)

NO_EFFECT = {"refuses": "refused", "is never available": "unavailable"}
"""What a handler does, and the kind of failure it is: definite, so there is nothing of its own to undo."""
MAY_HAVE_DONE_SOMETHING = {
    "raises": "exception",
    "raises much": "exception",
    "raises control characters": "exception",
    "raises a group": "exception",
    "raises what cannot be printed": "exception",
    "raises SystemExit": "exception",
    "raises KeyboardInterrupt": "exception",
    "raises CancelledError": "exception",
    "raises GeneratorExit": "exception",
    "raises MemoryError": "exception",
    "raises StopIteration": "exception",
    "recurses": "exception",
    "returns nothing": "invalid_result",
    "returns another type": "invalid_result",
    "returns an object": "invalid_result",
    "returns a loop": "invalid_result",
    "returns a lone surrogate": "invalid_result",
    "returns what nobody awaits": "invalid_result",
    "returns 20 MB": "invalid_result",
}
UNHARMED = ("stops its loop", "leaves in a task")
"""What a handler does to the loop that it shares with others, and gets over."""
INNOCENT = 30
WRONG = {**NO_EFFECT, **MAY_HAVE_DONE_SOMETHING}


@pytest.fixture(scope="module")
def faulty() -> Iterator[Installation]:
    """All of them at once, among bookings that are in order, to the end."""
    with used_once(_play) as folder:
        yield Installation(folder=folder)


def _play(installation: Installation) -> None:
    doubts = ("hangs after its effect", "hangs before its effect", "does not know")
    bookings = (*WRONG, "cannot be undone", *UNHARMED)
    installation.publish("bookings", *({"id": how, "how": how} for how in bookings))
    installation.publish("bookings", *({"id": f"fine {number}"} for number in range(INNOCENT)))
    installation.publish("threads", *({"id": f"thread {how}", "how": how} for how in WRONG))
    installation.publish("waits", {"id": "hangs", "how": "hangs"})
    installation.publish("unknowns", *({"id": how, "how": how} for how in doubts))
    with installation.running("worker", BOOKINGS, "--until-idle") as worker:
        assert worker.ends().code == 0, worker.text


@pytest.fixture(scope="module")
def outcomes(faulty: Installation) -> dict[str, dict[str, Any]]:
    return faulty.outcomes()


@pytest.mark.parametrize(("how", "kind"), WRONG.items())
def test_a_coroutine_that_goes_wrong_is_a_failure_and_all_is_undone(
    faulty: Installation, outcomes: dict[str, dict[str, Any]], how: str, kind: str
) -> None:
    outcome = outcomes[how]
    assert (outcome["status"], outcome["failure"]["kind"], outcome["exposure"]) == ("compensated", kind, [])
    undone = [each["step"] for each in outcome["undone"]]
    assert undone == (["hold"] if how in NO_EFFECT else ["charge", "hold"])
    expected = {"hold": 1, "release": 1} | ({} if how in NO_EFFECT else {"refund": 1})
    assert {effect: count for (id_, effect), count in faulty.effects().items() if id_ == how} == expected
    assert len(outcome["failure"]["message"]) <= 600
    assert outcome["failure"]["message"].isprintable()


@pytest.mark.parametrize(("how", "kind"), WRONG.items())
def test_a_function_in_a_thread_that_goes_wrong_is_a_failure_and_all_is_undone(
    faulty: Installation, outcomes: dict[str, dict[str, Any]], how: str, kind: str
) -> None:
    outcome = outcomes[f"thread {how}"]
    assert (outcome["status"], outcome["failure"]["kind"], outcome["exposure"]) == ("compensated", kind, [])
    assert [each["step"] for each in outcome["undone"]] == ([] if how in NO_EFFECT else ["carry"])
    expected = {} if how in NO_EFFECT else {"carry_back": 1}
    assert {effect: count for (id_, effect), count in faulty.effects().items() if id_ == f"thread {how}"} == expected


@pytest.mark.parametrize(
    ("how", "line"),
    [("raises", "raise error"), ("recurses", "return recurse(trigger)"), ("thread raises", "raise error")],
)
def test_what_a_handler_raised_is_shown_with_its_line_in_the_app_and_without_the_app_s_folder(
    faulty: Installation, outcomes: dict[str, dict[str, Any]], how: str, line: str
) -> None:
    shown = faulty.ok("runs", "show", outcomes[how]["saga_id"])
    source = Path(BOOKINGS).read_text().splitlines()
    (number,) = (at for at, text in enumerate(source, 1) if text.strip() == line)
    assert f" at bookings.py:{number}" in shown
    assert str(Path(BOOKINGS).parent) not in shown


def test_a_handler_that_hangs_for_ever_parks_its_run_and_names_what_may_have_happened(
    outcomes: dict[str, dict[str, Any]],
) -> None:
    outcome = outcomes["hangs"]
    assert (outcome["status"], outcome["failure"]["kind"]) == ("parked", "timeout")
    assert [each["step"] for each in outcome["exposure"]] == ["wait"]


def test_an_undo_that_raises_parks_its_run_and_names_what_was_not_undone(
    faulty: Installation, outcomes: dict[str, dict[str, Any]]
) -> None:
    outcome = outcomes["cannot be undone"]
    assert outcome["status"] == "parked"
    assert [each["step"] for each in outcome["exposure"]] == ["hold"]
    (parked,) = (row for row in faulty.json("parked", "list") if row["saga_id"] == outcome["saga_id"])
    assert (parked["phase"], parked["step"]) == ("undo", "hold")


@pytest.mark.parametrize(
    ("how", "status", "effects"),
    [
        ("hangs after its effect", "completed", {"send": 1}),
        ("hangs before its effect", "completed", {"asked": 1, "send": 1}),
        ("does not know", "parked", {}),
    ],
)
def test_doubt_is_settled_by_lookup_or_by_a_person(
    faulty: Installation, outcomes: dict[str, dict[str, Any]], how: str, status: str, effects: dict[str, int]
) -> None:
    assert outcomes[how]["status"] == status
    assert {effect: count for (id_, effect), count in faulty.effects().items() if id_ == how} == effects


def test_nobody_else_notices(faulty: Installation, outcomes: dict[str, dict[str, Any]]) -> None:
    fine = [*(f"fine {number}" for number in range(INNOCENT)), *UNHARMED]
    assert {outcomes[each]["status"] for each in fine} == {"completed"}
    assert all(faulty.effects()[each, "hold"] == faulty.effects()[each, "charge"] == 1 for each in fine)
    assert len(outcomes) == faulty.count("records")
    assert faulty.count("dead_letters") == 0


def test_the_log_is_whole(faulty: Installation) -> None:
    assert faulty.json("audit", "verify", "--all")["ok"] is True
