"""`amends audit` and `amends outcomes`: the log as it is, and whether it is whole, from the store or from the topic."""

import hashlib
import json

import pytest

from tests.e2e.cli.conftest import lines, saga_id
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

VERIFIED = ["ok", "runs", "entries", "faults"]
WHERE = [pytest.param((), id="from the store"), pytest.param(("--from-topic",), id="from the topic")]


@pytest.mark.parametrize("where", WHERE)
def test_a_log_that_nobody_touched_is_whole(played: Installation, where: tuple[str, ...]) -> None:
    report = played.json("audit", "verify", "--all", *where)
    assert list(report) == VERIFIED
    assert report == {"ok": True, "runs": 3, "entries": played.count("events"), "faults": []}
    assert played.json("audit", "verify", "refund/R-2", *where)["runs"] == 1
    assert played.ok("audit", "verify", *where).startswith("✔ 3 runs, ")


def tampered(version: int, change: str) -> str:
    run = "(SELECT saga_id FROM runs WHERE idempotency_key = 'R-2')"
    place = f"WHERE originator_id = {run} AND originator_version = {version}"
    return f"DELETE FROM events {place}" if change == "delete" else f"UPDATE events SET state = {change} {place}"


ALTERED = "replace(cast(state AS text), 'R-2', 'R-9')"
TAMPERED = [
    pytest.param([tampered(1, ALTERED)], ("hash", 1), id="altered"),
    pytest.param([tampered(1, "delete")], ("gap", 1), id="deleted at the beginning"),
    pytest.param([tampered(3, "delete")], ("gap", 3), id="deleted in the middle"),
    pytest.param([tampered(2, "'{'")], ("undecodable", 2), id="garbage"),
]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("statements", "fault"), TAMPERED)
def test_what_was_changed_is_found_and_named(
    played: Installation, statements: list[str], fault: tuple[str, int], where: tuple[str, ...]
) -> None:
    whole = saga_id(played, "R-2")
    played.write(*statements)
    done = played.command("audit", "verify", "--all", *where, "-o", "json")
    report = json.loads(done.out)
    assert (done.code, report["ok"]) == (1, False)
    named = [(each["fault"], each["saga_id"], each["version"]) for each in report["faults"]]
    assert (fault[0], whole, fault[1]) in named, report["faults"]
    assert [list(each) for each in report["faults"]] == [["saga_id", "version", "fault", "detail"]] * len(named)
    one = played.command("audit", "verify", whole, *where)
    assert one.code == 1
    assert f"✖ {fault[0]}" in one.out
    assert played.command("audit", "verify", "refund/R-1", *where).code == 0, "the others are whole"


def test_a_tail_that_was_cut_off_is_found(played: Installation) -> None:
    whole = saga_id(played, "R-2")
    last = played.json("runs", "show", whole)["version"]
    played.write(tampered(last, "delete"))
    for which in (whole, "--all"):
        report = json.loads(played.command("audit", "verify", which, "-o", "json").out)
        assert ("gap", whole, last) in [(each["fault"], each["saga_id"], each["version"]) for each in report["faults"]]


def test_a_head_that_was_changed_is_found(played: Installation) -> None:
    played.write(f"UPDATE shards SET head = '{'0' * 64}'")
    done = played.command("audit", "verify", "-o", "json")
    (fault,) = json.loads(done.out)["faults"]
    assert (done.code, fault["fault"], fault["saga_id"]) == (1, "head", None)


def test_the_tail_is_the_entries_canonical_bytes_in_order(played: Installation) -> None:
    every = played.ok("audit", "tail", "-o", "jsonl").encode().splitlines()
    assert [bytes(state) for (state,) in played.rows("SELECT state FROM events ORDER BY rowid")] == every
    for line in every:
        entry = json.loads(line)
        body = line.replace(b'"hash":"%s",' % entry["hash"].encode(), b"")
        assert hashlib.sha256(body).hexdigest() == entry["hash"]


def test_a_limit_is_the_last_ones(played: Installation) -> None:
    every = played.ok("audit", "tail", "-o", "jsonl").splitlines()
    assert played.ok("audit", "tail", "-o", "jsonl", "--limit", "2").splitlines() == every[-2:]
    assert json.loads(played.ok("audit", "tail", "-o", "json", "--limit", "2")) == lines("\n".join(every[-2:]))
    assert len(played.json("outcomes")) == 3
    assert played.json("outcomes", "--limit", "1") == played.json("outcomes")[-1:]


def test_the_tail_of_one_run_is_its_chain(played: Installation) -> None:
    entries = lines(played.ok("audit", "tail", "refund/R-2", "-o", "jsonl"))
    assert {entry["saga_id"] for entry in entries} == {saga_id(played, "R-2")}
    assert [entry["version"] for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry["previous_hash"] for entry in entries] == ["", *(entry["hash"] for entry in entries[:-1])]


def test_an_outcome_names_the_head_of_its_run_s_chain(played: Installation) -> None:
    for outcome in played.json("outcomes"):
        last = lines(played.ok("audit", "tail", outcome["saga_id"], "-o", "jsonl"))[outcome["log_version"] - 1]
        assert outcome["log_hash"] == last["hash"]
