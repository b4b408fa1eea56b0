"""`amends runs`: lists, facts, stories, events, states, as text for people and as JSON with stable keys."""

import json

import pytest

from amends.schemas.canonical import encode
from tests.e2e.cli.conftest import REFUNDS, TOPIC, lines, saga_id, trigger
from tests.e2e.faults.installation import WITHIN_S, Installation
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

LISTED = [
    *("saga_id", "saga", "definition_version", "idempotency_key", "business_key", "generation", "status", "cause"),
    *("started_at", "updated_at", "ended_at", "version", "proof"),
]
SHOWN = [
    *LISTED,
    *("trigger", "steps", "waiting_for", "parked", "exposure", "result", "failure"),
    *("cost_usd", "expectations", "verifications", "rerun", "checkpoints", "locks", "explanation"),
]
STATUSES = {"R-1": ("completed", None), "R-2": ("compensated", "failed"), "R-3": ("parked", "failed")}


def test_the_list_has_the_contract_s_keys_and_the_newest_run_first(played: Installation) -> None:
    rows = played.json("runs", "list")
    assert [list(row) for row in rows] == [LISTED] * 3
    assert {row["idempotency_key"]: (row["status"], row["cause"]) for row in rows} == STATUSES
    starts = [row["started_at"] for row in rows]
    assert starts == sorted(starts, reverse=True)


def test_jsonl_is_the_same_objects_a_line_each(played: Installation) -> None:
    assert lines(played.ok("runs", "list", "-o", "jsonl")) == played.json("runs", "list")


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (("--status", "parked"), {"R-3"}),
        (("--status", "running"), set()),
        (("--status", "quarantined"), set()),
        (("--saga", "refund"), {"R-1", "R-2", "R-3"}),
        (("--saga", "shipping"), set()),
        (("--key", "R-2"), {"R-2"}),
        (("--key", "A-1"), {"R-1"}),
        (("--since", "2h"), {"R-1", "R-2", "R-3"}),
        (("--since", "2999-01-01T00:00:00Z"), set()),
        (("--status", "completed", "--key", "A-2"), set()),
    ],
    ids=lambda each: " ".join(sorted(each)) if isinstance(each, set) else " ".join(each),
)
def test_filters_narrow_the_list(played: Installation, filters: tuple[str, ...], keys: set[str]) -> None:
    assert {row["idempotency_key"] for row in played.json("runs", "list", *filters)} == keys


def test_a_limit_keeps_the_newest(played: Installation) -> None:
    every = played.json("runs", "list")
    assert played.json("runs", "list", "--limit", "2") == every[:2]


def test_the_list_for_people_says_status_by_symbol_and_word_without_color(played: Installation) -> None:
    head, *rows = played.ok("runs", "list").splitlines()
    assert head.split() == ["started", "(UTC)", "status", "saga", "business", "key", "request", "took", "run"]
    assert {row.split()[2]: row.split()[3].rstrip(",") for row in rows} == {
        "✔": "completed",
        "↩": "compensated",
        "‖": "parked",
    }
    assert "\x1b" not in "".join(rows)


def test_the_facts_of_a_run_have_the_contract_s_keys(played: Installation) -> None:
    facts = played.json("runs", "show", "refund/R-2")
    assert list(facts) == SHOWN
    assert facts["trigger"] | {"origins": None} == {
        "topic": "billing.refund-requested", "partition": 0, "offset": 1, "duplicates": 0, "origins": None,
    }  # fmt: skip
    assert [list(step) for step in facts["steps"]] == [["path", "kind", "status", "attempts", "failure", "undo"]] * 4
    assert [(step["path"], step["status"], step["attempts"]) for step in facts["steps"]] == [
        ("reverse_charge", "done", 1),
        ("restock", "done", 1),
        ("notify", "failed", 2),
        ("result", "pending", 0),
    ]
    assert facts["steps"][0]["undo"] == {"status": "done", "attempts": 1, "verified_by": "readback"}
    assert facts["steps"][1]["undo"] == {"status": "done", "attempts": 1, "verified_by": "reply"}
    assert facts["failure"] == {"step": "notify", "attempt": 2, "kind": "unavailable", "message": "mail 503"}
    assert (facts["exposure"], facts["cost_usd"]) == ([], "0")


def test_a_duplicate_is_counted_on_its_run_with_its_origin(played: Installation) -> None:
    facts = played.json("runs", "show", "refund/R-1")
    assert facts["result"] == {"id": "rev-A-1"}
    assert facts["trigger"]["duplicates"] == 1
    assert [origin["offset"] for origin in facts["trigger"]["origins"]] == [0, 3]


def test_a_run_has_three_names(played: Installation) -> None:
    whole = saga_id(played, "R-1")
    by_key = played.ok("runs", "show", "refund/R-1")
    assert played.ok("runs", "show", whole) == by_key
    assert played.ok("runs", "show", whole[:13]) == by_key
    assert played.ok("runs", "show", whole[:13].upper()) == by_key


def test_a_story_tells_the_undo_and_what_is_left(played: Installation) -> None:
    told = played.ok("runs", "story", "refund/R-2").splitlines()
    shown = played.ok("runs", "show", "refund/R-2").splitlines()
    assert next(line for line in shown if " restock " in line).endswith("↩ undone, by its reply")
    assert next(line for line in shown if " reverse_charge " in line).endswith("↩ undone, verified")
    assert told[0].startswith("refund v3 · order A-2 · ↩ compensated in ")
    assert [line.split()[1] for line in told[1:5]] == ["trigger", "reverse_charge", "restock", "notify"]
    assert told[4].endswith("notify           ✖ unavailable, 2 attempts: mail 503")
    assert told[5].endswith("  ↩ restock         ✔ undone, by the participant's reply alone")
    assert told[6].endswith("  ↩ reverse_charge  ✔ undone, verified")
    assert played.json("runs", "story", "refund/R-2")["story"] == told


def test_events_are_addressed_by_run_version_and_index(played: Installation) -> None:
    events = lines(played.ok("runs", "events", "refund/R-1", "-o", "jsonl"))
    assert [list(event)[:5] for event in events] == [["saga_id", "version", "index", "at", "type"]] * len(events)
    assert events[0]["type"] == "SagaStarted"
    assert events[-1]["type"] == "SagaCompleted"
    places = [(event["version"], event["index"]) for event in events]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


def test_a_state_is_canonical_json_of_any_version(played: Installation) -> None:
    last = played.ok("runs", "state", "refund/R-1", "-o", "json").encode().rstrip(b"\n")
    assert encode(json.loads(last)) == last
    versions = json.loads(last)["version"]
    statuses = [played.json("runs", "state", "refund/R-1", "--at", n)["status"] for n in (1, versions)]
    assert statuses == ["running", "completed"]


@pytest.mark.parametrize("command", ["show", "story", "events"])
def test_a_run_can_be_seen_as_it_was(played: Installation, command: str) -> None:
    before = played.ok("runs", command, "refund/R-2", "--at", "2")
    assert "SagaCompensated" not in before
    assert "compensated" not in before
    assert "compensated" in played.ok("runs", command, "refund/R-2").lower()


def test_watching_a_run_ends_with_it(played: Installation) -> None:
    watched = lines(played.ok("runs", "watch", "refund/R-1", "-o", "jsonl"))
    assert watched == lines(played.ok("runs", "events", "refund/R-1", "-o", "jsonl"))


RUINED = [
    pytest.param("UPDATE events SET state = 'garbage'", 2, id="changed"),
    pytest.param("DELETE FROM events", 1, id="without its beginning"),
    pytest.param("DELETE FROM events", 2, id="with a hole"),
]


@pytest.mark.parametrize(("statement", "version"), RUINED)
def test_a_history_that_was_changed_is_named_instead_of_told(
    played: Installation, statement: str, version: int
) -> None:
    whole = saga_id(played, "R-2")
    played.write(f"{statement} WHERE originator_id = '{whole}' AND originator_version = {version}")
    for command in ("show", "story", "events", "state", "watch"):
        told = f"version {version} of run {whole}"
        played.command("runs", command, whole).refused(1, "AM5041", told, "audit verify")
    assert len(played.json("runs", "list")) == 3
    assert {outcome["idempotency_key"] for outcome in played.json("outcomes")} == {"R-1", "R-3"}


@pytest.mark.parametrize(("statement", "version"), RUINED)
def test_a_run_that_cannot_be_folded_is_quarantined_visibly_and_hides_no_other(
    played: Installation, statement: str, version: int
) -> None:
    whole = saga_id(played, "R-3")
    played.write(f"{statement} WHERE originator_id = '{whole}' AND originator_version = {version}")
    listed = played.command("parked", "list", "-o", "json")
    assert (listed.code, json.loads(listed.out)) == (0, [])
    assert listed.error.startswith(f"error AM5041: version {version} of run {whole}")
    played.publish(TOPIC, trigger(8))
    done = played.command("worker", REFUNDS, "--until-idle")
    assert done.code == 0
    assert f"quarantined  {whole}  refund A-3" in done.err.splitlines()
    statuses = {row["idempotency_key"]: row["status"] for row in played.json("runs", "list")}
    assert statuses == {"R-1": "completed", "R-2": "compensated", "R-3": "quarantined", "R-8": "completed"}
    assert [row["saga_id"] for row in played.json("runs", "list", "--status", "quarantined")] == [whole]
    assert played.json("runs", "list", "--status", "parked") == []
    assert played.json("store", "status")["runs_open"] == {"quarantined": 1}
    for wish in (("runs", "kill", whole, "--reason", "x"), ("parked", "show", whole)):
        played.command(*wish).refused(7, "AM5013", "quarantined")
    assert played.count("inbox") == 0


def test_a_wish_that_comes_before_the_quarantine_is_kept_and_who_waits_is_told(played: Installation) -> None:
    whole = saga_id(played, "R-3")
    of_entry = f"WHERE originator_id = '{whole}' AND originator_version = 2"
    ((entry,),) = played.rows(f"SELECT CAST(state AS TEXT) FROM events {of_entry}")
    wish = ("parked", "resolve", whole, "--step", "reverse_charge", "--retry")
    with played.running(*wish, "--wait") as waiting:
        wait_until(lambda: played.count("inbox") == 1, within_s=WITHIN_S, what="the wish is left")
        played.write(f"UPDATE events SET state = 'garbage' {of_entry}")
        assert played.command("worker", REFUNDS, "--until-idle").code == 0
        ended = waiting.ends()
    assert (ended.code, "the wish is kept for a worker that can read the run" in ended.err) == (7, True)
    assert played.count("inbox") == 1
    quoted = entry.replace("'", "''")
    played.write(f"UPDATE events SET state = CAST('{quoted}' AS BLOB) {of_entry}")
    (played.folder / "ledger-is-open").touch()
    played.ok("worker", REFUNDS, "--until-idle")
    assert played.count("inbox") == 0
    assert played.json("runs", "show", whole)["status"] == "compensated"
    assert played.json("audit", "verify", whole)["ok"]


def test_a_worker_that_ends_when_idle_says_what_it_still_waits_for(installation: Installation) -> None:
    installation.publish(TOPIC, trigger(1, until="go"))
    with installation.running("worker", REFUNDS, "--until-idle") as worker:
        (told, *_) = worker.says("runs_under_way")
        assert (told["runs"], told["saga_id"], told["status"]) == (1, saga_id(installation, "R-1"), "running")
        (installation.folder / "go").touch()
        assert worker.ends().code == 0
