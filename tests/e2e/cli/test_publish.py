"""`amends publish`: values, files, keys and headers; with --wait the exit code is how the run ended."""

import json
from typing import Any

import pytest

from tests.e2e.cli.conftest import REFUNDS, TOPIC, TRIGGERS, trigger
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)


def test_what_is_published_is_named_by_its_place(installation: Installation) -> None:
    first = installation.json("publish", TOPIC, "--json", json.dumps(trigger(1)), "--key", "A-1")
    assert first == {"topic": TOPIC, "published": 1, "records": [{"partition": 0, "offset": 0, "key": "A-1"}]}
    second = installation.json("publish", TOPIC, "--json", json.dumps(trigger(2)))
    assert second["records"] == [{"partition": 0, "offset": 1, "key": None}]
    assert installation.ok("publish", TOPIC, "--json", "{}") == f"✔ 1 record on {TOPIC} 0@2\n"


def test_each_line_of_a_file_is_a_value_whose_bytes_are_left_alone(installation: Installation) -> None:
    values = [b'{"a":  1.50}', b"\xff\xfe no JSON", b'"\xc3\xa9"']
    (installation.folder / "three.jsonl").write_bytes(b"\n".join(values) + b"\n")
    assert installation.json("publish", TOPIC, "--file", "three.jsonl")["published"] == 3
    assert [bytes(value) for (value,) in installation.rows('SELECT value FROM records ORDER BY "offset"')] == values


def test_all_lines_of_a_file_are_one_transaction(installation: Installation) -> None:
    installation.ok("store", "migrate")
    (installation.folder / "many.jsonl").write_bytes(b"{}\n" * 20_000)
    seen = set()
    with installation.running("publish", TOPIC, "--file", "many.jsonl") as publishing:
        while publishing.alive:
            seen.add(installation.count("records"))
    assert seen | {0, 20_000} == {0, 20_000}
    assert installation.count("records") == 20_000


def test_headers_travel_and_name_the_request(installation: Installation) -> None:
    body = json.dumps({"order_id": "A-1", "request_id": "in the body"})
    installation.ok("publish", TOPIC, "--json", body, "--idempotency-key", "H-1", "--header", "region=eu=west")
    (record,) = installation.json("topics", "tail", TOPIC)
    assert record["headers"] == [["region", "eu=west"], ["idempotency-key", "H-1"]]
    installation.ok("worker", REFUNDS, "--until-idle")
    assert installation.ok("runs", "list", "--key", "H-1").count("completed") == 1


ENDS: list[tuple[dict[str, Any], int]] = [
    (trigger(11), 0),
    (trigger(12, fail="mail"), 3),
    (trigger(13, fail="undo"), 4),
    (trigger(1), 0),
    (trigger(1) | {"order_id": "A-9"}, 7),
    ({"request_id": "R-14"}, 1),
]


def test_a_wait_ends_as_the_run_ended(played: Installation) -> None:
    with played.running("worker", REFUNDS):
        for value, code in ENDS:
            done = played.command("publish", TOPIC, "--json", json.dumps(value), "--wait", "-o", "json")
            assert done.code == code, (value, done)
            document = json.loads(done.out)
            assert len(document["outcomes"]) + len(document["dead_letters"]) == 1
            if document["dead_letters"]:
                (letter,) = document["dead_letters"]
                assert done.error.startswith(f"error AM5016: {TOPIC}:0:")
                assert done.error.endswith(f"see: amends dead-letters show {letter['n']}")


def test_a_wait_without_a_worker_times_out_and_says_where_to_look(installation: Installation) -> None:
    done = installation.command("publish", TOPIC, "--json", "{}", "--wait", "--timeout", "200ms")
    done.refused(5, "AM5015", f"amends triggers explain {TOPIC}:0:0")


EXPLAINED = [
    (f"{TOPIC}:0:0", "run"),
    (f"{TOPIC}:0:3", "duplicate"),
    (f"{TOPIC}:0:4", "conflict"),
    (f"{TOPIC}:0:5", "dead_letter"),
    ("refund/R-2", "run"),
]


@pytest.mark.parametrize(("where", "state"), EXPLAINED)
def test_a_trigger_s_fate_is_explained(played: Installation, where: str, state: str) -> None:
    fate = played.json("triggers", "explain", where)
    assert (list(fate), fate["state"]) == (["state", "saga_id", "n", "origin"], state)
    assert (fate["n"] is not None) == (state in {"conflict", "dead_letter"})
    assert (fate["saga_id"] is not None) == (state in {"run", "duplicate", "conflict"})


@pytest.mark.parametrize("where", [f"{TOPIC}:0:7", f"{TOPIC}:3:0", "no-such-topic:0:0"])
def test_a_record_that_nobody_has_seen_is_not_found(played: Installation, where: str) -> None:
    done = played.command("triggers", "explain", where, "-o", "json")
    assert (done.code, json.loads(done.out)["state"], done.err) == (6, "unknown", "")
    assert played.command("triggers", "explain", where).out.endswith("  ? nobody has seen such a record\n")


@pytest.mark.parametrize(
    "where", ["orders:0", "orders:x:1", "orders:0:-1", ":0:0", f"orders:0:{'9' * 20}", "orders:0:²"]
)
def test_what_is_no_place_is_refused_with_the_form_of_one(played: Installation, where: str) -> None:
    done = played.command("triggers", "explain", where)
    done.refused(2, "AM5005", repr(where), "write TOPIC:PARTITION:OFFSET like billing.refund-requested:0:118")


@pytest.mark.parametrize("key", ["R-1:0:0", "urn:shop:9"])
def test_a_run_whose_request_has_colons_in_its_key_is_no_place(played: Installation, key: str) -> None:
    played.ok("publish", TOPIC, "--json", json.dumps(trigger(1)), "--idempotency-key", key)
    played.ok("worker", REFUNDS, "--until-idle")
    assert played.json("triggers", "explain", f"refund/{key}")["origin"]["offset"] == len(TRIGGERS)


def test_a_topic_that_no_saga_listens_to_is_pointed_out_once_sagas_are_known(installation: Installation) -> None:
    before = installation.command("publish", "billing.refund-request", "--json", "{}")
    assert (before.code, before.err) == (0, "")
    installation.ok("worker", REFUNDS, "--until-idle")
    after = installation.command("publish", "billing.refund-request", "--json", "{}", "-o", "json")
    assert (after.code, json.loads(after.out)["records"][0]["offset"]) == (0, 1)
    assert after.err == (
        "warning: no saga that ran here listens to 'billing.refund-request'; did you mean 'billing.refund-requested'?\n"
    )
    assert installation.command("publish", TOPIC, "--json", "{}").err == ""
    explained = installation.ok("triggers", "explain", "billing.refund-request:0:1")
    assert explained.endswith("· not read yet: " + after.err.removeprefix("warning: "))


def test_a_trigger_that_nobody_has_read_is_pending(played: Installation) -> None:
    played.publish(TOPIC, trigger(8))
    assert played.json("triggers", "explain", f"{TOPIC}:0:7")["state"] == "pending"
