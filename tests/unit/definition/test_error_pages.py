"""Every rule has a page; its bad example breaks that rule, with just that output, and its good one breaks none."""

import re
from pathlib import Path

import pytest

from amends.coordinator.definition.loading import check_app, load_app
from amends.coordinator.definition.rules.table import RULES
from amends.coordinator.errors import AmendsError, UsageError

PAGES = Path(__file__).parents[3] / "docs" / "errors"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [code for code in RULES if code < "AM1100"]


def blocks(code: str, language: str) -> list[str]:
    page = (PAGES / f"{code}.md").read_text()
    return [text for kind, text in BLOCK.findall(page) if kind == language]


def output_of(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "sagas.py").write_text(source)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    try:
        return "".join(f"{finding.text()}\n" for finding in check_app("sagas.py"))
    except UsageError as error:
        return f"{error.line()}\n"


@pytest.mark.parametrize("code", RULES)
def test_every_rule_has_a_page_under_its_code(code: str) -> None:
    assert (PAGES / f"{code}.md").read_text().startswith(f"# {code}: ")


def test_no_page_speaks_of_a_rule_that_is_gone() -> None:
    assert {page.stem for page in PAGES.glob("AM1*.md")} == set(RULES)


@pytest.mark.parametrize("code", [*EXAMPLES, "AM1101", "AM1102"])
def test_a_bad_definition_breaks_the_rule_with_the_output_of_its_page(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = blocks(code, "text")[0]
    assert f"{RULES[code].severity} {code}: " in shown
    assert output_of(blocks(code, "python")[0], tmp_path, monkeypatch) == shown


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_remedy_on_a_page_breaks_no_rule(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert output_of(blocks(code, "python")[1], tmp_path, monkeypatch) == ""


@pytest.mark.parametrize("example", blocks("AM1100", "text"))
def test_an_app_that_is_not_there_is_told_as_on_its_page(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, shown = example.strip().split("\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError) as caught:
        check_app(command.rpartition(" ")[2])
    assert caught.value.line() == shown


def test_a_saga_that_is_not_there_is_told_as_on_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = blocks("AM1103", "text")[0].strip().split("\n")[1]
    (tmp_path / "sagas.py").write_text(blocks("AM1001", "python")[1].replace('Saga("shop"', 'Saga("refund"'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AmendsError) as caught:
        load_app("sagas.py").by("refnud")
    assert caught.value.line() == shown
