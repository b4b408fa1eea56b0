"""The command line put together."""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Annotated, Final

import typer
from typer.main import get_command

import amends
from amends.coordinator.cli import (
    archiving,
    audit,
    checking,
    configuring,
    dead_letters,
    demo,
    doctor,
    forensics,
    golden,
    locks,
    messages,
    new,
    outcomes,
    parked,
    planning,
    publishing,
    rehearsing,
    replaying,
    runs,
    schemas,
    serving,
    storing,
    subjects,
    topics,
    triggers,
    wishes,
)
from amends.coordinator.cli.failing import guarded
from amends.coordinator.cli.groups import APP

_tree: Final = cache(get_command)
"""All commands, made once: that takes longer than most of them."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    given = checking.rewritten(list(arguments))
    return guarded(lambda: int(_tree(APP).main(args=given, prog_name="amends", standalone_mode=False) or 0))


def _version(value: bool) -> None:
    if value:
        print(f"amends {amends.__version__}")  # noqa: T201  the version is the output
        raise typer.Exit


@APP.callback()
def _amends(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


COMMANDS: Final[tuple[ModuleType, ...]] = (
    demo,
    new,
    storing,
    checking,
    planning,
    rehearsing,
    golden,
    serving,
    publishing,
    runs,
    wishes,
    parked,
    locks,
    triggers,
    outcomes,
    audit,
    replaying,
    forensics,
    dead_letters,
    messages,
    topics,
    schemas,
    subjects,
    archiving,
    configuring,
    doctor,
)
"""Importing them declared their commands."""
