"""`amends demo`."""

from typing import Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, WRITE
from amends.coordinator.errors import NotFound


@command(APP, "demo", panel=WRITE, example="amends demo")
def demo(call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help="Which tour.")] = "shop") -> int:
    """A self-contained tour with real local services: runs that complete, are undone, park, and survive a kill."""
    from importlib import import_module
    from importlib.util import find_spec

    module = f"amends.examples.{name}.demo"
    if not name.isidentifier() or find_spec(f"amends.examples.{name}") is None or find_spec(module) is None:
        raise NotFound("AM5050", f"there is no demo {name!r}", do="run: amends demo shop")
    flags = {setting: value for setting, value in call.flags.items() if value is not None}
    code: int = import_module(module).main(flags)
    return code
