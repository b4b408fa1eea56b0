"""`amends forensics` and `--bundle`: the same answers as from the store, without a store or a network."""

import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cli.conftest import play
from tests.e2e.cli.test_replay import may_unshare
from tests.e2e.cli.test_subjects import ADA, TEXT
from tests.e2e.cli.test_subjects import APP as PEOPLE
from tests.e2e.cli.test_subjects import TOPIC as LETTERS
from tests.e2e.cli.test_subjects import trigger as letter
from tests.e2e.faults.installation import Installation, used_once

pytestmark = pytest.mark.timeout(240)

RUNS = ("refund/R-1", "refund/R-2", "refund/R-3")


def export(made: Installation) -> None:
    """Play, signing, and export what came of it."""
    signing = Installation(folder=made.folder, settings={"AMENDS_CHECKPOINT_KEY": "${file:key.pem}"})
    made.folder.joinpath("public").write_text(signing.json("audit", "keygen", "--to", "key.pem")["public_key"])
    play(signing)
    said = signing.json("forensics", "export", *RUNS, RUNS[0], "--to", "case.amends")
    made.folder.joinpath("said").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def _exported() -> Iterator[Path]:
    with used_once(export) as folder:
        yield folder


@pytest.fixture
def exported(_exported: Path, folder: Path) -> Installation:
    """A store, and the bundle `case.amends` of all its runs."""
    shutil.copytree(_exported, folder, dirs_exist_ok=True)
    return Installation(folder=folder)


@pytest.fixture
def elsewhere(exported: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Another place, which has the bundle and the public key, and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("case.amends", "public"):
        shutil.copy(exported.folder / name, folder / name)
    return Installation(folder=folder, settings={"AMENDS_STORE": "sqlite:////nowhere/amends.db"})


def test_it_says_what_it_wrote_and_opens_as_that(exported: Installation, elsewhere: Installation) -> None:
    said = json.loads((exported.folder / "said").read_text())
    assert said["size_bytes"] == (exported.folder / "case.amends").stat().st_size
    assert (said["runs"], said["entries"], said["signed"]) == (3, exported.count("events"), exported.count("events"))
    opened = elsewhere.json("forensics", "open", "case.amends", "--public-key", "public")
    assert (opened["ok"], opened["runs"], opened["entries"], opened["faults"]) == (True, 3, said["entries"], [])
    assert (opened["hash"], opened["signed"]["entries"]) == (said["hash"], said["entries"])
    assert opened["signed"]["signatures_checked"] is True
    assert sorted(each["idempotency_key"] for each in opened["held"]) == ["R-1", "R-2", "R-3"]


COMMANDS = [
    pytest.param(("runs", "show"), id="show"),
    pytest.param(("runs", "story"), id="story"),
    pytest.param(("runs", "events"), id="events"),
    pytest.param(("runs", "state"), id="state"),
    pytest.param(("replay",), id="replay"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_reads_from_the_bundle_as_from_its_store(
    exported: Installation, elsewhere: Installation, command: tuple[str, ...]
) -> None:
    for run in RUNS:
        for output in ("text", "json"):
            expected = exported.ok(*command, run, "-o", output)
            told = elsewhere.ok(*command, run, "-o", output, "--bundle", "case.amends")
            said = as_of_its_end if command == ("runs", "show") else str
            assert said(told) == said(expected)
    assert sorted(path.name for path in elsewhere.folder.iterdir()) == ["case.amends", "public"], "no store was made"


def as_of_its_end(shown: str) -> object:
    """What `runs show` says, but for what holds now: a bundle knows no worker and takes no commands."""
    if not shown.startswith("{"):
        return shown.rstrip("\n").split("\n\n")[:2]
    facts = json.loads(shown)
    facts["explanation"] = {key: facts["explanation"][key] for key in ("completed", "approved", "undo", "items")}
    return facts


def test_a_bundle_offers_no_commands(elsewhere: Installation) -> None:
    for run in RUNS:
        shown = json.loads(elsewhere.ok("runs", "show", run, "-o", "json", "--bundle", "case.amends"))
        assert shown["explanation"]["commands"] == []


@pytest.mark.skipif(not may_unshare(), reason="unshare(1) is not allowed here: run it as root or allow user namespaces")
@pytest.mark.parametrize("command", [*COMMANDS, pytest.param(("forensics", "open"), id="open")])
def test_it_needs_no_network(elsewhere: Installation, command: tuple[str, ...]) -> None:
    what = ("case.amends",) if command[0] == "forensics" else ("refund/R-2", "--bundle", "case.amends")
    alone = Installation(folder=elsewhere.folder, settings=elsewhere.settings, wrapper=("unshare", "-rn"))
    assert alone.ok(*command, *what) == elsewhere.ok(*command, *what)


def test_what_is_altered_is_refused_whatever_reads_it(elsewhere: Installation) -> None:
    file = elsewhere.folder / "case.amends"
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"R-2"', b'"R-9"', 1).replace(b'\\"R-2\\"', b'\\"R-9\\"', 1))
    assert file.read_bytes() != data
    for command in (("replay", "refund/R-1"), ("runs", "story", "refund/R-1")):
        elsewhere.command(*command, "--bundle", file).refused(1, "AM3021", "runs/", ".json")
    elsewhere.command("forensics", "open", file).refused(1, "AM3021", "runs/", ".json")


def test_a_run_that_is_not_in_it_and_a_file_that_is_not_there(elsewhere: Installation) -> None:
    elsewhere.command("replay", "refund/R-8", "--bundle", "case.amends").refused(6, "AM5010", "refund/R-8")
    elsewhere.command("runs", "show", "refund/R-1", "--at", "99", "--bundle", "case.amends").refused(6, "AM5012")
    elsewhere.command("forensics", "open", "nowhere").refused(2, "AM3024", "nowhere")
    elsewhere.command("forensics", "open", ".").refused(2, "AM3024")
    elsewhere.command("replay", "refund/R-1", "--bundle", "case.amends", "--from-topic").refused(2, "AM5005", "one of")
    bad = elsewhere.command("forensics", "open", "case.amends", "--public-key", "case.amends")
    bad.refused(2, "AM3011", "case.amends")


def test_an_export_overwrites_nothing_and_leaves_nothing(exported: Installation) -> None:
    exported.command("forensics", "export", *RUNS, "--to", "case.amends").refused(2, "AM3013", "case.amends")
    exported.command("forensics", "export", *RUNS, "--to", "no/case.amends").refused(2, "AM3014", "no/case.amends")
    exported.command("forensics", "export", "refund/R-8", "--to", "other.amends").refused(6, "AM5010", "refund/R-8")
    assert not [path for path in exported.folder.iterdir() if "other" in path.name or "partial" in path.name]


def test_a_store_that_was_tampered_with_is_exported_as_it_is_and_judged_on_opening(exported: Installation) -> None:
    exported.write("UPDATE events SET state = replace(cast(state AS text), 'R-2', 'R-9')")
    exported.ok("forensics", "export", *RUNS, "--to", "tampered.amends")
    opened = exported.command("forensics", "open", "tampered.amends", "--public-key", "public", "-o", "json")
    found = json.loads(opened.out)
    assert (opened.code, found["ok"]) == (1, False)
    assert {fault["fault"] for fault in found["faults"]} == {"hash", "payload"}
    shown = exported.command("forensics", "open", "tampered.amends")
    assert (shown.code, "✖ hash" in shown.out) == (1, True)


def test_heads_of_somebody_elses_copy_are_held_against_it(exported: Installation) -> None:
    copy = exported.folder / "heads.jsonl"
    copy.write_text(exported.ok("topics", "tail", "amends.checkpoints", "-o", "jsonl"))
    opening = ("forensics", "open", "case.amends", "--public-key", "public", "--checkpoints", copy)
    assert exported.json(*opening)["ok"]
    exported.write("DELETE FROM records WHERE topic = 'amends.checkpoints'")
    exported.ok("forensics", "export", *RUNS, "--to", "bare.amends")
    assert exported.json("forensics", "open", "bare.amends")["signed"]["entries"] == 0
    exported.ok("forensics", "export", *RUNS, "--to", "copied.amends", "--checkpoints", copy)
    again = exported.json("forensics", "open", "copied.amends", "--public-key", "public")
    assert again["signed"]["entries"] == again["entries"]


def test_any_program_unpacks_it(elsewhere: Installation) -> None:
    subprocess.run(["tar", "xf", "case.amends"], cwd=elsewhere.folder, check=True, timeout=20)
    lines = [
        json.loads(line)
        for file in elsewhere.folder.glob("runs/*/entries.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert len(lines) == elsewhere.json("forensics", "open", "case.amends")["entries"]


def test_what_is_sealed_goes_out_sealed_and_after_the_erasure_nothing_opens_it(folder: Path) -> None:
    settings = {"AMENDS_MASTER_KEY": "${env:MASTER}", "MASTER": b64encode(b"m" * 32).decode()}
    sealed = Installation(folder=folder, settings=settings)
    sealed.publish(LETTERS, letter(1), letter(2, fail="large"), letter(3, fail="refuse"))
    sealed.ok("worker", PEOPLE, "--until-idle")
    runs = [f"letter/R-{number}" for number in (1, 2, 3)]
    sealed.ok("forensics", "export", *runs, "--to", "before.amends")
    sealed.ok("subjects", "erase", ADA, "--reason", "asked to")
    sealed.ok("forensics", "export", *runs, "--to", "after.amends")
    for name in ("before.amends", "after.amends"):
        data = (folder / name).read_bytes()
        assert not [
            text for text in (TEXT, ADA) for each in (text.encode(), b64encode(text.encode())[:20]) if each in data
        ]
        opened = sealed.json("forensics", "open", name)
        assert (opened["ok"], opened["missing"]) == (True, [])
        assert opened["payloads"]["sealed"] > 0
        assert opened["payloads"]["external"] > 0
        assert "(sealed)" in sealed.ok("runs", "story", "letter/R-3", "--bundle", name)
        sealed.ok("replay", "letter/R-2", "--bundle", name)
