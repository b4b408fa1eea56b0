"""Documentation held against the code: pages of error codes, links, public names, settings, events, examples."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import amends
from tests.docs.console import play
from tests.docs.pages import DOCS, ROOT, blocks, files_of

PAGES = sorted(DOCS.rglob("*.md")) + [
    ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
]
CODE = re.compile(r'"(AM\d{4})"|error (AM\d{4}): ')
LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
PLAYED = [page for page in PAGES if blocks(page, "console") and page.name != "CONTRIBUTING.md"]


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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PLAYED, ids=name_of)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, shop: Path) -> None:
    if page.parent.name != "errors":
        (shop / "stock.db").unlink()
    wrong = play(page, shop)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
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
