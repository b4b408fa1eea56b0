"""`amends dead-letters`: what could not become a run, and its way back."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import Batch
from tests.contract.stores.builders import letter
from tests.e2e.cli.conftest import REFUNDS, TOPIC, trigger
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

KEYS = [
    *("n", "topic", "partition", "offset", "key", "idempotency_key", "saga", "reason", "detail", "path", "saga_id"),
    *("size_bytes", "at", "redriven_at"),
]


def test_dead_letters_are_numbered_from_one_and_say_what_is_wrong_and_where(played: Installation) -> None:
    letters = played.json("dead-letters", "list")
    assert [list(letter) for letter in letters] == [KEYS] * 3
    assert [(letter["n"], letter["reason"], letter["offset"]) for letter in letters] == [
        (1, "conflict", 4),
        (2, "invalid", 5),
        (3, "undecodable", 6),
    ]
    assert letters[0]["saga_id"] == played.outcomes()["R-1"]["saga_id"]
    assert (letters[1]["path"], letters[1]["detail"]) == ("order_id", "Field required")
    assert "order_id: Field required" in played.ok("dead-letters", "list")


def test_a_dead_letter_is_shown_with_its_value_and_headers(played: Installation) -> None:
    played.ok("publish", TOPIC, "--json", '{"request_id": "\\u001b[31m"}', "--header", "from=\x1b[5mhere")
    played.ok("worker", REFUNDS, "--until-idle")
    shown = played.json("dead-letters", "show", "4")
    assert (shown["headers"], shown["value"]) == ([["from", "\x1b[5mhere"]], '{"request_id": "\\u001b[31m"}')
    text = played.ok("dead-letters", "show", "4")
    assert "\x1b" not in text, "a record must not steer the terminal of who looks at it"
    assert r"\x1b[5mhere" in text


def test_a_record_that_is_too_large_keeps_its_beginning_length_and_digest(installation: Installation) -> None:
    installation.publish(TOPIC, b'"' + b"x" * 1_500_000 + b'"')
    installation.ok("worker", REFUNDS, "--until-idle")
    (letter,) = installation.json("dead-letters", "list")
    assert (letter["reason"], letter["size_bytes"]) == ("too_large", 1_500_002)
    assert "sha256:" in letter["detail"]
    assert len(installation.json("dead-letters", "show", 1)["value"]) == 65_536
    installation.command("dead-letters", "redrive", 1).refused(7, "AM5031", "1500002 bytes")
    assert installation.json("dead-letters", "redrive", "--all") == []


def test_a_redrive_appends_the_original_as_a_new_record(played: Installation) -> None:
    (sent,) = played.json("dead-letters", "redrive", 2)
    assert sent == {"n": 2, "topic": TOPIC, "partition": 0, "offset": 7}
    tail = played.json("topics", "tail", TOPIC)
    assert (tail[7]["data"], tail[7]["headers"]) == (tail[5]["data"], tail[5]["headers"])
    assert played.json("dead-letters", "list")[1]["redriven_at"] is not None
    assert [each["n"] for each in played.json("dead-letters", "redrive", "--all")] == [1, 3]
    assert played.json("dead-letters", "redrive", "--all") == []


def test_a_redrive_after_the_reader_was_mended_becomes_a_run(played: Installation) -> None:
    mended = played.folder / "refunds.py"
    app = Path(REFUNDS).read_text(encoding="utf-8")
    mended.write_text(app.replace("    order_id: str\n", '    order_id: str = "A-0"\n'))
    played.ok("dead-letters", "redrive", 2)
    played.ok("worker", "refunds.py", "--until-idle")
    assert played.outcomes()["R-4"]["status"] == "completed"


def test_a_redrive_may_go_elsewhere(played: Installation) -> None:
    (sent,) = played.json("dead-letters", "redrive", 1, "--to", "elsewhere")
    assert (sent["topic"], sent["offset"]) == ("elsewhere", 0)
    (record,) = played.json("topics", "tail", "elsewhere")
    assert record["data"] == trigger(1) | {"order_id": "A-9"}
    assert json.loads(played.ok("dead-letters", "show", 1, "-o", "json"))["redriven_at"] is not None


PEAK = """import atexit, pathlib, sys
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text(), file=sys.stderr))
from amends.__main__ import main
main()"""


def peak_mb(installation: Installation, *arguments: str) -> float:
    """What the command needs of memory at most."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments, "-o", "json"],
        cwd=installation.folder,
        env=installation.environment({}),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    return int(peak_kb) / 1024


def test_however_much_the_dead_letters_hold_listing_and_redriving_them_needs_little_memory(
    installation: Installation,
) -> None:
    installation.ok("init")
    letters = tuple(letter(offset, value=os.urandom(900_000), size_bytes=900_000) for offset in range(160))
    small = peak_mb(installation, "dead-letters", "list")
    store = open_store(installation.store, data_dir=installation.folder)
    for start in range(0, 160, 20):
        store.append(Batch(dead_letters=letters[start : start + 20]))
    store.close()
    assert peak_mb(installation, "dead-letters", "list") < small + 20
    assert peak_mb(installation, "store", "status") < small + 20
    assert peak_mb(installation, "dead-letters", "redrive", "--all") < small + 80
    assert installation.count("records") == installation.count("dead_letters", "redriven_at IS NOT NULL") == 160
    assert len(installation.ok("dead-letters", "list").splitlines()) == 161
    assert len(installation.ok("dead-letters", "list", "-o", "jsonl").splitlines()) == 160
