"""One call of a command: its output form and the settings it was given; and how a command is declared.

Every command takes `-o`, `--config` and each setting as a flag. They are appended to its signature here, so that no
command repeats them, and reach it as one `Call`.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from amends.coordinator.cli.groups import OneCommand
from amends.coordinator.errors import NotFound

if TYPE_CHECKING:
    from amends.coordinator.config import Loaded, Settings
    from amends.coordinator.evidence.bundle_log import BundleLog
    from amends.coordinator.ports.store import LogReading, Store


class Output(StrEnum):
    """text for people, json as one document, jsonl as one object a line."""

    text = "text"
    json = "json"
    jsonl = "jsonl"


@dataclass(frozen=True)
class Call:
    """What every command gets first."""

    output: Output
    flags: dict[str, str | None]
    config: Path | None

    @cached_property
    def loaded(self) -> "Loaded":
        """The settings with their origins. Raises `UsageError`."""
        from amends.coordinator.config import load

        return load(self.flags, config=self.config)

    @property
    def settings(self) -> "Settings":
        return self.loaded.settings

    @contextmanager
    def store(self, *, read_only: bool = True) -> Iterator["Store"]:
        """The store, open for as long as the block runs."""
        from amends.coordinator.bootstrap import opened_store

        with opened_store(self.settings, read_only=read_only) as store:
            yield store

    @contextmanager
    def reading(self, bundle: Path | None) -> Iterator["LogReading"]:
        """The store; or a bundle, verified first, with this process cut off from the world from then on."""
        if bundle is not None:
            with self.reading_bundle(bundle) as log:
                yield log
        else:
            with self.store() as store:
                yield store

    @contextmanager
    def reading_bundle(self, bundle: Path) -> Iterator["BundleLog"]:
        """A bundle, verified, and this process cut off."""
        import sys

        from amends.coordinator.evidence.bundle import open_bundle
        from amends.coordinator.evidence.bundle_log import BundleLog
        from amends.coordinator.reading.replay import cut_off

        opened = open_bundle(bundle)
        sys.dont_write_bytecode = True  # What is imported from now on must not be written down either.
        cut_off()
        try:
            yield BundleLog(opened)
        except NotFound as error:
            if error.code != "AM5010":
                raise
            raise NotFound(error.code, error.what, do=f"`amends forensics open {bundle}` shows what is there") from None
        finally:
            opened.close()

    @property
    def text(self) -> bool:
        return self.output is Output.text


Command = Callable[..., int | Coroutine[Any, Any, int | None] | None]

_REFERENCE: Final = "PASSWORD may be ${env:NAME} or ${file:PATH}"
_SETTINGS: Final = {
    "data": ("PATH", "Folder of the embedded store."),
    "store": ("URL", f"sqlite:///PATH, or postgresql://USER@HOST/NAME with :PASSWORD after USER; {_REFERENCE}."),
    "bus": ("URL", "local, or kafka://HOST:PORT[,HOST:PORT]."),
    "namespace": ("NAME", "Separates installations fed by the same topics."),
    "kafka_security_protocol": ("NAME", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
    "kafka_sasl_mechanism": ("NAME", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."),
    "kafka_user": ("NAME", "User for SASL."),
    "kafka_password": ("REFERENCE", "Where the password is: ${env:NAME} or ${file:PATH}."),
    "kafka_ca_file": ("PATH", "PEM file of trusted authorities."),
    "kafka_client_id": ("NAME", "What the brokers call this client."),
    "topic_prefix": ("NAME", "amends.outcomes becomes PREFIX.outcomes."),
    "topic_format": ("FORMAT", "avro or json, for what is published."),
    "schema_registry": ("URL", f"URL of a Confluent-compatible registry, http://USER:PASSWORD@HOST; {_REFERENCE}."),
    "master_key": ("REFERENCE", "Where the key is that wraps subjects' data keys: ${env:NAME} or ${file:PATH}."),
    "checkpoint_key": ("REFERENCE", "Where the key is that signs the shards' heads: ${env:NAME} or ${file:PATH}."),
    "checkpoint_every": ("DURATION", "How often the head of a shard that moves is signed."),
    "messages_kept": ("DURATION", "How long a message that nobody waits for is kept."),
    "lease": ("DURATION", "How long a worker owns a shard without renewing."),
    "shards": ("N", "Shards of a store that is made now."),
    "in_flight": ("N", "Open runs a worker works on at once."),
    "build": ("TEXT", "Names the build on each entry."),
    "log": ("LEVEL", "debug, info, warning or error."),
}
"""Name to metavar and help; `tests/unit/cli` holds it to the fields of `config.Settings`."""


def command(
    group: typer.Typer, name: str, *, example: str, panel: str | None = None, says: Mapping[str, str] | None = None
) -> Callable[[Command], Command]:
    """Declare a command. The function takes a `Call` first, and may be a coroutine; it returns its exit code, or None.

    Its first docstring line is its help; `example` is shown below; `says` words the help of a setting for this command.
    """

    def declare(function: Command) -> Command:
        own = list(inspect.signature(function).parameters.values())[1:]

        def run(**arguments: Any) -> None:  # noqa: ANN401  typer gives what the signature says
            call = Call(
                output=arguments.pop("output"),
                config=arguments.pop("config"),
                flags={setting: arguments.pop(f"setting_{setting}") for setting in _SETTINGS},
            )
            _start_logging(call)
            answer = function(call, **arguments)
            code = answer if answer is None or isinstance(answer, int) else _awaited(answer)
            if code:
                raise typer.Exit(code)

        parameters = [*own, *_common(says or {})]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        text = f"{inspect.getdoc(function) or ''}\n\nExample: `{example}`"
        group.command(name, cls=OneCommand, help=text, rich_help_panel=panel)(run)
        return function

    return declare


def _awaited(answer: Coroutine[Any, Any, int | None]) -> int | None:
    import asyncio

    return asyncio.run(answer)


def _common(says: Mapping[str, str]) -> list[inspect.Parameter]:
    """Output, config file and settings, as typer reads them."""
    panel = "Settings (flag, then environment, then amends.toml)"
    output = Annotated[Output, typer.Option("-o", "--output", help="text for people, json or jsonl for programs.")]
    config = Annotated[Path | None, typer.Option(metavar="PATH", help="Instead of amends.toml.", rich_help_panel=panel)]
    found = [_option("output", output, Output.text), _option("config", config, None)]
    for name, (metavar, text) in _SETTINGS.items():
        flag = f"--{name.replace('_', '-')}"
        kind = Annotated[
            str | None, typer.Option(flag, metavar=metavar, help=_escaped(says.get(name, text)), rich_help_panel=panel)
        ]
        found.append(_option(f"setting_{name}", kind, None))
    return found


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _escaped(text: str) -> str:
    """Rich takes square brackets for markup."""
    return text.replace("[", r"\[")


def _start_logging(call: Call) -> None:
    from amends.coordinator.cli.logs import start_logging

    start_logging(call.flags.get("log"))
