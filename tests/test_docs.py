"""Documentation held against the code: pages of error codes, links, public names, settings, events, examples."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import get_args

import msgspec
import pytest
from typer.main import get_command

import amends
from amends.coordinator.cli.checking import STORED
from amends.coordinator.cli.failing import UNEXPECTED, guarded
from amends.coordinator.cli.groups import APP
from amends.coordinator.cli.main import COMMANDS
from amends.coordinator.config import Settings
from amends.coordinator.definition.loading import check_app
from amends.schemas.dead_letter import Reason
from amends.schemas.entry import Entry
from amends.schemas.events import EVENT_TYPES
from amends.schemas.outcome import Outcome
from tests.docs.console import play
from tests.docs.pages import DOCS, ROOT, blocks, files_of
from tests.docs.said import ANY, NUMBER, SAID

PAGES = sorted(DOCS.rglob("*.md")) + [
    ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
]
EXAMPLES = sorted((ROOT / "examples").rglob("README.md"))
"""Their commands are played in tests/e2e/examples."""
CODE = re.compile(r'"(AM\d{4})"|error (AM\d{4}): ')
LOGGED = re.compile(r'log\.(?:info|warning|error|exception)\(\s*"(\w+)"')
REASONS = sorted({each for part in get_args(Reason) for each in get_args(part) or (part,)})
LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
GUIDE = DOCS / "writing-a-saga.md"
COMING_FROM = sorted(DOCS.glob("coming-from-*.md"))
PLAYED = [page for page in PAGES if blocks(page, "console") and page.name not in {"CONTRIBUTING.md", "on-servers.md"}]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def codes_in(*folders: str) -> set[str]:
    """Error codes that the code raises."""
    return {
        code
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        for found in CODE.findall(file.read_text())
        for code in found
        if code
    }


RAISED = codes_in("coordinator", "connectors", "compensations", "schemas", "src", "examples")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the shop of getting-started.md in it."""
    for name, text in files_of(DOCS / "getting-started.md").items():
        (tmp_path / name).write_text(text)
    subprocess.run([sys.executable, "make_stock.py"], cwd=tmp_path, check=True)
    return tmp_path


def test_every_code_that_is_raised_has_a_page_and_every_page_such_a_code() -> None:
    assert {page.stem for page in (DOCS / "errors").glob("AM*.md")} == RAISED


@pytest.mark.parametrize("code", sorted(RAISED))
def test_a_page_of_an_error_names_it_and_says_what_to_do(code: str) -> None:
    text = (DOCS / "errors" / f"{code}.md").read_text()
    assert text.startswith(f"# {code}: ")
    assert f"{code}: " in "".join(block.text for block in blocks(DOCS / "errors" / f"{code}.md", "console", "text"))
    assert "\n## What to do\n" in text


def test_the_list_of_errors_has_each_page_under_its_title() -> None:
    listed = re.findall(
        r"^\| \[(AM\d{4})\]\(\1\.md\) \| (.*) \|$", (DOCS / "errors/README.md").read_text(), re.MULTILINE
    )
    titles = [page.read_text().splitlines()[0][2:].split(": ", 1) for page in sorted((DOCS / "errors").glob("AM*.md"))]
    assert [list(each) for each in listed] == titles


@pytest.mark.parametrize("code", SAID)
def test_the_error_on_a_page_reads_as_its_maker_words_it(code: str) -> None:
    shown = blocks(DOCS / "errors" / f"{code}.md", "text")
    for said, block in zip(SAID[code], shown, strict=True):
        wording = re.escape(said).replace(re.escape(ANY), ".+").replace(str(NUMBER), r"\d+")
        assert re.fullmatch(wording, block.text.strip()) is not None, said


def test_an_error_that_nobody_foresaw_reads_as_on_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = blocks(DOCS / "errors/AM0000.md", "text")
    assert guarded(lambda: int(1 / 0)) == UNEXPECTED
    assert capsys.readouterr().err == shown.text


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", PLAYED, ids=name_of)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, shop: Path) -> None:
    if "make_stock.py" in files_of(page):
        (shop / "stock.db").unlink()
    wrong = play(page, shop)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("page", [GUIDE, *COMING_FROM], ids=name_of)
def test_the_sagas_of_a_guide_keep_every_rule_and_its_tests_pass(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sagas.py").write_text("\n\n".join(block.text for block in blocks(page, "python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert check_app("sagas.py") == []
    names = run_path("sagas.py")
    tests = [found for name, found in names.items() if name.startswith("test_")]
    for each in tests:
        each()
    assert len(tests) > (3 if page == GUIDE else 0)


@pytest.mark.parametrize("page", [ROOT / "README.md"], ids=name_of)
def test_the_saga_of_the_first_screen_keeps_every_rule(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sagas.py").write_text(blocks(page, "python")[0].text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert check_app("sagas.py") == []


def test_every_place_that_the_code_map_names_is_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert [place for place in named if not (ROOT / place).exists()] == []
    folders = {
        f"{layer}/{path.name}/"
        for layer in ("coordinator", "connectors")
        for path in (ROOT / layer).iterdir()
        if (path / "__init__.py").exists()
    }
    assert folders - set(named) == set()


def fields_under(page: Path, heading: str) -> list[str]:
    """The first column of the table in a section."""
    _, _, section = page.read_text().partition(f"\n{heading}\n")
    section = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_every_command_is_described_with_its_options() -> None:
    rows = re.findall(r"^\| `amends ([^`]*)` \| (.*?) \|", (DOCS / "commands.md").read_text(), re.MULTILINE)
    described = {re.split(r" [A-Z[]", usage)[0]: set(re.findall(r"`(--[\w-]+)`", options)) for usage, options in rows}
    assert COMMANDS, "importing them declares their commands"
    assert described == dict(commands())


def commands(group: object = None, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command with its own options; the settings and `-o` are everybody's."""
    for name, each in vars(group or get_command(APP))["commands"].items():
        if "commands" in vars(each):
            yield from commands(each, f"{path}{name} ")
            continue
        own = [option for option in each.params if not option.name.startswith("setting_")]
        flags = {flag for option in own for flag in option.opts if flag.startswith("--")}
        flags -= {"--output", "--config"}
        yield path + name, {"--store" if flag == STORED else flag for flag in flags}


def test_every_event_is_described_with_its_fields() -> None:
    page = DOCS / "events.md"
    described = re.findall(r"^### (\w+)$", page.read_text(), re.MULTILINE)
    assert described == list(EVENT_TYPES)
    for name, kind in EVENT_TYPES.items():
        assert fields_under(page, f"### {name}") == list(kind.__struct_fields__), name


@pytest.mark.parametrize(("heading", "kind"), [("## Outcomes", Outcome), ("## Audit", Entry)], ids=["outcome", "entry"])
def test_every_field_of_a_published_record_is_described(heading: str, kind: type[msgspec.Struct]) -> None:
    assert set(fields_under(DOCS / "topics.md", heading)) == set(kind.__struct_fields__)


def test_every_reason_of_a_dead_letter_is_described() -> None:
    text = (DOCS / "topics.md").read_text()
    assert [reason for reason in REASONS if f"dead letter `{reason}`" not in text] == []


def test_every_setting_is_described_with_its_default() -> None:
    rows = re.findall(r"^\| `AMENDS_(\w+)` \| ([^|]*) \|", (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert [name.lower() for name, _ in rows] == list(Settings.model_fields)
    for name, said in rows:
        default = Settings.model_fields[name.lower()].default
        if default not in {None, "", ()}:
            assert f"`{default}`" in f"`{said.strip('`')}`", name


def test_every_line_that_is_logged_is_described() -> None:
    logged = {
        name
        for folder in ("coordinator", "connectors")
        for file in (ROOT / folder).rglob("*.py")
        for name in LOGGED.findall(file.read_text())
    }
    text = (DOCS / "operating.md").read_text()
    assert {name for name in logged if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("page", PAGES + EXAMPLES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not heading or heading in headings_of(target))


def headings_of(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_public_names_can_be_imported() -> None:
    assert [name for name in amends.__all__ if not hasattr(amends, name)] == []
