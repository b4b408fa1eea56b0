"""An app that cannot be loaded is refused with its file and line; nothing is read and nothing is made."""

from pathlib import Path

import pytest

from tests.e2e.faults.installation import Installation

SAGA = """
from pydantic import BaseModel
from amends import Context, Saga, Topic

class Order(BaseModel):
    id: str

orders = Saga("orders", version=1, trigger=Topic("bookings", Order, idempotency_key="id"))
"""
UNDECLARED = SAGA + "@orders.action\nasync def pay(ctx: Context, trigger: Order) -> None: ...\n"
TWICE = SAGA.replace("orders = ", "again = orders = ").replace("version=1", "version=0")
BROKEN = [
    pytest.param("def nothing(:\n", "AM1101", "app.py:1", id="no Python"),
    pytest.param("import no_such_module\n", "AM1101", "no_such_module", id="an import that fails"),
    pytest.param("\n\nraise ValueError('bad luck')\n", "AM1101", "app.py:3", id="raises"),
    pytest.param("1 / 0\n", "AM1101", "ZeroDivisionError", id="divides by zero"),
    pytest.param("import sys\nsys.exit(0)\n", "AM1101", "SystemExit", id="leaves"),
    pytest.param("def f(): f()\nf()\n", "AM1101", "RecursionError", id="recurses"),
    pytest.param("class E(Exception):\n  def __str__(self): 1/0\nraise E\n", "AM1101", "app.py:3", id="no text"),
    pytest.param("\0\1\2", "AM1101", "app.py", id="null bytes"),
    pytest.param("(" * 10_000, "AM1101", "app.py", id="nested too deep"),
    pytest.param("x = 1\n", "AM1102", "app.py", id="no saga"),
    pytest.param("", "AM1102", "app.py", id="empty"),
    pytest.param(SAGA, "AM1", "app.py", id="a saga without steps"),
    pytest.param(TWICE, "AM1", "app.py", id="a version that is none"),
    pytest.param(UNDECLARED, "AM1", "app.py", id="an action without undo"),
]
COMMANDS = ["worker", "dev", "check"]


@pytest.mark.parametrize(("content", "code", "says"), BROKEN)
def test_a_worker_refuses_a_broken_app(used: Installation, content: str, code: str, says: str) -> None:
    (used.folder / "app.py").write_text(content)
    with used.unchanged():
        done = used.command("worker", "app.py", "--until-idle")
    assert done.code in {1, 2}
    assert done.error.startswith(f"error {code}")
    assert says in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_line_of_a_broken_app(used: Installation, command: str) -> None:
    (used.folder / "app.py").write_text("x = 1\nraise ValueError('bad luck')\n")
    with used.unchanged():
        used.command(command, "app.py").refused(2, "AM1101", "app.py:2", "bad luck")


@pytest.mark.parametrize(
    ("app", "code"),
    [
        ("none.py", "AM1100"),
        ("no/such/folder", "AM1100"),
        ("no_such_module", "AM1100"),
        ("ledger", "AM1100"),
        ("garbage.bin", "AM1100"),
        ("garbage.py", "AM1101"),
    ],
)
def test_an_app_that_is_none_is_named(used: Installation, app: str, code: str) -> None:
    for name in ("garbage.bin", "garbage.py"):
        (used.folder / name).write_bytes(bytes(range(256)) * 40)
    with used.unchanged():
        used.command("worker", app, "--until-idle").refused(2, code, app)


def test_a_broken_app_makes_no_store(installation: Installation, tmp_path: Path) -> None:
    (installation.folder / "app.py").write_text("raise ValueError\n")
    installation.command("worker", "app.py").refused(2, "AM1101", "app.py:1")
    assert not (tmp_path / ".amends").exists()


def test_the_traceback_is_there_for_who_asks(used: Installation) -> None:
    (used.folder / "app.py").write_text("raise ValueError('bad luck')\n")
    done = used.command("worker", "app.py", settings={"AMENDS_LOG": "debug"})
    assert (done.code, done.error.partition(":")[0]) == (2, "error AM1101")
    assert "Traceback" in done.err
