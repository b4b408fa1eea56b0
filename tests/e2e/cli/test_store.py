"""`amends init|store|config|doctor|schemas|topics`: the things around the sagas."""

import json
import re
import stat
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import RelayWait
from tests.e2e.cli.conftest import REFUNDS, TOPIC
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)


def test_init_makes_the_store_and_a_file_that_changes_nothing(installation: Installation) -> None:
    before = installation.json("config", "show")
    assert installation.json("init") == {
        "store": "sqlite:///.amends/amends.db",
        "config": "amends.toml",
        "config_written": True,
    }
    assert stat.S_IMODE((installation.folder / ".amends").stat().st_mode) == 0o700
    assert installation.database.exists()
    assert installation.json("config", "show") == before
    assert installation.json("init")["config_written"] is False


def test_init_keeps_what_was_chosen(installation: Installation) -> None:
    installation.ok("init", "--namespace", "eu", "--lease", "5s", "--in-flight", "64")
    shown = {each["setting"]: each for each in installation.json("config", "show", "--origin")}
    assert {name: shown[name]["value"] for name in ("namespace", "lease", "in_flight")} == {
        "namespace": "eu",
        "lease": "5s",
        "in_flight": "64",
    }
    assert shown["namespace"]["origin"] == "amends.toml"


def test_a_file_that_holds_a_password_is_its_owner_s_alone(installation: Installation, postgres: str) -> None:
    file = installation.folder / "amends.toml"
    with_password = re.sub(r"//([^:@/]+)@", r"//\1:geheim@", postgres)
    installation.ok("init", "--store", with_password)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_line_of_the_written_file_may_be_uncommented(installation: Installation) -> None:
    installation.ok("init")
    file = installation.folder / "amends.toml"
    lines = [line.removeprefix("# ") if " = " in line else line for line in file.read_text().splitlines()]
    kept = [line for line in lines if not line.startswith(("kafka_user", "kafka_client_id", "build"))]
    file.write_text("\n".join(kept))
    installation.ok("config", "show")


def test_a_flag_outranks_the_environment_that_outranks_the_file(installation: Installation) -> None:
    (installation.folder / "amends.toml").write_text('namespace = "file"\nlog = "warning"\ntopic_prefix = "file"\n')
    done = installation.command(
        *("config", "show", "--origin", "--namespace", "flag", "-o", "json"),
        settings={"AMENDS_NAMESPACE": "environment", "AMENDS_TOPIC_PREFIX": "environment"},
    )
    shown = {each["setting"]: (each["value"], each["origin"]) for each in json.loads(done.out)}
    assert shown["namespace"] == ("flag", "flag --namespace")
    assert shown["topic_prefix"] == ("environment", "environment AMENDS_TOPIC_PREFIX")
    assert shown["log"] == ("warning", "amends.toml")
    assert shown["bus"] == ("local", "default")


def test_no_password_is_shown(installation: Installation) -> None:
    url = "postgresql://ann:geheim%21@127.0.0.1:9/shop"
    for command in (("config", "show"), ("doctor",), ("runs", "list")):
        done = installation.command(*command, "--store", url, "-o", "json")
        assert "geheim" not in done.out + done.err, command


def test_the_status_counts_what_the_store_holds(played: Installation) -> None:
    status = played.json("store", "status")
    assert (status["kind"], status["dead_letters"], status["definitions"]) == ("sqlite", 3, 1)
    assert status["runs_open"] == {"parked": 1}
    (shard,) = status["shards"]
    assert (shard["shard"], shard["owner"], shard["position"]) == (0, None, played.count("events"))


def test_a_backup_restores_what_was(played: Installation, tmp_path: Path) -> None:
    runs = played.ok("runs", "list", "-o", "jsonl")
    played.ok("store", "backup", "backup.db")
    played.command("store", "backup", "backup.db").refused(7, "AM0316", "backup.db")
    played.publish(TOPIC, {"request_id": "later", "order_id": "A-9"})
    played.ok("worker", REFUNDS, "--until-idle")
    incarnation = played.json("store", "status")["incarnation"]
    played.ok("store", "restore", "backup.db")
    assert played.ok("runs", "list", "-o", "jsonl") == runs
    assert played.json("store", "status")["incarnation"] != incarnation
    assert played.json("audit", "verify")["ok"] is True
    assert list((tmp_path / ".amends").glob("amends.db.before-restore-*"))


def test_a_restore_is_refused_while_a_worker_runs(played: Installation) -> None:
    played.ok("store", "backup", "backup.db")
    with played.running("worker", REFUNDS) as worker:
        worker.says("worker_started")
        worker.says("shards_gained")
        played.command("store", "restore", "backup.db").refused(7, "AM0311")


def test_the_doctor_says_of_each_thing_that_it_is_well(played: Installation) -> None:
    found = played.json("doctor")
    assert [list(each) for each in found] == [["check", "ok", "detail", "hint"]] * len(found)
    assert {each["check"] for each in found} >= {"store", "bus", "topics", "schemas", "clock", "disk", "versions"}
    assert all(each["ok"] for each in found)


def test_the_doctor_says_what_is_wrong_and_what_to_do(installation: Installation) -> None:
    done = installation.command("doctor", "--bus", "kafka://127.0.0.1:9", "-o", "json")
    bad = [each for each in json.loads(done.out) if not each["ok"]]
    assert done.code == 1
    assert {each["check"] for each in bad} == {"bus", "topics"}
    assert all(each["hint"] for each in bad)


def test_schemas_are_listed_exported_and_compatible(installation: Installation) -> None:
    listed = installation.json("schemas", "list")
    installation.ok("schemas", "export", "out/schemas")
    assert {each["file"] for each in listed} == {file.name for file in (installation.folder / "out/schemas").iterdir()}
    for file in (installation.folder / "out/schemas").iterdir():
        json.loads(file.read_text())
    assert installation.json("schemas", "check") == []


def test_a_schema_of_what_nothing_writes_yet_is_said_to_be_kept_for_later(installation: Installation) -> None:
    in_use = {each["name"]: each["in_use"] for each in installation.json("schemas", "list")}
    assert in_use == {"outcome": True, "review": False, "decision": False, "message": True, "entry": True}
    kept = [line.split()[0] for line in installation.ok("schemas", "list").splitlines() if "kept for later" in line]
    assert kept == ["review", "review", "decision", "decision"]


def test_on_the_local_bus_nothing_has_to_be_relayed_and_the_status_says_so(played: Installation) -> None:
    (shard,) = played.json("store", "status")["shards"]
    assert (shard["position"] > 0, shard["relayed"]) == (True, None)
    assert played.json("store", "status", "--bus", "kafka://127.0.0.1:9")["shards"][0]["relayed"] == 0
    text = played.ok("store", "status")
    assert "\nrelay         not needed: local topics are read from the log itself\n" in text
    assert text.split()[-2:] == [str(shard["position"]), "-"]


@pytest.mark.parametrize("form", ["avro", "json"])
def test_the_outcome_topic_is_decoded_whatever_its_format(played: Installation, form: str) -> None:
    records = played.json("topics", "tail", "amends.outcomes", "--topic-format", form)
    assert [record["encoding"] for record in records] == [form] * 3
    for record, outcome in zip(records, played.json("outcomes"), strict=True):
        assert record["key"] == outcome["business_key"]
        result = record["data"]["result"]
        same = {**record["data"], "result": json.loads(result) if isinstance(result, str) else result}
        assert same == outcome


def test_the_audit_topic_carries_the_entries(played: Installation) -> None:
    records = played.json("topics", "tail", "amends.audit")
    entries = [json.loads(line) for line in played.ok("audit", "tail", "-o", "jsonl").splitlines()]
    assert [record["data"] for record in records] == entries
    assert [record["key"] for record in records] == [entry["saga_id"] for entry in entries]


def test_topics_are_checked_and_on_the_local_bus_made_by_themselves(played: Installation) -> None:
    assert played.ok("topics", "check") == f"✔  {TOPIC}  a table in the store\n"
    assert played.json("topics", "create", REFUNDS) == [{"topic": TOPIC, "created": False}]


def test_the_status_says_what_the_relay_stands_still_before_and_why(played: Installation) -> None:
    at = 1_795_262_527_110_000
    store = open_store(played.store, data_dir=played.folder)
    store.relay_waits_at(RelayWait(shard=0, position=3, why="AM4107: a record of 2097210 bytes", since=at))
    store.relay_waits_at(RelayWait(shard=None, position=2, why="AM4108: not allowed", since=at))
    store.close()
    on_kafka = ("store", "status", "--bus", "kafka://127.0.0.1:9")
    assert played.json(*on_kafka)["relay_waits"] == [
        {"shard": None, "position": 2, "since": "2026-11-21T12:02:07.110000Z", "why": "AM4108: not allowed"},
        {"shard": 0, "position": 3, "since": "2026-11-21T12:02:07.110000Z", "why": "AM4107: a record of 2097210 bytes"},
    ]
    text = played.ok(*on_kafka)
    assert "! the relay waits before dead letter 2 since 2026-11-21T12:02:07.110000Z: AM4108: not allowed\n" in text
    assert "! the relay waits before shard 0 at 3 since" in text
    assert "the relay waits" not in played.ok("store", "status")
