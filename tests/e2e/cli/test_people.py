"""What people decide: resolve what is parked, cancel, kill; each a wish in the inbox that the owner carries out."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli.conftest import REFUNDS, TOPIC, saga_id, trigger
from tests.e2e.faults.installation import WITHIN_S, Installation
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

PARKED = [
    *("saga_id", "saga", "business_key", "since", "phase", "step", "why"),
    *("undone", "remaining", "in_doubt", "commands", "savepoints"),
]


def test_what_is_parked_says_what_remains_and_what_a_person_may_do(played: Installation) -> None:
    (row,) = played.json("parked", "list")
    assert list(row) == PARKED
    assert row | {"saga_id": "", "since": ""} == {
        "saga_id": "",
        "saga": "refund",
        "business_key": "A-3",
        "since": "",
        "phase": "undo",
        "step": "reverse_charge",
        "why": "the ledger is closed",
        "undone": ["restock"],
        "remaining": ["reverse_charge"],
        "in_doubt": [],
        "commands": ["retry", "done_by_hand", "skip", "go_forward"],
        "savepoints": ["reverse_charge"],
    }
    told = played.json("parked", "show", "refund/R-3")
    explanation = told.pop("explanation")
    assert told == row
    assert [(each["path"], each["status"]) for each in explanation["undo"]["steps"]] == [
        ("restock", "done"),
        ("reverse_charge", "failed"),
    ]
    start = f"amends parked resolve {row['saga_id']} --step reverse_charge"
    assert [each["command"] for each in explanation["commands"]] == [
        f"{start} --retry",
        f'{start} --done-by-hand --evidence "…"',
        f'{start} --skip --reason "…"',
        f'{start} --go-forward --reason "…"',
        f'amends parked resolve {row["saga_id"]} --undo-to reverse_charge --reason "…"',
        f'amends runs kill {row["saga_id"]} --reason "…"',
    ]


def test_what_is_shown_fits_a_terminal_and_its_commands_can_be_copied(played: Installation) -> None:
    shown = played.ok("parked", "show", "refund/R-3")
    commands = shown.partition("a person may say now\n")[2]
    assert all(len(line) <= 80 for line in commands.splitlines())
    run = saga_id(played, "R-3")[:13]
    assert (
        f'      amends parked resolve {run} --step reverse_charge --done-by-hand \\\n        --evidence "…"\n'
    ) in commands
    assert all(len(line) <= 80 for line in played.ok("runs", "show", "refund/R-3").splitlines())


RESOLUTIONS = [
    pytest.param(("--retry",), "compensated", [], "readback", id="retry"),
    pytest.param(("--done-by-hand", "--evidence", "ticket 4711"), "compensated", [], "person", id="done by hand"),
    pytest.param(("--skip", "--reason", "we keep it"), "compensated", ["reverse_charge"], None, id="skip"),
]


def test_what_was_parked_last_is_listed_first(played: Installation) -> None:
    played.publish(TOPIC, trigger(30, fail="undo"))
    played.ok("worker", REFUNDS, "--until-idle")
    assert [row["business_key"] for row in played.json("parked", "list")] == ["A-30", "A-3"]
    played.ok("parked", "resolve", "refund/R-3", "--step", "reverse_charge", "--retry")
    played.ok("worker", REFUNDS, "--until-idle")
    assert [row["business_key"] for row in played.json("parked", "list")] == ["A-3", "A-30"]


@pytest.mark.parametrize(("decision", "status", "exposure", "verified_by"), RESOLUTIONS)
def test_a_decision_ends_the_run(
    played: Installation, decision: tuple[str, ...], status: str, exposure: list[str], verified_by: str | None
) -> None:
    (played.folder / "ledger-is-open").touch()
    resolve = ("parked", "resolve", "refund/R-3", "--step", "reverse_charge", *decision, "--as", "ines")
    assert played.json(*resolve) == {"saga_id": saga_id(played, "R-3"), "request": "resolve", "state": "requested"}
    assert played.count("inbox") == 1
    played.ok("worker", REFUNDS, "--until-idle")
    facts = played.json("runs", "show", "refund/R-3")
    assert (facts["status"], [each["step"] for each in facts["exposure"]]) == (status, exposure)
    assert facts["steps"][0]["undo"]["verified_by"] == verified_by
    assert "ines decided for reverse_charge" in played.ok("runs", "story", "refund/R-3")
    before, after = (each for each in played.json("outcomes") if each["idempotency_key"] == "R-3")
    assert (before["status"], after["supersedes"]) == ("parked", before["outcome_id"])


def test_going_forward_requests_everything_again(played: Installation) -> None:
    with played.running("worker", REFUNDS):
        done = played.command(
            *("parked", "resolve", "refund/R-3", "--step", "reverse_charge"),
            *("--go-forward", "--reason", "the mail is back", "--wait"),
        )
    assert done.code == 4, done  # it fails again, and its undo too
    events = played.json("runs", "events", "refund/R-3")
    raised = [event for event in events if event["type"] == "GenerationRaised" and event["why"] == "person"]
    assert {event["path"] for event in raised if event["direction"] == "forward"} == {"restock", "notify"}


def test_a_parked_run_is_undone_to_a_step_and_goes_forward_from_there(played: Installation) -> None:
    with played.running("worker", REFUNDS):
        done = played.command(
            *("parked", "resolve", "refund/R-3", "--undo-to", "reverse_charge"),
            *("--reason", "the mail is back", "--as", "ines", "--wait"),
        )
    assert done.code == 4, done  # it fails again, and its undo too
    told = played.ok("runs", "story", "refund/R-3")
    assert "ines decided: undo to reverse_charge, and go forward (the mail is back)" in told
    assert "forward again from reverse_charge" in told
    events = played.json("runs", "events", "refund/R-3")
    raised = [event for event in events if event["type"] == "GenerationRaised" and event["why"] == "person"]
    assert {event["path"] for event in raised if event["direction"] == "forward"} == {"restock", "notify"}


@pytest.mark.parametrize(
    ("run", "arguments", "refused"),
    [
        pytest.param("R-3", ("--undo-to", "restock"), (7, "AM0355", "undone already"), id="undone already"),
        pytest.param("R-3", ("--undo-to", "notify"), (7, "AM0355", "not done"), id="a step that failed"),
        pytest.param("R-3", ("--undo-to", "restok"), (6, "AM0356", "did you mean 'restock'?"), id="no such step"),
        pytest.param("R-1", ("--undo-to", "restock"), (7, "AM5013", "completed already"), id="not parked"),
        pytest.param("R-3", ("--undo-to", "restock", "--retry"), (2, "AM5005", "of its own"), id="two decisions"),
    ],
)
def test_what_cannot_be_undone_to_is_refused(
    played: Installation, run: str, arguments: tuple[str, ...], refused: tuple[int, str, str]
) -> None:
    played.command("parked", "resolve", f"refund/{run}", *arguments, "--reason", "try").refused(*refused)
    assert played.count("inbox") == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--undo-to", "reverse_charge"), "needs a reason"), (("--retry",), "name it with --step")],
)
def test_what_a_decision_lacks_is_said(played: Installation, arguments: tuple[str, ...], says: str) -> None:
    played.command("parked", "resolve", "refund/R-3", *arguments).refused(2, "AM5005", says)


def test_a_decision_that_is_waited_for_ends_as_the_run_ended(played: Installation) -> None:
    (played.folder / "ledger-is-open").touch()
    with played.running("worker", REFUNDS):
        done = played.command(
            *("parked", "resolve", "refund/R-3", "--step", "reverse_charge", "--retry", "--wait", "-o", "json")
        )
    assert (done.code, json.loads(done.out)["state"]) == (3, "done")


def test_a_wish_that_nobody_takes_is_left_and_the_wait_times_out(played: Installation) -> None:
    resolve = ("parked", "resolve", "refund/R-3", "--step", "reverse_charge", "--retry")
    played.command(*resolve, "--wait", "--timeout", "300ms").refused(5, "AM5015", "does a worker run?")
    assert played.count("inbox") == 1


def restocking(installation: Installation, number: int) -> None:
    """Publish a trigger whose second step waits for a file `go`, and wait until it does."""
    installation.publish(TOPIC, trigger(number, until="go"))
    wait_until(
        lambda: installation.count("runs", f"idempotency_key = 'R-{number}' AND version > 1") == 1,
        within_s=WITHIN_S,
        what="the step is under way",
        poll_s=0.05,
    )


@pytest.fixture
def go(played: Installation) -> Path:
    """Lets waiting steps go on."""
    return played.folder / "go"


def test_cancelling_undoes_what_was_done(played: Installation, go: Path) -> None:
    with played.running("worker", REFUNDS):
        restocking(played, 5)
        left = played.json("runs", "cancel", "refund/R-5", "--reason", "ordered twice", "--as", "ines")
        assert (left["request"], left["state"]) == ("cancel", "requested")
        wait_until(
            lambda: played.json("runs", "show", "refund/R-5")["status"] == "compensating",
            within_s=WITHIN_S,
            what="the run turns back",
            poll_s=0.1,
        )
        go.touch()
        played.ok("runs", "watch", "refund/R-5")
    facts = played.json("runs", "show", "refund/R-5")
    assert (facts["status"], facts["cause"], facts["exposure"]) == ("compensated", "cancelled", [])
    assert "↩ turning back by ines: ordered twice" in played.ok("runs", "story", "refund/R-5")
    assert not (played.folder / "world" / "reversed-A-5").exists()


def test_killing_stops_at_once_and_publishes_what_stays_in_the_world(played: Installation, go: Path) -> None:
    with played.running("worker", REFUNDS):
        restocking(played, 5)
        done = played.command("runs", "kill", "refund/R-5", "--reason", "gone for good", "--wait")
        go.touch()
    assert done.code == 9
    facts = played.json("runs", "show", "refund/R-5")
    assert (facts["status"], [each["step"] for each in facts["exposure"]]) == ("killed", ["reverse_charge", "restock"])
    assert (played.folder / "world" / "reversed-A-5").exists()
    assert played.outcomes()["R-5"]["status"] == "killed"


def rerun(run: str, *more: str) -> tuple[str, ...]:
    return ("runs", "rerun", run, "--reason", "the mail is back", "--as", "ines", *more)


def test_a_run_that_has_ended_is_run_again_with_the_same_trigger(played: Installation) -> None:
    former = saga_id(played, "R-1")
    left = played.json(*rerun("refund/R-1"))
    assert (list(left), left["request"], left["state"]) == (["saga_id", "request", "state"], "rerun", "requested")
    assert left["saga_id"] != former
    played.ok("worker", REFUNDS, "--until-idle")
    facts = played.json("runs", "show", "refund/R-1")
    assert (facts["saga_id"], facts["generation"], facts["status"]) == (left["saga_id"], 1, "completed")
    assert facts["rerun"] == {"former": former, "actor": "ines", "reason": "the mail is back"}
    assert f"of {former}, by ines: the mail is back" in played.ok("runs", "show", "refund/R-1")
    assert f"▸ by ines, of run {former}: the mail is back" in played.ok("runs", "story", "refund/R-1")
    assert "R-1 · generation 1" in played.ok("runs", "list", "--key", "R-1")
    assert ", generation 1" in played.ok("triggers", "explain", left["saga_id"])
    explained = played.ok("triggers", "explain", f"{TOPIC}:0:0")
    assert f"started run {former} (refund A-1)" in explained
    assert f"started run {left['saga_id']} (refund A-1, generation 1)" in explained
    outcomes = [each for each in played.json("outcomes") if each["idempotency_key"] == "R-1"]
    assert [(each["generation"], each["saga_id"]) for each in outcomes] == [(0, former), (1, left["saga_id"])]


def test_a_rerun_that_is_waited_for_ends_as_the_new_run_ended(played: Installation) -> None:
    with played.running("worker", REFUNDS):
        done = played.command(*rerun("refund/R-2", "--wait", "-o", "json"))
    assert (done.code, json.loads(done.out)["state"]) == (3, "done"), done  # its mail fails again
    assert [row["generation"] for row in played.json("runs", "list", "--key", "R-2")] == [1, 0]


def test_what_is_parked_is_not_run_again(played: Installation) -> None:
    played.command(*rerun("refund/R-3")).refused(7, "AM5013", "amends parked show")
    assert played.count("inbox") == 0


def test_a_run_that_was_run_again_leads_to_its_next_generation(played: Installation) -> None:
    former = saga_id(played, "R-1")
    played.json(*rerun(former))
    played.ok("worker", REFUNDS, "--until-idle")
    played.command(*rerun(former)).refused(7, "AM0350", "refund/R-1")
    played.ok(*rerun("refund/R-1"))
    played.ok("worker", REFUNDS, "--until-idle")
    assert [row["generation"] for row in played.json("runs", "list", "--key", "R-1")] == [2, 1, 0]


def test_of_two_wishes_to_run_a_request_again_one_begins_a_run(played: Installation) -> None:
    for _ in range(2):
        played.ok(*rerun("refund/R-1"))
    assert played.count("inbox") == 2
    played.ok("worker", REFUNDS, "--until-idle")
    assert [row["generation"] for row in played.json("runs", "list", "--key", "R-1")] == [1, 0]
    assert played.count("inbox") == 0


def test_a_worker_killed_in_a_rerun_leaves_it_to_the_next(played: Installation, go: Path) -> None:
    go.touch()
    played.publish(TOPIC, trigger(5, until="go"))
    played.ok("worker", REFUNDS, "--until-idle")
    go.unlink()
    with played.running("worker", REFUNDS) as worker:
        played.ok(*rerun("refund/R-5"))
        wait_until(
            lambda: played.count("runs", "idempotency_key = 'R-5' AND generation = 1 AND version > 1") == 1,
            within_s=WITHIN_S,
            what="the new run's step is under way",
            poll_s=0.05,
        )
        worker.kill()
    go.touch()
    played.ok("worker", REFUNDS, "--until-idle")
    facts = played.json("runs", "show", "refund/R-5")
    assert (facts["generation"], facts["status"], facts["exposure"]) == (1, "completed", [])
    played.ok("audit", "verify", "--all")


def test_a_worker_without_the_saga_leaves_a_rerun_to_one_that_has_it(played: Installation) -> None:
    played.ok(*rerun("refund/R-1"))
    played.ok("worker", str(Path(REFUNDS).with_name("orders.py")), "--until-idle", "--allow-missing")
    assert played.count("inbox") == 1
    played.ok("worker", REFUNDS, "--until-idle")
    assert [row["generation"] for row in played.json("runs", "list", "--key", "R-1")] == [1, 0]
