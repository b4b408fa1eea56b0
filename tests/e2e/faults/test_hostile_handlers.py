"""Handlers that keep their thread, loop or process: nobody else waits for them, and no effect is guessed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.faults.installation import BOOKINGS, STOPS_WITHIN_S, Installation
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(60)
INNOCENT = 20
KEEPING = [
    ("stalls", "hangs", "threads"),
    ("waits", "hangs", "bookings"),
    ("waits", "blocks its loop", "bookings"),
    ("waits", "is deaf", "bookings"),
]
"""A topic whose step keeps its thread or loop, how, and a topic whose steps run beside it."""
RESTARTS_MAX = 4


def let_go(installation: Installation, booking: str) -> None:
    (installation.folder / f"release-{booking}").touch()


def status(installation: Installation, booking: str) -> str:
    rows = installation.rows(f"SELECT status FROM runs WHERE idempotency_key = '{booking}'")
    return str(rows[0][0]) if rows else "none"


def has(installation: Installation, booking: str, *statuses: str) -> None:
    wait_until(
        lambda: status(installation, booking) in statuses,
        within_s=20,
        what=f"{booking} is {statuses}, not {status(installation, booking)}",
        poll_s=0.05,
    )


def innocent(installation: Installation, topic: str) -> Callable[[], bool]:
    installation.publish(topic, *({"id": f"fine {number}"} for number in range(INNOCENT)))
    return lambda: installation.count("runs", "status = 'completed' AND idempotency_key LIKE 'fine %'") == INNOCENT


@pytest.mark.parametrize(("topic", "how", "beside"), KEEPING)
def test_a_handler_that_cannot_be_stopped_keeps_nobody_waiting_and_its_run_parks(
    installation: Installation, topic: str, how: str, beside: str
) -> None:
    installation.publish(topic, {"id": "bad", "how": how})
    with installation.running("worker", BOOKINGS) as worker:
        wait_until(lambda: installation.count("events") > 1, within_s=20, what="the handler was called")
        all_fine = innocent(installation, beside)
        wait_until(all_fine, within_s=10, what="the others are done", poll_s=0.05)
        has(installation, "bad", "parked")
        (parked,) = installation.json("parked", "list")
        assert parked["in_doubt"] == [topic.removesuffix("s")]
        assert worker.stop() == 0
    assert installation.json("audit", "verify", "--all")["ok"] is True


def test_until_idle_does_not_wait_for_a_handler_that_never_returns(installation: Installation) -> None:
    installation.publish("waits", {"id": "a", "how": "is deaf"})
    installation.publish("stalls", {"id": "b"})
    with installation.running("worker", BOOKINGS, "--until-idle") as worker:
        ended = worker.ends()
    assert ended.code == 0, ended
    assert {row["business_key"] for row in installation.json("parked", "list")} == {
        run["business_key"] for run in installation.json("runs", "list")
    }
    assert ended.err.count("parked  ") == 2


def test_what_outlives_its_timeout_and_then_answers_is_believed(installation: Installation) -> None:
    installation.publish("stalls", {"id": "late"})
    with installation.running("worker", BOOKINGS) as worker:
        in_doubt = "SELECT count(*) FROM events WHERE instr(CAST(state AS TEXT), 'StepInDoubt')"
        wait_until(lambda: installation.rows(in_doubt)[0][0] > 0, within_s=20, what="it is in doubt", poll_s=0.05)
        let_go(installation, "late")
        has(installation, "late", "completed")
        assert worker.stop() == 0
    assert installation.effects() == {("late", "attempt"): 1, ("late", "stall"): 1}


def test_a_worker_stops_in_time_whatever_its_handlers_do(installation: Installation) -> None:
    installation.publish("threads", {"id": "b", "how": "leaves a thread"})
    installation.publish("stalls", {"id": "a"})
    installation.publish("waits", *({"id": how, "how": how} for how in ("hangs", "blocks its loop", "is deaf")))
    with installation.running("worker", BOOKINGS) as worker:
        wait_until(lambda: installation.count("runs") == 5, within_s=20, what="all have begun")
        has(installation, "b", "completed")
        assert worker.stop() == 0, f"within {STOPS_WITHIN_S} s"
    assert installation.json("audit", "verify", "--all")["ok"] is True


def deaths(folder: Path) -> int:
    file = folder / "deaths"
    return len(file.read_text()) if file.exists() else 0


def test_a_handler_that_kills_its_process_each_time_is_parked_as_poison_and_all_others_go_on(
    installation: Installation,
) -> None:
    fine = [{"id": f"fine {number}"} for number in range(INNOCENT)]
    installation.publish("deaths", *fine[:10], {"id": "poison", "how": "kills the process"}, *fine[10:])
    for _ in range(RESTARTS_MAX):
        with installation.running("worker", BOOKINGS, "--until-idle") as worker:
            assert worker.ends().code == -9
    with installation.running("worker", BOOKINGS, "--until-idle") as worker:
        assert worker.ends().code == 0, worker.text
    assert deaths(installation.folder) == RESTARTS_MAX
    outcomes = installation.outcomes()
    assert (outcomes["poison"]["status"], outcomes["poison"]["failure"]["kind"]) == ("parked", "poison")
    assert {outcomes[each["id"]]["status"] for each in fine} == {"completed"}
    assert installation.effects() == {(each["id"], "live"): 1 for each in fine}
    assert installation.json("audit", "verify", "--all")["ok"] is True


def test_whoever_comes_after_a_poison_waits_for_it_seconds_at_most(installation: Installation) -> None:
    installation.publish("deaths", {"id": "poison", "how": "kills the process"})
    with installation.running("worker", BOOKINGS) as worker:
        assert worker.ends().code == -9
    installation.publish("deaths", *({"id": f"fine {number}"} for number in range(INNOCENT)))
    codes = []
    while status(installation, "poison") != "parked":
        with installation.running("worker", BOOKINGS, "--until-idle") as worker:
            codes.append(worker.ends().code)
    assert codes == [-9, -9, -9, 0]
    assert installation.count("runs", "status = 'completed'") == INNOCENT
    assert installation.effects().total() == INNOCENT
