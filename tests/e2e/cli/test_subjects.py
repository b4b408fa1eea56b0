"""Whose data a run holds: sealed while it is kept, gone everywhere once its subject is erased, and the log verifies."""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

APP = Path(__file__).parent / "apps" / "people.py"
APPOINTMENTS = APP.with_name("appointments.py")
TOPIC = "letters"
ADA, BOB = "ada@example.org", "bob@example.org"
TEXT, OTHER = "come-to-the-analytical-engine", "bring-the-other-drawing"


def trigger(number: int, person: str = ADA, text: str = TEXT, **more: str) -> dict[str, Any]:
    return {"request_id": f"R-{number}", "order_id": f"L-{number}", "person": person, "text": text, **more}


@pytest.fixture
def sealed(folder: Path) -> Installation:
    settings = {"AMENDS_MASTER_KEY": "${env:MASTER}", "MASTER": b64encode(b"m" * 32).decode()}
    return Installation(folder=folder, settings=settings)


@pytest.fixture
def played(sealed: Installation) -> Installation:
    """Ada's runs: completed, with a large result, compensated after words of a participant; and one of Bob's."""
    sealed.publish(
        TOPIC,
        trigger(1),
        trigger(2, fail="large"),
        trigger(3, fail="refuse"),
        trigger(4, fail="once"),
        trigger(5, BOB, OTHER),
        trigger(1),
        trigger(2, text="another request"),
    )
    sealed.ok("worker", APP, "--until-idle")
    return sealed


def found(folder: Path, *texts: str) -> Iterator[str]:
    """Every file below in which any of the texts stands, as text or as JSON or base64 would spell it."""
    for file in folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for text in texts:
                spelled = (text.encode(), b64encode(text.encode())[: len(text)])
                yield from (f"{text} in {file.name}" for each in spelled if each in data)


def test_what_a_run_holds_is_sealed_in_the_log_and_open_to_who_has_the_master_key(played: Installation) -> None:
    for table in ("events", "blobs", "runs", "subjects"):
        data = repr(played.rows(f"SELECT * FROM {table}"))
        assert TEXT not in data, table
        assert ADA not in data, table
    entries = played.ok("audit", "tail", "-o", "jsonl")
    assert TEXT not in entries
    assert '"sealed":"s1.' in entries
    assert "sha256:" in entries
    assert json.loads(entries.splitlines()[0])["events"][0]["trigger"].startswith("hmac-sha256:")
    outcomes = played.outcomes()
    assert outcomes["R-1"]["result"] == {"text": f"Dear {ADA}, {TEXT}"}
    assert outcomes["R-3"]["failure"]["message"] == f"no post to {ADA}: {TEXT}"
    assert f"no post to {ADA}: {TEXT}" in played.ok("runs", "story", "letter/R-3")
    assert played.json("runs", "show", "letter/R-1")["trigger"]["duplicates"] == 1, "the same request is known again"
    assert [each["reason"] for each in played.dead_letters()] == ["conflict"], "and another one under its key as such"


def test_who_lacks_the_master_key_sees_that_it_is_sealed_and_everything_else(played: Installation) -> None:
    blind = {"AMENDS_MASTER_KEY": ""}
    shown = json.loads(played.command("runs", "show", "letter/R-1", "-o", "json", settings=blind).out)
    assert list(shown["result"]) == ["sealed"]
    assert "(sealed)" in played.command("runs", "story", "letter/R-3", settings=blind).out
    assert played.command("audit", "verify", settings=blind).code == 0
    played.command("worker", APP, "--until-idle", settings=blind).refused(2, "AM0331", "AMENDS_MASTER_KEY")
    other = {"MASTER": b64encode(b"n" * 32).decode()}
    played.command("worker", APP, "--until-idle", settings=other).refused(2, "AM0333")
    played.command("worker", APP, "--until-idle", settings={"MASTER": "no key"}).refused(2, "AM0332")


def test_nothing_of_an_erased_subject_is_found_anywhere_and_the_log_verifies(
    played: Installation, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    later.mkdir()
    played.ok("forensics", "export", "letter/R-1", "letter/R-2", "letter/R-3", "--to", later / "before.amends")
    assert "ada" in played.ok("subjects", "erase", ADA, "--reason", "asked to", "--as", "ops")
    played.ok("forensics", "export", "letter/R-1", "letter/R-2", "letter/R-3", "--to", later / "after.amends")
    played.ok("store", "backup", later / "copy.db")
    for topic in (TOPIC, "amends.audit", "amends.outcomes", "amends.dead-letters"):
        (later / topic).write_text(played.ok("topics", "tail", topic, "-o", "jsonl"))
    for command in ("show", "story", "events", "state"):
        for number in range(1, 5):
            (later / f"{command}-{number}").write_text(played.ok("runs", command, f"letter/R-{number}"))
    (later / "replay").write_text(played.ok("replay", "letter/R-3", "-o", "json"))
    assert list(found(played.database.parent, TEXT, ADA)) == []
    assert list(found(later, TEXT, ADA)) == []
    assert list(found(later, OTHER)), "the search finds what is there to be found"

    report = played.json("audit", "verify")
    assert (report["ok"], report["runs"]) == (True, 5)
    assert list(played.json("runs", "show", "letter/R-1")["result"]) == ["erased"]
    assert list(played.json("runs", "show", "letter/R-2")["result"]) == ["erased"], "a blob is as unreadable"
    assert "(erased)" in played.ok("runs", "story", "letter/R-3")
    assert played.outcomes()["R-3"]["failure"]["message"] == "(erased)"
    assert played.outcomes()["R-5"]["result"] == {"text": f"Dear {BOB}, {OTHER}"}, "others are untouched"

    played.ok("archive", "--before", "0s", "--to", later / "archive")
    assert list(found(later, TEXT, ADA)) == []
    for bundle in (later / "before.amends", later / "after.amends", *(later / "archive").iterdir()):
        assert played.command("forensics", "open", bundle).code == 0
    assert played.json("audit", "verify")["ok"]


def test_an_erasure_is_on_record_and_a_subject_that_comes_back_has_a_new_key(played: Installation) -> None:
    played.ok("subjects", "erase", ADA, "--reason", "asked to", "--as", "ops")
    played.publish(TOPIC, trigger(1), trigger(1, text="not the same"), trigger(6))
    played.ok("worker", APP, "--until-idle")

    rows = played.json("subjects", "list")
    assert {(each["subject"], each["runs"], each["erased_by"], each["reason"]) for each in rows} == {
        (ADA, 1, None, None),
        (BOB, 1, None, None),
        (None, 4, "ops", "asked to"),
    }
    assert len(played.json("runs", "list")) == 6, "an old request starts no second run"
    assert played.outcomes()["R-6"]["result"] == {"text": f"Dear {ADA}, {TEXT}"}
    assert list(played.json("runs", "show", "letter/R-1")["result"]) == ["erased"]
    played.command("runs", "rerun", "letter/R-1", "--reason", "again").refused(7, "AM0351")

    played.ok("subjects", "erase", ADA, "--reason", "asked to again")
    assert list(found(played.database.parent, TEXT, ADA)) == [], "nor do the repeated triggers stay"


def test_a_subject_with_an_open_run_is_not_erased_and_the_run_is_named(sealed: Installation) -> None:
    sealed.publish(TOPIC, trigger(1, fail="undo"))
    sealed.ok("worker", APP, "--until-idle")
    (parked,) = sealed.json("parked", "list")
    assert parked["why"] == f"no bin for {TEXT}"
    erase = ("subjects", "erase", ADA, "--reason", "asked to")

    sealed.command(*erase).refused(7, "AM0335", parked["saga_id"], "letter", "parked")

    (sealed.folder / "mended").touch()
    sealed.ok("parked", "resolve", "letter/R-1", "--step", "write", "--retry")
    sealed.ok("worker", APP, "--until-idle")
    assert sealed.outcomes()["R-1"]["status"] == "compensated", "what an open run holds survives a restart"
    sealed.ok(*erase)


def test_a_held_subject_is_not_erased(played: Installation) -> None:
    played.ok("subjects", "hold", ADA, "--reason", "case 17", "--as", "legal")
    erase = ("subjects", "erase", ADA, "--reason", "asked to")
    played.command(*erase).refused(7, "AM0336", "legal", "case 17")
    assert played.outcomes()["R-1"]["result"] == {"text": f"Dear {ADA}, {TEXT}"}
    played.ok("subjects", "release", ADA)
    played.ok(*erase)
    played.command("subjects", "erase", "nobody", "--reason", "r").refused(6, "AM0334", "nobody")


def test_doctor_says_whether_the_master_key_opens_what_is_sealed(played: Installation) -> None:
    other = b64encode(b"o" * 32).decode()
    for settings, code in (
        ({}, None),
        ({"MASTER": other}, "AM0333"),
        ({"MASTER": "short"}, "AM0332"),
        ({"AMENDS_MASTER_KEY": "${env:NOT_SET}"}, "AM2002"),
        ({"AMENDS_MASTER_KEY": ""}, "AMENDS_MASTER_KEY is not set, and subjects have data here"),
    ):
        found = json.loads(played.command("doctor", "-o", "json", settings=settings).out)
        (check,) = (each for each in found if each["check"] == "sealed data")
        assert (check["ok"], check["detail"].partition(":")[0] if code else None) == (code is None, code), settings


def test_messages_for_an_erased_subject_go_whether_they_were_taken_or_not(sealed: Installation) -> None:
    sealed.publish("invitations", {"request_id": "R-1", "person": ADA}, {"request_id": "R-2", "person": BOB})
    sealed.ok("worker", APPOINTMENTS, "--until-idle")
    sent: list[dict[str, Any]] = [
        {"correlation_key": key, "type": "Answer", "body": body}
        for key, body in (
            ("R-1", {"day": "never", "text": TEXT}),
            ("R-1", {"day": 1, "text": TEXT}),
            ("R-1", {"day": 2, "text": TEXT}),
            ("R-2", {"day": 3, "text": OTHER}),
        )
    ]
    sealed.publish("amends.messages", *sent)
    sealed.ok("worker", APPOINTMENTS, "--until-idle")
    sealed.ok("messages", "send", "R-1", "--type", "Answer", "--json", json.dumps({"text": TEXT}), "--id", "by-hand")
    assert [each["taken_by"] is None for each in sealed.json("messages", "list", "--key", "R-1")] == [True, True, False]
    assert sorted(each["status"] for each in sealed.json("runs", "list")) == ["completed", "completed"]

    sealed.ok("subjects", "erase", ADA, "--reason", "asked to")

    assert list(found(sealed.database.parent, TEXT, ADA)) == []
    read = [sealed.ok("topics", "tail", topic, "-o", "jsonl") for topic in ("amends.messages", "amends.dead-letters")]
    assert [(TEXT in each, OTHER in each) for each in read] == [(False, True), (False, False)]
    assert sealed.ok("messages", "list", "--key", "R-1").count("erased") == 2
    assert "was sent before" in sealed.ok("messages", "send", "R-1", "--type", "Answer", "--id", "by-hand")
    assert sealed.json("audit", "verify")["ok"]


def test_a_result_that_is_to_stay_sealed_is_sealed_on_the_topic_and_open_to_a_reader(sealed: Installation) -> None:
    sealing = Installation(folder=sealed.folder, settings={**sealed.settings, "SEAL_RESULT": "yes"})
    sealing.publish(TOPIC, trigger(1), trigger(3, fail="refuse"))
    sealing.ok("worker", APP, "--until-idle")

    published = sealing.ok("topics", "tail", "amends.outcomes", "-o", "jsonl")
    assert TEXT not in published
    assert "sealed" in published
    assert sealing.json("runs", "show", "letter/R-1")["result"] == {"text": f"Dear {ADA}, {TEXT}"}


def test_an_erasure_beside_a_running_worker_reaches_it(sealed: Installation) -> None:
    with sealed.running("worker", APP) as worker:
        worker.says("shards_gained")
        sealed.ok("publish", TOPIC, "--json", json.dumps(trigger(1)), "--wait")
        sealed.ok("subjects", "erase", ADA, "--reason", "asked to")
        sealed.ok("publish", TOPIC, "--json", json.dumps(trigger(2)), "--wait")
        erased, living = sorted(sealed.json("subjects", "list"), key=lambda each: each["erased_at"] is None)
        assert (erased["runs"], living["runs"]) == (1, 1)
        assert erased["key_id"] != living["key_id"]
    assert sealed.json("audit", "verify")["ok"]


def test_a_trigger_that_names_no_subject_is_a_dead_letter(sealed: Installation) -> None:
    sealed.publish(TOPIC, trigger(1, person=""))
    sealed.ok("worker", APP, "--until-idle")
    (letter,) = sealed.dead_letters()
    assert (letter["reason"], letter["path"]) == ("invalid", "person")
    assert os.fsencode(TEXT) not in repr(sealed.rows("SELECT state FROM events")).encode()


@pytest.mark.postgres
def test_on_postgresql_nothing_of_an_erased_subject_is_in_any_table(sealed: Installation, postgres: str) -> None:
    server = Installation(folder=sealed.folder, settings={**sealed.settings, "AMENDS_STORE": postgres})
    server.publish(TOPIC, trigger(1), trigger(2, fail="large"), trigger(3, fail="refuse"), trigger(5, BOB, OTHER))
    server.ok("worker", APP, "--until-idle")
    assert server.outcomes()["R-3"]["failure"]["message"] == f"no post to {ADA}: {TEXT}"
    server.ok("subjects", "erase", ADA, "--reason", "asked to")

    tables = [name for (name,) in server.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'amends'")]
    assert {"events", "subjects", "records", "messages", "dead_letters"} <= set(tables)
    held = {table: repr(server.rows(f"SELECT * FROM {table}")) for table in tables}
    assert [table for table, rows in held.items() if TEXT in rows or ADA in rows] == []
    assert [table for table, rows in held.items() if OTHER in rows] == ["records"]
    assert server.json("audit", "verify")["ok"]
    assert list(server.json("runs", "show", "letter/R-2")["result"]) == ["erased"]
    assert server.outcomes()["R-5"]["result"] == {"text": f"Dear {BOB}, {OTHER}"}
    assert server.json("archive", "--before", "0s")["runs"] == 4
    assert server.json("audit", "verify")["ok"]
