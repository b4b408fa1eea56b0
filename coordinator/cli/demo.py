"""`amends demo`."""

from typing import Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, WRITE
from amends.coordinator.errors import NotFound, UsageError


@command(APP, "demo", panel=WRITE, example="amends demo first_saga")
def demo(
    call: Call,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The shop, or an example: first_saga, waits, …, or its number.")
    ] = "shop",
) -> int:
    """A self-contained tour with real local services: the shop, or one of the numbered examples."""
    flags = {setting: value for setting, value in call.flags.items() if value is not None}
    if name == "shop":
        from importlib import import_module

        code: int = import_module("amends.examples.shop.demo").main(flags)  # it imports connectors: not ours to import
        return code
    return _example(name, flags)


def _example(name: str, flags: dict[str, str]) -> int:
    from amends.examples import playing

    found = playing.named(name)
    if found is None:
        raise NotFound("AM5050", f"there is no demo {name!r}", do="run: amends demo shop, or amends demo first_saga")
    if flags:
        given = ", ".join(f"--{flag.replace('_', '-')}" for flag in sorted(flags))
        raise UsageError(
            "AM5051",
            f"the example {found.name} runs on the embedded default, in a folder of its own: {given} is not for it",
            do=f"run: amends demo {name}",
        )
    return playing.play(found)
