"""What the demo prints fits into 100 columns, and what is to be copied can be."""

import shlex

import pytest

from amends.examples.shop.telling import Teller, folded, listed


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        pytest.param("  short", ["  short"], id="a line that fits stays as it is"),
        pytest.param(
            "  A-1  ✖ refused  one two three four five six",
            ["  A-1  ✖ refused  one two three", "                  four five six"],
            id="what does not fit goes on below the last column",
        ),
        pytest.param("one two three four five six seven eight", ["one two three four five six", "seven eight"],
                     id="a line without columns goes on at its beginning"),
        pytest.param("  id  01234567890123456789012345678", ["  id  01234567890123456789012345678"],
                     id="a word is never broken"),
    ],
)  # fmt: skip
def test_folded(line: str, lines: list[str]) -> None:
    assert folded(line, 32) == lines


def test_a_long_command_is_the_same_when_copied(capsys: pytest.CaptureFixture[str]) -> None:
    command = "amends parked resolve order/R-57134 --step charge --retry " + " ".join(
        f"--option-{number} 'two words'" for number in range(12)
    )
    Teller().command(command)
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert shlex.split(shown.replace("\\\n", "").strip().removeprefix("$ ")) == shlex.split(command)


def test_commands_stand_beside_what_they_show_or_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    teller.commands([("amends runs list", "every run"), ("amends outcomes", "how they ended")])
    assert capsys.readouterr().out == "   amends runs list  # every run\n   amends outcomes   # how they ended\n"
    teller.commands([("amends " + "x" * 90, "every run")])
    assert capsys.readouterr().out == f"   # every run\n   amends {'x' * 90}\n"


def test_listed() -> None:
    assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
