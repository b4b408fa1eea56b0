"""The groups of commands. Each command's module declares itself in one of them."""

import typer

_OPTIONS = {"help_option_names": ["--help", "-h"]}


def _group(name: str, text: str) -> typer.Typer:
    group = typer.Typer(name=name, help=text, no_args_is_help=True, rich_markup_mode="rich", context_settings=_OPTIONS)
    APP.add_typer(group)
    return group


APP = typer.Typer(
    name="amends",
    help="Event-sourced sagas over Kafka: every step, undo and decision in one log.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=_OPTIONS,
)
RUNS = _group("runs", "Saga runs: list, show, watch, cancel, kill.")
PARKED = _group("parked", "Runs that wait for a person's decision.")
TRIGGERS = _group("triggers", "What became of a trigger.")
AUDIT = _group("audit", "The log itself: read it, verify it.")
DEAD_LETTERS = _group("dead-letters", "Messages that could not become a run.")
TOPICS = _group("topics", "Topics of the bus.")
SCHEMAS = _group("schemas", "Avro and JSON Schemas of what is published.")
STORE = _group("store", "The event store.")
CONFIG = _group("config", "The settings.")
