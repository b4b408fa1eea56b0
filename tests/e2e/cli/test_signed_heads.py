"""Signed heads on the embedded default: made by the worker, kept by somebody, held against a store that was changed."""

import json
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amends.schemas.chain import next_head
from amends.schemas.entry import Draft, decode, seal
from tests.e2e.cli.conftest import REFUNDS, TOPIC, play, trigger
from tests.e2e.faults.installation import Done, Installation, used_once

pytestmark = pytest.mark.timeout(240)

KEY = {"AMENDS_CHECKPOINT_KEY": "${file:key.pem}"}


def sign(made: Installation) -> None:
    """Make a key, play, go on a bit, and keep a copy of what was signed meanwhile."""
    signing = Installation(folder=made.folder, settings=KEY)
    made.folder.joinpath("public").write_text(signing.json("audit", "keygen", "--to", "key.pem")["public_key"])
    play(signing)
    signing.publish(TOPIC, trigger(7), trigger(8))
    signing.ok("worker", REFUNDS, "--until-idle")
    made.folder.joinpath("heads.jsonl").write_text(signing.ok("topics", "tail", "amends.checkpoints", "-o", "jsonl"))


@pytest.fixture(scope="module")
def _signed() -> Iterator[Path]:
    with used_once(sign) as folder:
        yield folder


@pytest.fixture
def signed(_signed: Path, folder: Path) -> Installation:
    shutil.copytree(_signed, folder, dirs_exist_ok=True)
    return Installation(folder=folder, settings=KEY)


def verify(installation: Installation, *more: object) -> Done:
    return installation.command("audit", "verify", "--public-key", "public", *more, "-o", "json")


def faults(done: Done) -> list[str]:
    found: dict[str, Any] = json.loads(done.out)
    assert done.code == (0 if found["ok"] else 1)
    return sorted({fault["fault"] for fault in found["faults"]})


def heads(installation: Installation) -> list[dict[str, Any]]:
    lines = installation.folder.joinpath("heads.jsonl").read_text().splitlines()
    return [json.loads(line)["data"] for line in lines]


WAYS = [
    pytest.param(("--checkpoints", "heads.jsonl"), id="a copy"),
    pytest.param(("--from-topic",), id="the topic"),
]


@pytest.mark.parametrize("way", WAYS)
def test_every_entry_of_a_store_that_stopped_in_order_is_signed(signed: Installation, way: tuple[str, ...]) -> None:
    done = verify(signed, *way)
    assert (done.code, done.err) == (0, "")
    count = signed.count("events")
    assert [(each["signed"], each["position"]) for each in json.loads(done.out)["signed"]] == [(count, count)]
    assert [each["position"] for each in heads(signed)][-1] == count
    assert len(heads(signed)) >= 2


def test_a_copy_may_hold_the_bare_heads_and_come_by_stdin(signed: Installation) -> None:
    bare = "\n\n".join(json.dumps(each) for each in heads(signed)).encode()
    done = signed.command("audit", "verify", "--public-key", "public", "--checkpoints", "-", stdin=bare)
    assert (done.code, "signed up to" in done.out) == (0, True)


def rewritten(installation: Installation, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> None:
    """What somebody does who can write to the store and knows the format: hash, link and number everything anew."""
    with closing(sqlite3.connect(installation.database)) as store, store:
        rows = store.execute("SELECT originator_id, state FROM events ORDER BY rowid").fetchall()
        left = change([(saga_id, bytes(state)) for saga_id, state in rows])
        columns = [row[1] for row in store.execute("PRAGMA table_info(events)")]
        head = ""
        ends: dict[str, tuple[int, str]] = {}
        old = {
            (row[columns.index("originator_id")], row[columns.index("originator_version")]): row
            for row in store.execute("SELECT * FROM events").fetchall()
        }
        store.execute("DELETE FROM events")
        first: dict[str, int] = {}
        for position, (saga_id, data) in enumerate(left, start=1):
            entry = decode(data)
            version, previous = ends.get(saga_id, (0, ""))
            fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "hash"}
            fields |= {"version": version + 1, "previous_hash": previous}
            sealed, hashed = seal(Draft(**fields))
            ends[saga_id] = (version + 1, hashed)
            head = next_head(head, hashed)
            row = dict(zip(columns, old[saga_id, version + 1], strict=True))
            row["state"] = sealed
            if "first" in row:
                row["first"] = first.setdefault(saga_id, position)
            if "rowid" in row:
                row["rowid"] = position
            for name, value in list(row.items()):
                if name in {"position", "notification_id"} and isinstance(value, int):
                    row[name] = position
            names = ", ".join(row)
            store.execute(f"INSERT INTO events ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        store.execute("UPDATE shards SET position = ?, head = ?", (len(left), head))
        kept = list(ends)
        store.execute(f"DELETE FROM runs WHERE saga_id NOT IN ({', '.join('?' * len(kept))})", kept)
        for saga_id, (version, _) in ends.items():
            store.execute("UPDATE runs SET version = ? WHERE saga_id = ?", (version, saga_id))


def without_a_run(rows: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [row for row in rows if row[0] != rows[0][0]]


def without_the_tail(rows: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return rows[:-1]


def with_another_story(rows: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    saga_id, data = rows[-1]
    return [*rows[:-1], (saga_id, data.replace(b'"cause":"', b'"cause":"not ', 1))]


REWRITINGS = [
    pytest.param(without_a_run, ["head", "tail"], id="a deleted run"),
    pytest.param(without_the_tail, ["tail"], id="a cut tail"),
    pytest.param(with_another_story, ["head"], id="a rewritten tail"),
]


@pytest.mark.parametrize(("change", "expected"), REWRITINGS)
def test_a_store_that_was_rewritten_in_one_piece_is_found_by_the_copy_alone(
    signed: Installation,
    change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]],
    expected: list[str],
) -> None:
    rewritten(signed, change)
    assert signed.json("audit", "verify", "--all")["ok"], "no chain shows it"
    assert faults(verify(signed, "--checkpoints", "heads.jsonl")) == expected


def test_a_changed_copy_another_key_and_another_store_are_named(signed: Installation) -> None:
    file = signed.folder / "heads.jsonl"
    original = file.read_text()
    last = heads(signed)[-1]
    other = signed.json("audit", "keygen", "--to", "other.pem")
    by_other = signed.command(
        "audit", "verify", "--public-key", other["public_key"], "--checkpoints", file, "-o", "json"
    )
    assert faults(by_other) == ["key"]
    both = ("audit", "verify", "--public-key", other["public_key"], "--public-key", "public", "--checkpoints", file)
    assert signed.command(*both).code == 0
    file.write_text(original + json.dumps({**last, "head": "0" * 64}) + "\n")
    assert faults(verify(signed, "--checkpoints", file)) == ["signature"]
    file.write_text(original + "no JSON\n")
    assert faults(verify(signed, "--checkpoints", file)) == ["undecodable"]
    file.write_text(original)
    signed.write("UPDATE store SET incarnation = 'another'")
    assert faults(verify(signed, "--checkpoints", file)) == ["store"]
    assert verify(signed, "--checkpoints", file, "--store-id", last["store"]).code == 0


def test_a_restored_backup_is_told_from_the_store_that_was_signed(signed: Installation) -> None:
    signed.ok("store", "backup", "earlier.db")
    signed.publish(TOPIC, trigger(9))
    signed.ok("worker", REFUNDS, "--until-idle")
    copy = signed.folder / "heads.jsonl"
    copy.write_text(signed.ok("topics", "tail", "amends.checkpoints", "-o", "jsonl"))
    former = heads(signed)[-1]["store"]
    signed.ok("store", "restore", "earlier.db")
    assert faults(verify(signed, "--checkpoints", copy)) == ["store"]
    assert faults(verify(signed, "--checkpoints", copy, "--store-id", former)) == ["tail"]


def test_a_store_that_was_put_back_behind_our_back_and_went_on_is_found(signed: Installation) -> None:
    former = signed.folder / "former"
    shutil.copytree(signed.folder / ".amends", former)
    signed.publish(TOPIC, trigger(10), trigger(11))
    signed.ok("worker", REFUNDS, "--until-idle")
    copy = signed.folder / "heads.jsonl"
    copy.write_text(signed.ok("topics", "tail", "amends.checkpoints", "-o", "jsonl"))
    shutil.rmtree(signed.folder / ".amends")
    shutil.copytree(former, signed.folder / ".amends")
    assert faults(verify(signed, "--checkpoints", copy)) == ["tail"]
    signed.publish(TOPIC, trigger(12))
    signed.ok("worker", REFUNDS, "--until-idle")
    with copy.open("a") as file:
        file.write(signed.ok("topics", "tail", "amends.checkpoints", "-o", "jsonl"))
    assert faults(verify(signed, "--checkpoints", copy)) == ["back", "tail"]
    signed.publish(TOPIC, *(trigger(number) for number in range(13, 16)))
    signed.ok("worker", REFUNDS, "--until-idle")
    assert signed.json("audit", "verify", "--all")["ok"], "no chain shows it"
    assert set(faults(verify(signed, "--checkpoints", copy))) >= {"back"}


def test_without_a_key_nothing_is_published_and_doctor_says_so(installation: Installation) -> None:
    play(installation)
    assert installation.ok("topics", "tail", "amends.checkpoints") == ""
    (check,) = (each for each in installation.json("doctor") if each["check"] == "signed heads")
    assert (check["ok"], "keygen" in check["hint"]) == (True, True)


def test_the_key_is_the_owners_alone_and_shown_nowhere(signed: Installation) -> None:
    file = signed.folder / "key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_text().splitlines()[1]
    shown = signed.ok("doctor") + signed.ok("config", "show") + (signed.folder / "heads.jsonl").read_text()
    assert secret not in shown
    assert secret.encode() not in signed.database.read_bytes()
    signed.command("audit", "keygen", "--to", "key.pem").refused(2, "AM3013", "key.pem")
    signed.command("audit", "keygen", "--to", "no/key.pem").refused(2, "AM3014", "no/key.pem")


BAD_KEYS = [
    pytest.param("${file:nowhere}", "AM2002", id="a file that is not there"),
    pytest.param("${file:public}", "AM3010", id="a public key"),
    pytest.param("key.pem", "AM5001", id="no reference"),
]


@pytest.mark.parametrize(("key", "error"), BAD_KEYS)
def test_a_key_that_cannot_be_read_is_said_at_the_start(signed: Installation, key: str, error: str) -> None:
    bad = {"AMENDS_CHECKPOINT_KEY": key}
    done = signed.command("worker", REFUNDS, "--until-idle", settings=bad)
    assert (done.code, done.error.partition(":")[0]) == (2, f"error {error}")
    if error != "AM5001":
        (check,) = (
            each
            for each in json.loads(signed.command("doctor", "-o", "json", settings=bad).out)
            if each["check"] == "signed heads"
        )
        assert not check["ok"]


def test_a_key_that_is_lost_later_stops_nothing_and_is_said_once(signed: Installation) -> None:
    moved = signed.folder / "moved.pem"
    with signed.running("worker", REFUNDS, settings={"AMENDS_CHECKPOINT_EVERY": "1s"}) as worker:
        worker.says("worker_started")
        (signed.folder / "key.pem").rename(moved)
        signed.publish(TOPIC, trigger(20))
        worker.says("heads_not_signed", text="AM2002")
        moved.rename(signed.folder / "key.pem")
        worker.says("heads_signed_again")
        assert worker.stop() == 0
        assert len(worker.events("heads_not_signed")) == 1
    assert signed.outcomes()["R-20"]["status"] == "completed"
    assert verify(signed, "--from-topic").code == 0


USAGES = [
    pytest.param(("--checkpoints", "heads.jsonl"), "AM5005", "--public-key", id="no key"),
    pytest.param(("--public-key", "public"), "AM5005", "--from-topic", id="no heads"),
    pytest.param(
        ("--public-key", "public", "--checkpoints", "heads.jsonl", "--from-topic"), "AM5005", "one of", id="heads twice"
    ),
    pytest.param(("R-1", "--public-key", "public", "--from-topic"), "AM5005", "RUN", id="one run"),
    pytest.param(("--public-key", "nowhere", "--from-topic"), "AM3011", "nowhere", id="a key that is not there"),
    pytest.param(("--public-key", "ed25519:", "--from-topic"), "AM3011", "ed25519:", id="half a key"),
    pytest.param(("--public-key", "public", "--checkpoints", "nowhere"), "AM3012", "nowhere", id="no copy"),
    pytest.param(("--public-key", "public", "--checkpoints", "ledger"), "AM3012", "ledger", id="a folder"),
    pytest.param(
        ("--public-key", "public", "--from-topic", "--store-id", "x"), "AM3012", "none of store x", id="no such store"
    ),
]


@pytest.mark.parametrize(("arguments", "error", "says"), USAGES)
def test_what_cannot_be_verified_is_no_success(
    signed: Installation, arguments: tuple[str, ...], error: str, says: str
) -> None:
    signed.command("audit", "verify", *arguments).refused(2, error, says)


def test_nobody_else_publishes_to_the_topic(signed: Installation) -> None:
    done = signed.command("publish", "amends.checkpoints", "--json", "{}")
    assert (done.code, bool(re.search("AM4201", done.err))) == (2, True)
