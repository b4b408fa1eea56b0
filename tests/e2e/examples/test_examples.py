"""Every example runs as its README says."""

import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import amends
from amends import Saga
from amends.coordinator.definition.loading import check_app
from amends.coordinator.definition.steps import Action, Undo
from amends.examples import playing
from tests.docs.console import alike, play
from tests.docs.pages import ROOT, blocks

EXAMPLES = ROOT / "examples"
NAMES = playing.names()
TOUR = "01_first_saga"


def sources(name: str) -> list[Path]:
    return sorted(each for each in (EXAMPLES / name).iterdir() if each.is_file() and each.name != "README.md")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_what_its_readme_says(name: str, tmp_path: Path) -> None:
    for file in sources(name):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    wrong = play(EXAMPLES / name / "README.md", tmp_path)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_one_saga_file_that_keeps_every_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (saga,) = [file for file in sources(name) if file.suffix == ".py" and "Saga(" in file.read_text()]
    monkeypatch.chdir(saga.parent)
    assert check_app(saga.name) == []


@pytest.mark.parametrize("name", ["4", "04", "pivot_and_follow_up", "04_pivot_and_follow_up"])
def test_an_example_is_known_by_its_number_its_folder_or_the_rest(name: str) -> None:
    assert playing.named(name) == playing.HERE / "04_pivot_and_follow_up"


@pytest.mark.parametrize("name", ["", "0", "00", "04_pivot", "_pivot_and_follow_up", "pivot"])
def test_what_names_no_example_is_none(name: str) -> None:
    assert playing.named(name) is None


def test_the_example_of_everything_uses_every_construct() -> None:
    told = (EXAMPLES / "90_everything" / "festival.py").read_text()
    constructs = {
        name
        for kind in (Saga, Action, Undo)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in {"close", "check", "examined"}
    }
    assert constructs >= {"action", "expect", "for_each", "follow_up", "lookup", "loop", "verify", "wait_until"}
    assert {name for name in constructs if f".{name}" not in told} == set()
    assert {name for name in amends.__all__ if not re.search(rf"\b{name}\(|: {name}\b|\| {name}\b", told)} == {
        "Http",  # connectors have an example of their own
        "Smtp",
        "testing",
    }


def test_examples_are_numbered_in_one_row_and_the_index_lists_each() -> None:
    folders = sorted(each.name for each in EXAMPLES.iterdir() if re.match(r"\d", each.name))
    assert folders == NAMES, "each has a README"
    numbers = [int(name[:2]) for name in NAMES if name != "90_everything"]
    assert numbers == list(range(1, len(numbers) + 1))
    listed = re.findall(r"^\| \[(\w+)\]\(\1/README\.md\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert listed == NAMES


def test_a_readme_names_the_command_that_plays_it() -> None:
    for name in NAMES:
        assert [block.text for block in blocks(EXAMPLES / name / "README.md", "sh")][:1] == [
            f"amends demo {name.split('_', 1)[1]}\n"
        ]


@pytest.mark.timeout(120)
def test_the_demo_plays_a_readme_and_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    played = demo(TOUR, tmp_path, temporary)
    said, _ = played.communicate()
    assert played.returncode == 0, said
    shown = "\n".join(block.text for block in blocks(EXAMPLES / TOUR / "README.md", "console"))
    told = "\n".join(line for line in said.splitlines() if line not in prose(TOUR))
    assert alike(shown, told), said
    assert [each.name for each in tmp_path.rglob("*")] == ["temporary"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "at"), [(TOUR, "$ amends"), ("20_participants", "$ python3 harbor.py &")])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(name: str, at: str, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    played = demo(name, tmp_path, temporary)
    assert played.stdout is not None
    while not played.stdout.readline().startswith(at):
        assert played.poll() is None
    played.send_signal(signal.SIGTERM)
    played.communicate()  # To the end of what it says: whatever it had begun has closed that, too.
    assert played.returncode == 130
    assert [each.name for each in tmp_path.rglob("*")] == ["temporary"]


def demo(name: str, folder: Path, temporary: Path) -> subprocess.Popen[str]:
    """The command as a user has it, with settings that an example must not take."""
    return subprocess.Popen(
        [sys.executable, "-m", "amends", "demo", name.split("_", 1)[1]],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary), "AMENDS_BUS": "kafka://127.0.0.1:1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def prose(name: str) -> set[str]:
    """What the README says between its commands, as the demo tells it."""
    page = (EXAMPLES / name / "README.md").read_text()
    return {
        re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line)
        for language, text in playing.parts(page)
        if language != "console"
        for line in text.splitlines()
    }
