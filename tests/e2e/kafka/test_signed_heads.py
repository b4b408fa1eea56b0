"""Signed heads over Kafka and PostgreSQL, as people use them: made by the relay, verified, exported, checked for."""

import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.e2e.kafka.installation import ORDERS, Installation
from tests.e2e.kafka.senders import as_json, order, send

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def signing(on_postgres: Installation) -> Installation:
    """One whose runs are over, and whose heads are signed."""
    keys = json.loads(on_postgres.run("audit", "keygen", "--to", "key.pem", "-o", "json"))
    (on_postgres.folder / "public").write_text(keys["public_key"])
    made = replace(on_postgres, more={"AMENDS_CHECKPOINT_KEY": "${file:key.pem}"})
    for name, refuse in {"one": None, "two": "charge", "three": None}.items():
        send(made.address, made.orders, as_json(order(name, refuse=refuse)))
    made.run("worker", ORDERS, "--until-idle")
    (made.folder / "heads.jsonl").write_text(made.run("topics", "tail", made.own.checkpoints, "-o", "jsonl"))
    return made


def verified(signing: Installation, *way: object, code: int = 0) -> list[str]:
    found = signing.json("audit", "verify", "--public-key", "public", *way, code=code)
    return sorted({fault["fault"] for fault in found["faults"]})


def test_every_entry_is_signed_on_the_topic(signing: Installation) -> None:
    found = signing.json("audit", "verify", "--public-key", "public", "--from-topic")
    assert found["ok"]
    assert sum(each["signed"] for each in found["signed"]) == found["entries"] > 0
    assert verified(signing, "--checkpoints", "heads.jsonl") == []


def test_doctor_and_topics_check_know_the_topic(signing: Installation) -> None:
    by_name = {each["check"]: each for each in signing.json("doctor")}
    assert by_name["signed heads"]["ok"]
    assert signing.own.checkpoints in by_name["topics"]["detail"]
    assert signing.own.checkpoints in {each["topic"] for each in signing.json("topics", "check")}


def test_a_bundle_takes_its_signed_heads_from_the_topic(signing: Installation, tmp_path: Path) -> None:
    runs = [row["saga_id"] for row in signing.json("runs", "list")]
    said = signing.json("forensics", "export", *runs, "--to", tmp_path / "case.amends")
    assert said["signed"] == said["entries"] > 0
    opened = signing.json("forensics", "open", tmp_path / "case.amends", "--public-key", "public")
    assert (opened["ok"], opened["signed"]["entries"]) == (True, said["entries"])


def test_without_the_topic_a_bundle_has_no_signed_heads_and_says_so(signing: Installation, tmp_path: Path) -> None:
    (run, *_) = [row["saga_id"] for row in signing.json("runs", "list")]
    other = replace(signing, prefix=f"{signing.prefix}none-")
    said = other.run("forensics", "export", run, "--to", tmp_path / "case.amends", stderr=True)
    assert "no signed heads" in said
    assert signing.json("forensics", "open", tmp_path / "case.amends")["signed"]["heads"] == 0


def test_a_relay_whose_topic_is_missing_says_which(signing: Installation) -> None:
    other = replace(signing, prefix=f"{signing.prefix}other-")
    other.run("topics", "create", other.own.audit, "--partitions", 1)
    missing = replace(signing, prefix=f"{signing.prefix}gone-")
    said = missing.run("relay", code=2, stderr=True)
    assert "AM4104" in said
    assert missing.own.checkpoints in said


def test_a_run_that_was_taken_out_of_postgresql_is_found_by_the_copy(signing: Installation) -> None:
    with psycopg.connect(signing.store, options="-c search_path=amends", autocommit=True) as connection:
        taken_out = _taken_out(connection)
        try:
            assert signing.json("audit", "verify", "--all")["ok"], "no chain shows it"
            assert verified(signing, "--checkpoints", "heads.jsonl", code=1) == ["tail"]
        finally:
            connection.execute(taken_out)  # The others of this file look at the same installation, in any order.
    assert verified(signing, "--checkpoints", "heads.jsonl") == []


def _taken_out(connection: psycopg.Connection) -> bytes:
    """Take the first shard's entries and runs out; what puts them back."""
    (shard,) = connection.execute("SELECT shard FROM shards WHERE position > 0 ORDER BY shard LIMIT 1").fetchone() or ()
    first, last = shard << 48, (shard + 1) << 48
    rows = {
        b"events": b"notification_id >= %d AND notification_id < %d" % (first, last),
        b"runs": b"shard = %d" % shard,
        b"shards": b"shard = %d" % shard,
    }
    back = b"DELETE FROM shards WHERE %b;" % rows[b"shards"]
    for table, where in rows.items():
        connection.execute(b"CREATE TEMPORARY TABLE kept_%b AS SELECT * FROM %b WHERE %b" % (table, table, where))
        back += b"INSERT INTO %b SELECT * FROM kept_%b;" % (table, table)
    connection.execute(b"DELETE FROM runs WHERE %b" % rows[b"runs"])
    connection.execute(b"DELETE FROM events WHERE %b" % rows[b"events"])
    connection.execute(b"UPDATE shards SET position = 0, head = '' WHERE %b" % rows[b"shards"])
    return back
