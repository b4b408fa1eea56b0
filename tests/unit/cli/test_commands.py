"""The command line is the contract's: these commands, these flags, each with its help and an example."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from amends.coordinator.cli import checking
from amends.coordinator.cli.groups import APP
from amends.coordinator.cli.main import COMMANDS, run
from amends.coordinator.config import NAMES

CONTRACT = {
    "archive": "--before --to",
    "audit keygen": "--to",
    "audit tail": "RUN --follow --limit",
    "audit verify": "RUN --all --from-topic --checkpoints --public-key --store-id",
    "check": "APP --stored-runs",
    "config show": "--origin",
    "dead-letters list": "",
    "dead-letters redrive": "N --all --to",
    "dead-letters show": "N",
    "demo": "NAME",
    "dev": "APP --reload --allow-missing",
    "doctor": "",
    "forensics export": "RUN… --to --checkpoints",
    "forensics open": "FILE --public-key --checkpoints",
    "graph": "APP SAGA --format",
    "init": "",
    "locks list": "--key",
    "locks release": "KEY --reason --as",
    "messages list": "--key --limit",
    "messages send": "KEY --type --answer --reason --external-id --json --id --as",
    "messages waits": "--key --limit",
    "new": "NAME",
    "outcomes": "--follow --limit",
    "parked list": "",
    "parked resolve": (
        "RUN --step --retry --done-by-hand --evidence --skip --go-forward --undo-to --reason --as --wait --timeout"
    ),
    "parked show": "RUN",
    "plan": "APP --against",
    "publish": "topic --json --file --key --idempotency-key --header --wait --timeout",
    "rehearse": "APP SAGA --trigger --sandbox --scenarios --timeout",
    "relay": "",
    "replay": "RUN --at --from-topic --bundle",
    "runs cancel": "RUN --reason --as --wait --timeout",
    "runs events": "RUN --at --bundle",
    "runs kill": "RUN --reason --as --wait --timeout",
    "runs list": "--status --saga --key --since --limit --proof",
    "runs rerun": "RUN --reason --as --wait --timeout",
    "runs show": "RUN --at --bundle",
    "runs state": "RUN --at --bundle",
    "runs story": "RUN --at --bundle",
    "runs watch": "RUN",
    "schemas check": "",
    "schemas export": "DIR",
    "schemas list": "",
    "subjects erase": "SUBJECT --reason --as --scrub",
    "subjects hold": "SUBJECT --reason --as",
    "subjects list": "",
    "subjects release": "SUBJECT --as",
    "store backup": "TO",
    "store migrate": "",
    "store restore": "FROM",
    "store status": "",
    "testing record": "RUN… --to",
    "testing replay": "DIR APP",
    "topics check": "",
    "topics create": "APP|TOPIC… --partitions --replication",
    "topics tail": "topic --follow --limit",
    "triggers explain": "TOPIC:PARTITION:OFFSET|RUN",
    "worker": "APP --with-relay --until-idle --allow-missing",
}
"""`--stored-runs` is what `check --store` becomes; `--timeout` comes with each `--wait`."""

FORBIDDEN = ("aiokafka", "anthropic", "faust", "fastapi", "psycopg")
SETTINGS = {f"--{name.replace('_', '-')}" for name in NAMES if name != "sagas"}
COMMON = {"--output", "--config"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its whole name."""
    assert COMMANDS, "importing them declares them"
    for name, found in get_command(APP).commands.items():  # type: ignore[attr-defined]
        if hasattr(found, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in found.commands.items())
        else:
            yield name, found


ALL = dict(commands())


def words(command: Any) -> list[str]:
    """Its arguments by what stands for them, its options by their long names."""
    found = []
    for param in command.params:
        long = [each for each in param.opts if each.startswith("--")]
        found.append(long[0] if long else param.metavar or param.name)
    return found


def test_the_commands_are_the_contract_s() -> None:
    assert set(ALL) == set(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_command_has_exactly_the_contract_s_arguments_and_flags_and_every_setting(name: str) -> None:
    found = words(ALL[name])
    assert set(found) == set(CONTRACT[name].split()) | SETTINGS | COMMON
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", CONTRACT)
def test_the_help_of_a_command_ends_with_an_example_of_itself(name: str) -> None:
    text, _, example = ALL[name].help.partition("\n\nExample: ")
    assert text.strip()
    assert re.fullmatch(rf"`amends {name}( .*)?`", example)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("check a.py --store", "check a.py --stored-runs"),
        ("check --store a.py", "check --stored-runs a.py"),
        ("check a.py --store postgresql://h/d", "check a.py --stored-runs --store postgresql://h/d"),
        ("check a.py --store=sqlite:///x", "check a.py --stored-runs --store=sqlite:///x"),
        ("check a.py --store -o json", "check a.py --stored-runs -o json"),
        ("runs list --store sqlite:///x", "runs list --store sqlite:///x"),
        ("check a.py", "check a.py"),
        ("", ""),
    ],
)
def test_store_alone_asks_check_for_the_open_runs_and_with_a_url_says_where(given: str, taken: str) -> None:
    assert checking.rewritten(given.split()) == taken.split()


@pytest.mark.parametrize("arguments", [("--help",), ("runs", "list", "--help"), ("worker", "--help"), ("--version",)])
def test_help_imports_no_client_of_anything(arguments: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom amends.coordinator.cli.main import run\n"
        f"assert run({list(arguments)!r}) == 0\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert not imported & {*FORBIDDEN, "eventsourcing", "fastavro", "aiohttp"}
    assert done.stdout


@pytest.mark.parametrize("name", CONTRACT)
def test_no_word_of_the_help_is_cut_on_a_terminal_of_eighty_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*name.split(), "--help"]) == 0
    shown = set(re.split(r"[\s│]+", capsys.readouterr().out))
    said = {word for each in ALL[name].params for word in (each.help or "").replace("\\[", "[").split()}
    assert said - shown == set()
