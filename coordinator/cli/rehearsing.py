"""`amends rehearse`: a saga failed, doubted and crashed at every moment, in its sandbox."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, WRITE
from amends.coordinator.cli.serving import AppArgument
from amends.coordinator.errors import NotFound, UsageError

if TYPE_CHECKING:
    from amends.coordinator.testing.sandbox import Sandbox

TRIGGER_BYTES_MAX: Final = 1_000_000


@command(APP, "rehearse", panel=WRITE, example="amends rehearse shop/sagas.py refund")
def rehearse(
    call: Call,
    app: AppArgument = None,
    saga: Annotated[str | None, typer.Argument(metavar="SAGA", help="Its name. Default: the only one.")] = None,
    *,
    trigger: Annotated[
        list[str] | None,
        typer.Option("--trigger", metavar="JSON|FILE", help="Instead of the sandbox's own; may be given repeatedly."),
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option("--sandbox", metavar="APP", help="Where the sandbox is, if it is not in APP.")
    ] = None,
    scenarios: Annotated[int, typer.Option("--scenarios", metavar="N", min=1, help="At most so many.")] = 5_000,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Of the whole rehearsal.")] = "10m",
) -> int:
    """Whether every undo brings the world back, wherever the saga fails, doubts or crashes; exit 1 on a finding."""
    from amends.coordinator.bootstrap import memory_store
    from amends.coordinator.cli.following import waiting_s
    from amends.coordinator.cli.output import room, show
    from amends.coordinator.cli.progress import progress
    from amends.coordinator.testing.rehearsing import rehearse as rehearsed
    from amends.coordinator.testing.report import facts_of_report, text_of

    triggers = [each for given in trigger or () for each in _triggers(given)]
    time_s_max = waiting_s(timeout)
    found_in = _sandbox(call, app if sandbox is None else sandbox, saga)
    with progress(f"rehearsing {found_in.saga.name}") as advance:
        found = rehearsed(
            found_in,
            make_store=memory_store,
            triggers=triggers or None,
            scenarios_max=scenarios,
            time_s_max=time_s_max,
            progress=lambda _done, _of: advance(1),
        )
    show(call, facts_of_report(found), lambda: text_of(found, width=room(sys.stdout)))
    return 0 if found.ok else 1


def _sandbox(call: Call, app: str | None, saga: str | None) -> "Sandbox":
    """The sandbox of this saga. Raises `UsageError` where there is none."""
    from amends.coordinator.cli.apps import app_names
    from amends.coordinator.definition.loading import bound_in
    from amends.coordinator.testing.sandbox import Sandbox

    names = app_names(app, call.settings)
    found = {each.saga.name: each for name in names for each in bound_in(name, Sandbox)}
    where = ", ".join(names)
    if saga is None and len(found) > 1:
        raise UsageError(
            "AM5005", f"APP {where!r} has more than one sandbox", do=f"name a saga: {', '.join(sorted(found))}"
        )
    if saga is not None and saga not in found and found:
        raise NotFound(
            "AM5101", f"APP {where!r} has no sandbox for {saga!r}", do=f"there is one for {', '.join(sorted(found))}"
        )
    if not found:
        raise NotFound(
            "AM5101",
            f"APP {where!r} binds no sandbox",
            do=f"write sandbox = Sandbox({saga or 'saga'}, triggers=[…], stand_ins=[…]) in it, or name it by --sandbox",
        )
    return found[saga] if saga is not None else next(iter(found.values()))


def _triggers(given: str) -> list[dict[str, object]]:
    """One trigger as JSON; or those of a file, one a line, or the file as a whole."""
    text = given if given.lstrip().startswith("{") else _content(given)
    found = _read(text)
    if found is None:
        found = [each for line in text.splitlines() if line.strip() for each in _read(line) or _refuse(given)]
    return found


def _read(text: str) -> list[dict[str, object]] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    values = value if isinstance(value, list) else [value]
    return values if values and all(isinstance(each, dict) for each in values) else None


def _refuse(given: str) -> list[dict[str, object]]:
    raise UsageError(
        "AM5005", f"--trigger {given[:100]!r} holds no JSON object", do="write the trigger's fields as one JSON object"
    )


def _content(file: str) -> str:
    try:
        path = Path(file)
        if path.stat().st_size > TRIGGER_BYTES_MAX:
            raise UsageError(
                "AM5005", f"--trigger {file!r} is larger than {TRIGGER_BYTES_MAX} bytes", do="give fewer triggers"
            )
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(
            "AM5005", f"--trigger {file[:100]!r} cannot be read: {why}", do="name a file, or write a JSON object"
        ) from None
