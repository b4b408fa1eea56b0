"""`amends plan`: what deploying an APP would change."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, WRITE
from amends.coordinator.cli.serving import AppArgument
from amends.coordinator.errors import UsageError

if TYPE_CHECKING:
    from amends.coordinator.definition.deploying import OpenRuns, Situation
    from amends.coordinator.definition.form import StoredDefinition
    from amends.coordinator.definition.loading import App
    from amends.coordinator.ports.rows import DefinitionRow, RunCount
    from amends.coordinator.runtime.lacking import Lacking

DEPLOYED: Final = "deployed"


@command(APP, "plan", panel=WRITE, example="amends plan shop/sagas.py --against deployed")
def plan(
    call: Call,
    app: AppArgument = None,
    against: Annotated[
        str, typer.Option("--against", metavar="WHAT", help="deployed: what the store has. Or another APP.")
    ] = DEPLOYED,
) -> int:
    """What deploying APP changes, and what that means for open runs; exit 0 no change, 10 safe, 11 ask a person."""
    from amends.coordinator.cli.apps import loaded_app
    from amends.coordinator.cli.output import room, show
    from amends.coordinator.cli.plan_text import plan_text
    from amends.coordinator.definition.deploying import EXIT_CODES, planned

    if not against:
        raise UsageError("AM5060", "--against names nothing", do="write --against deployed, or name another APP")
    loaded = loaded_app(app, call.settings)
    situation = _deployed(call, loaded) if against == DEPLOYED else _other(loaded, against)
    found = planned(situation, app=loaded.name, against=against)
    show(call, _keys(found), lambda: plan_text(found, width=room(sys.stdout)))
    return EXIT_CODES[found.verdict]


def _keys(found: object) -> dict[str, object]:
    import msgspec

    keys: dict[str, object] = msgspec.to_builtins(found)
    return keys


def _deployed(call: Call, app: "App") -> "Situation":
    """Against the store. Runs are read first: each of them has its definition stored by then."""
    from amends.coordinator.definition.deploying import Deployed, Situation
    from amends.coordinator.runtime.lacking import Lacking

    with call.store() as store:
        counts = store.open_counted()
        rows = {row.hash: row for row in store.definitions()}
    stored = {digest: _read(row) for digest, row in rows.items()}
    lacking = Lacking(sagas=app.sagas, stored=stored.get, stored_rows=rows.get)
    return Situation(
        today=[saga.stored for saga in app.sagas],
        deployed=[
            Deployed(hash=digest, stored=each, stored_at=rows[digest].stored_at) for digest, each in stored.items()
        ],
        open_runs=_open_runs(counts, lacking),
        saga_of={each.definition_hash: each.saga for each in counts},
        lacks=lacking.of,
    )


def _other(app: "App", against: str) -> "Situation":
    """Against another APP; no store is asked."""
    from amends.coordinator.cli.other_app import definitions_of
    from amends.coordinator.definition.deploying import Deployed, Situation
    from amends.coordinator.definition.form import graph_hash
    from amends.coordinator.ports.rows import DefinitionRow
    from amends.coordinator.runtime.lacking import Lacking
    from amends.schemas.canonical import encode

    stored = {graph_hash(each.form): each for each in definitions_of(against)}
    rows = {
        digest: DefinitionRow(
            hash=digest, name=each.form.name, version=each.form.version, body=encode(each), stored_at=0
        )
        for digest, each in stored.items()
    }
    return Situation(
        today=[saga.stored for saga in app.sagas],
        deployed=[Deployed(hash=digest, stored=each, stored_at=0) for digest, each in stored.items()],
        open_runs=None,
        saga_of={},
        lacks=Lacking(sagas=app.sagas, stored=stored.get, stored_rows=rows.get).of,
    )


def _read(row: "DefinitionRow") -> "StoredDefinition":
    import msgspec

    from amends.coordinator.definition.form import read_stored

    try:
        return read_stored(row.body)
    except msgspec.MsgspecError as error:
        raise UsageError(
            "AM5061",
            f"the stored definition of saga {row.name!r} v{row.version} cannot be read: {error}",
            do="use the Amends that stored it, or a newer one",
        ) from None


def _open_runs(counts: "list[RunCount]", lacking: "Lacking") -> "list[OpenRuns]":
    from amends.coordinator.definition.deploying import OpenRuns

    statuses: dict[tuple[str, int], Counter[str]] = {}
    for each in counts:
        counter = statuses.setdefault((each.definition_hash, each.definition_version), Counter())
        counter["quarantined" if each.quarantined else each.status] += each.runs
    return [
        OpenRuns(
            version=version,
            hash=digest,
            runs=counter.total(),
            statuses=dict(sorted(counter.items())),
            lacks=lacking.of(digest),
        )
        for (digest, version), counter in statuses.items()
    ]
