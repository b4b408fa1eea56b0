"""`amends testing record` and `amends testing replay`: runs kept as files, and decided again by the code of today."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import TESTING
from amends.coordinator.cli.serving import AppArgument

if TYPE_CHECKING:
    from amends.coordinator.testing.deciding_again import Replayed


@command(TESTING, "record", example="amends testing record refund/R-77 --to tests/histories")
def record(
    call: Call,
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="A saga id, 8 characters of one, or SAGA/KEY.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write into; it is made.")],
) -> None:
    """Write runs down as files, to be decided again by the code of another day."""
    from amends.coordinator.cli.output import show_list
    from amends.coordinator.reading.naming import find_run, refuse_archived
    from amends.coordinator.testing.golden import record as recorded

    found: list[dict[str, Any]] = []
    with call.store() as store:
        for run in runs:
            row = find_run(store, run)
            refuse_archived(store, row.saga_id)
            done = recorded(store, row, to)
            facts = {"history": done.name, "entries": row.version, "placeholders": done.placeholders}
            found.append({"saga_id": row.saga_id, **facts})

    def text(items: list[dict[str, Any]]) -> str:
        said = {False: "", True: ", placeholders for what is sealed"}
        lines = (
            f"✔ {to / each['history']}.jsonl  {each['entries']} entries{said[each['placeholders']]}" for each in items
        )
        return "\n".join(lines)

    show_list(call, found, text)


@command(TESTING, "replay", example="amends testing replay tests/histories sagas.py")
def replay(
    call: Call,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `testing record` wrote into.")],
    app: AppArgument = None,
) -> int:
    """Decide recorded runs again with the code of today, and read what its handlers got; exit 1 on a deviation."""
    from amends.coordinator.cli.apps import loaded_app
    from amends.coordinator.cli.output import show_list
    from amends.coordinator.testing.deciding_again import replay as replayed
    from amends.coordinator.testing.golden import read_all

    loaded = loaded_app(app, call.settings)
    sagas = (*loaded.sagas, *loaded.parts)
    found = [replayed(golden, sagas) for golden in read_all(folder)]
    show_list(call, map(_facts, found), lambda _: _text(found))
    return 0 if all(each.ok for each in found) else 1


def _facts(replayed: "Replayed") -> dict[str, Any]:
    return {
        "history": replayed.history,
        "saga": replayed.saga,
        "ok": replayed.ok,
        "entries": replayed.entries,
        "compared": replayed.compared,
        "deviations": [
            {"version": each.version, "event": each.event, "what": each.what} for each in replayed.deviations
        ],
    }


def _text(found: "list[Replayed]") -> str:
    lines = []
    for each in found:
        lines.append(
            f"{'✔' if each.ok else '✖'} {each.history}  {each.compared} of {each.entries} entries decided again"
        )
        lines += [f"    {deviation}" for deviation in each.deviations]
    return "\n".join(lines)
