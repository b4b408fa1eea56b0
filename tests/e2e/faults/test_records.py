"""Whatever bytes arrive on a trigger topic: a dead letter with the reason, no run, no effect, and nobody waits."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import fastavro
import pytest
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

from tests.e2e.faults.installation import APPS, BOOKINGS, Installation

pytestmark = pytest.mark.timeout(60)

PARCELS: Final = APPS / "avro" / "parcels.py"
SCHEMA: Final = load_schema(str(APPS / "avro" / "bomb.avsc"))
CANONICAL: Final = to_parsing_canonical_form(SCHEMA)
FINGERPRINT: Final = bytes.fromhex(fingerprint(CANONICAL, "CRC-64-AVRO"))
HUGE_BYTES: Final = 100_000_000
KEPT_BYTES: Final = 65_536
MEMORY_MAX: Final = 2_000_000_000
"""Address space a worker may take while a record of 100 MB is on its topic."""


def avro(body: bytes) -> bytes:
    """In single-object encoding."""
    return b"\xc3\x01" + FINGERPRINT + body


def parcel(id_: str) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, {"id": id_, "nothings": [], "box": {"inner": None}})
    return avro(file.getvalue())


ENDLESS = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
"""The greatest long there is, as Avro writes it."""
JSON = {
    "binary garbage": (bytes(range(256)).replace(b"\n", b"") * 50, "undecodable"),
    "no UTF-8": (b'{"id": "\xff\xfe"}', "undecodable"),
    "half an object": (b'{"id": "x', "undecodable"),
    "no object": (b'["x"]', "undecodable"),
    "lists nested 400,000 deep": (b"[" * 400_000, "undecodable"),
    "objects nested 100,000 deep": (b'{"id":' * 100_000 + b"1" + b"}" * 100_000, "undecodable"),
    "nested 65 deep": (b'{"id":"x","how":' + b"[" * 65 + b"]" * 65 + b"}", "undecodable"),
    "NaN": (b'{"id": "x", "how": NaN}', "undecodable"),
    "a number without end": (b'{"id": ' + b"9" * 400_000 + b"}", "undecodable"),
    "an exponent without end": (b'{"id": "x", "how": 1e999999999}', "undecodable"),
    "a key twice": (b'{"id": "x", "id": "y"}', "undecodable"),
    "half a character": (b'{"id": "\\ud800"}', "undecodable"),
    "no key": (b'{"how": "x"}', "no_key"),
    "null as key": (b'{"id": null}', "no_key"),
    "an empty key": (b'{"id": ""}', "no_key"),
    "an object as key": (b'{"id": {}}', "invalid"),
    "another type": (b'{"id": "x", "how": 17}', "invalid"),
    "an unknown Avro schema": (b"\xc3\x0112345678abc", "unknown_schema"),
    "an id of no registry": (b"\x00\x00\x00\x00\x07abc", "undecodable"),
    "2 MB": (b'{"id": "x", "how": "' + b"y" * 2_000_000 + b'"}', "too_large"),
    "100 MB": (b'{"id": "x", "how": "' + b"y" * HUGE_BYTES + b'"}', "too_large"),
}
AVRO = {
    "a list of nothing without end": (avro(b"\x02x" + ENDLESS), "undecodable"),
    "a text without end": (avro(ENDLESS + b"x"), "undecodable"),
    "a block of less than nothing": (avro(b"\x02x\x01\x01"), "undecodable"),
    "boxes nested 400,000 deep": (avro(b"\x02x\x00" + b"\x02" * 400_000 + b"\x00"), "undecodable"),
    "a branch that is none": (avro(b"\x02x\x00\x7f"), "undecodable"),
    "cut short": (parcel("x")[:-1], "undecodable"),
    "something behind it": (parcel("x") + b"y", "undecodable"),
    "JSON where Avro is due": (b"\xc3\x01" + FINGERPRINT + b'{"id": "x"}', "undecodable"),
    "no byte of it": (avro(b""), "undecodable"),
}


@pytest.fixture(scope="module")
def flooded() -> Iterator[Installation]:
    """All of it between triggers that are in order, and a worker that may not take much memory."""
    with tempfile.TemporaryDirectory(prefix="amends-test-") as name:
        installation = Installation(folder=Path(name))
        installation.ledger.mkdir()
        shutil.copytree(PARCELS.parent, installation.folder / "apps")
        shutil.copy(BOOKINGS, installation.folder / "apps")
        values = [value for value, _ in JSON.values()]
        installation.publish("bookings", {"id": "before"}, *values, {"id": "behind"})
        values = [value for value, _ in AVRO.values()]
        installation.publish("parcels", parcel("before"), *values, parcel("behind"))
        bounded = replace(installation, wrapper=("prlimit", f"--as={MEMORY_MAX}"))
        with bounded.running("worker", "apps", "--until-idle") as worker:
            assert worker.ends().code == 0, worker.text
        yield installation


@pytest.fixture(scope="module")
def letters(flooded: Installation) -> dict[tuple[str, int], dict[str, Any]]:
    return {(letter["topic"], letter["offset"]): letter for letter in flooded.dead_letters()}


@pytest.mark.parametrize("what", JSON)
def test_json_that_is_none_is_a_dead_letter(letters: dict[tuple[str, int], dict[str, Any]], what: str) -> None:
    value, reason = JSON[what]
    letter = letters["bookings", 1 + list(JSON).index(what)]
    assert (letter["reason"], letter["size_bytes"]) == (reason, len(value)), letter
    assert len(letter["detail"]) <= 500


@pytest.mark.parametrize("what", AVRO)
def test_avro_that_is_none_is_a_dead_letter(letters: dict[tuple[str, int], dict[str, Any]], what: str) -> None:
    value, reason = AVRO[what]
    letter = letters["parcels", 1 + list(AVRO).index(what)]
    assert (letter["reason"], letter["size_bytes"]) == (reason, len(value)), letter


def test_nothing_else_came_of_them(flooded: Installation, letters: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert len(letters) == len(JSON) + len(AVRO)
    assert flooded.count("runs") == 4
    assert flooded.count("inbox") == 0
    assert flooded.effects() == {
        (id_, effect): count
        for id_ in ("before", "behind")
        for effect, count in (("hold", 1), ("charge", 1), ("deliver", 1))
    }
    assert {each["status"] for each in flooded.outcomes().values()} == {"completed"}
    assert flooded.json("audit", "verify", "--all")["ok"] is True


def test_of_what_is_too_large_the_beginning_is_kept(flooded: Installation) -> None:
    (kept,) = flooded.rows(f"SELECT length(value) FROM dead_letters WHERE size_bytes > {HUGE_BYTES}")
    assert kept == (KEPT_BYTES,)
    n = flooded.rows(f"SELECT n FROM dead_letters WHERE size_bytes > {HUGE_BYTES}")[0][0]
    with flooded.unchanged():
        assert flooded.command("dead-letters", "redrive", n).code == 7
