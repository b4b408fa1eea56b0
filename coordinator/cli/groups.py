"""The groups of commands. Each command's module declares itself in one of them."""

from collections.abc import Iterable
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

_OPTIONS: Final = {"help_option_names": ["--help", "-h"]}
WRITE, RUN, LOOK, DECIDE, OPERATE = "Write sagas", "Run them", "See what happened", "Decide", "Operate"
"""Panels of `amends --help`."""
_PANELS: Final = {panel: at for at, panel in enumerate((WRITE, RUN, LOOK, DECIDE, OPERATE))}


class OneCommand(TyperCommand):
    """A command whose help gives a flag no type: there is nothing to write after it."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  typer's context is private to it
        return list(_untyped(super().get_params(ctx)))


class OneGroup(TyperGroup):
    """A group, the same way; its commands stand panel by panel."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401  typer's context is private to it
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _PANELS.get(str(getattr(self.commands[name], "rich_help_panel", "")), 0))

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  typer's context is private to it
        return list(_untyped(super().get_params(ctx)))


def _untyped(params: Iterable[Any]) -> Iterable[Any]:
    for each in params:
        if isinstance(each, TyperOption) and each.is_flag:
            each.metavar = ""
        yield each


def _group(name: str, text: str, panel: str) -> typer.Typer:
    group = typer.Typer(
        name=name,
        help=text,
        cls=OneGroup,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings=_OPTIONS,
    )
    APP.add_typer(group, rich_help_panel=panel)
    return group


APP = typer.Typer(
    name="amends",
    help="Event-sourced sagas over Kafka: every step, undo and decision in one log.",
    cls=OneGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=_OPTIONS,
)
TESTING = _group("testing", "Golden histories: record runs, decide them again.", WRITE)
RUNS = _group("runs", "Saga runs: list, show, story, events, state, watch, cancel, kill.", LOOK)
TRIGGERS = _group("triggers", "What became of a trigger.", LOOK)
AUDIT = _group("audit", "The log itself: read it, verify it.", LOOK)
FORENSICS = _group("forensics", "Evidence that verifies offline: export runs as a bundle, open one.", LOOK)
PARKED = _group("parked", "Runs that wait for a person's decision.", DECIDE)
LOCKS = _group("locks", "Locks that runs hold or wait for.", DECIDE)
DEAD_LETTERS = _group("dead-letters", "Messages that could not become a run; send them again.", DECIDE)
MESSAGES = _group("messages", "What runs wait for from outside: send it, list it.", RUN)
TOPICS = _group("topics", "Topics of the bus: create, check, tail.", OPERATE)
SCHEMAS = _group("schemas", "Avro and JSON Schemas of what is published.", OPERATE)
SUBJECTS = _group("subjects", "Whose data is sealed: list, hold, release, erase.", OPERATE)
STORE = _group("store", "The event store: migrate, status, backup, restore.", OPERATE)
CONFIG = _group("config", "The settings.", OPERATE)
