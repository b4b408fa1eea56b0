"""Documentation held against the code: pages of error codes, links, public names."""

import re
from pathlib import Path

import pytest

import amends

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md")) + [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
]
CODE = re.compile(r'"(AM\d{4})"')
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def codes_in(*folders: str) -> set[str]:
    """Error codes that the code raises."""
    return {
        code for folder in folders for file in (ROOT / folder).rglob("*.py") for code in CODE.findall(file.read_text())
    }


def test_every_rule_about_definitions_has_a_page() -> None:
    rules = {code for code in codes_in("coordinator/definition") if code.startswith("AM10")}
    assert {code for code in rules if not (ROOT / "docs/errors" / f"{code}.md").exists()} == set()


def test_every_page_of_an_error_is_about_one_that_the_code_raises() -> None:
    raised = codes_in("coordinator", "connectors", "compensations", "schemas", "src", "examples")
    assert {page.stem for page in (ROOT / "docs/errors").glob("AM*.md")} - raised == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_the_public_names_can_be_imported() -> None:
    assert [name for name in amends.__all__ if not hasattr(amends, name)] == []
