"""Limits of a run: forward work may use 70 percent, the rest is kept for settling and undo (rules 12 and 18)."""

import pytest

from amends.schemas import events as e
from tests.simulation.definitions import action, pivot, retriable, saga
from tests.simulation.run import Run


def limit_of(run: Run) -> tuple[str, int, int]:
    """The last limit reached: its name, what was used, what is allowed."""
    event = next(event for event in reversed(run.events) if isinstance(event, e.LimitReached))
    return event.limit, event.used, event.allowed


@pytest.mark.parametrize(
    ("allowed", "steps_done"),
    [(1, 0), (2, 1), (10, 7), (3, 2), (4, 2)],
    ids=["70 % of 1", "of 2", "of 10", "of 3", "of 4"],
)
def test_forward_work_leaves_a_reserve(allowed: int, steps_done: int) -> None:
    run = Run.of(saga(*[action(f"s{n}") for n in range(9)], attempts=allowed))
    done = 0
    while run.status == "running":
        run.ok(f"s{done}")
        done += 1
    assert done == steps_done
    assert limit_of(run) == ("attempts", steps_done, allowed)
    assert run.get().cause == "budget"
    failure = run.get().failure
    assert failure is not None
    assert (failure.step, failure.kind) == (f"s{steps_done}", "limit")
    assert failure.message.startswith(f"{steps_done} of {allowed} attempts used")


def test_a_retry_counts_as_one_more_attempt() -> None:
    run = Run.of(saga(action("a"), action("b"), attempts=2))
    assert run.unavailable("a")[-1] == "retry a"
    assert run.tick() == ["limit: attempts", "drain (budget)", "compensate nothing", "compensated"]


def test_entries_are_a_limit_too() -> None:
    run = Run.of(saga(*[action(f"s{n}") for n in range(9)], entries=5))
    run.ok("s0")
    run.ok("s1")
    assert run.ok("s2")[1:3] == ["limit: entries", "drain (budget)"], "4 entries would be 80 %"
    assert limit_of(run) == ("entries", 3, 5)


def test_the_reserve_serves_the_undo() -> None:
    run = Run.of(saga(*[action(f"s{n}", undo_verify=False) for n in range(4)], attempts=4))
    run.ok("s0")
    assert run.ok("s1")[-1] == "request undo of s1"
    run.ok("undo of s1")
    assert run.ok("undo of s0")[-1] == "compensated"


def test_an_undo_beyond_the_reserve_parks_and_a_person_allows_as_much_again() -> None:
    run = Run.of(saga(*[action(f"s{n}", undo_verify=False) for n in range(4)], attempts=3))
    run.ok("s0")
    run.ok("s1")
    assert run.ok("undo of s1") == [
        "undo of s1 succeeded",
        "undo of s1 verified by reply",
        "limit: attempts",
        "parked undo: s0 (limit)",
    ]
    assert limit_of(run) == ("attempts", 3, 3)
    assert run.resolve("s0", "retry") == ["resolved s0: retry", "request undo of s0"]
    assert run.ok("undo of s0")[-1] == "compensated"


def test_what_a_person_allows_is_counted_from_the_whole() -> None:
    run = Run.of(saga(action("a", undo_verify=False), action("b"), attempts=1))
    assert run.status == "compensated"
    run = Run.of(saga(action("a", undo_verify=False, undo_attempts=9), action("b"), attempts=2))
    run.ok("a")
    run.unavailable("undo of a")
    assert run.tick()[-1] == "parked undo: a (limit)"
    run.resolve("a", "retry")
    run.unavailable("undo of a")
    run.tick()
    run.unavailable("undo of a")
    assert run.tick()[-1] == "parked undo: a (limit)"
    assert limit_of(run) == ("attempts", 4, 4)


def test_behind_the_pivot_a_limit_parks() -> None:
    run = Run.of(saga(pivot("pay"), retriable("ship"), attempts=2))
    assert run.ok("pay") == ["pay succeeded", "limit: attempts", "parked forward: ship (limit)"]
    assert run.resolve("ship", "retry") == ["resolved ship: retry", "request ship"]
    assert run.ok("ship")[-1] == "completed"


def test_settling_may_use_the_reserve_but_no_more() -> None:
    run = Run.of(saga(action("a", key=True, attempts=9), attempts=3))
    run.unknown("a")
    assert run.tick() == ["request a again"]
    run.unknown("a")
    assert run.tick() == ["request a again"], "the reserve"
    run.unknown("a")
    assert run.tick() == ["limit: attempts", "parked forward: a (limit)"]
    assert run.resolve("a", "retry") == ["resolved a: retry", "request a again"]
    assert run.ok("a")[-1] == "completed"


def test_settling_in_the_drain_and_of_an_undo_ends_at_the_whole_limit() -> None:
    run = Run.of(saga(action("a", key=True, undo_verify=False, undo_attempts=9), attempts=3))
    run.cancel()
    run.unknown("a")
    run.tick()
    run.ok("a")
    run.unknown("undo of a")
    assert run.tick() == ["limit: attempts", "parked undo: a (limit)"]
    assert run.resolve("a", "retry") == ["resolved a: retry", "request undo of a again"]
    run.ok("undo of a")
    assert run.status == "compensated"
