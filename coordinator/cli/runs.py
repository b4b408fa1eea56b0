"""`amends runs list|show|story|events|state|watch`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import RUNS
from amends.coordinator.cli.numbers import At, AtMost
from amends.coordinator.errors import NotFound, UsageError

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import RunRow
    from amends.coordinator.ports.store import LogReading, Store
    from amends.coordinator.reading.history import Moment
    from amends.schemas.events import Proof

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Saga id, 8 or more characters of one, or SAGA/IDEMPOTENCY-KEY.")
]

FromBundle = Annotated[
    Path | None, typer.Option("--bundle", metavar="FILE", help="From a bundle (`forensics export`), not the store.")
]


@command(RUNS, "list", example="amends runs list --status parked --since 2h")
def list_runs(  # noqa: PLR0917  options of a command
    call: Call,
    status: Annotated[str | None, typer.Option(metavar="S", help="Only runs in this status.")] = None,
    saga: Annotated[str | None, typer.Option(metavar="N", help="Only runs of this saga.")] = None,
    key: Annotated[str | None, typer.Option(metavar="K", help="Idempotency key or business key.")] = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="Started since: 2h, or an RFC 3339 time.")] = None,
    limit: AtMost = 100,
    proof: Annotated[
        str | None, typer.Option(metavar="P", help="Only completed runs that are proven, flagged or pending.")
    ] = None,
) -> None:
    """Runs, newest first."""
    from itertools import islice

    from amends.coordinator.cli.output import show_list
    from amends.coordinator.cli.run_texts import runs_text
    from amends.coordinator.reading.facts import QUARANTINED, quarantined, run_facts
    from amends.coordinator.reading.proofs import proofs_of, runs_of_proof

    _known_status(status)
    wanted = _known_proof(proof, status)
    with call.store() as store:
        first = instant(since, store)
        if wanted is not None:
            found = runs_of_proof(store, wanted, saga=saga, key=key, since=first)
            rows = [row for row, _ in islice(found, limit)]
        elif status == QUARANTINED:
            rows = quarantined(store, saga=saga, key=key, since=first)[:limit]
        else:
            rows = store.runs(status=status, saga=saga, key=key, since=first, limit=limit)
            rows = [row for row in rows if status is None or not row.quarantined]
        proofs, now = proofs_of(store, rows), store.now()
    show_list(call, (run_facts(row, proofs.get(row.saga_id)) for row in rows), lambda _: runs_text(rows, proofs, now))


@command(RUNS, "show", example="amends runs show refund/R-77")
def show_run(call: Call, run: RunArgument, at: At = None, bundle: FromBundle = None) -> None:
    """A run explains itself: what is done, pending, given, to be undone, waited for, and what a person may do now."""
    from amends.coordinator.cli.output import show
    from amends.coordinator.cli.run_texts import facts_text
    from amends.coordinator.reading.showing import shown
    from amends.coordinator.reading.standing import former_standing, standing_of

    if at is None and bundle is None:
        with call.store() as store:
            row, moments = _run_at(store, run, None)
            facts = shown(store, standing_of(store, row, moments), moments, store.now())
    else:
        with call.reading(bundle) as log:
            row, moments = _run_at(log, run, at)
            facts = shown(log, former_standing(log, row, moments), moments, moments[-1].state.at)
    show(call, facts, lambda: facts_text(facts))


@command(RUNS, "story", example="amends runs story 8f1c1a52")
def tell_story(call: Call, run: RunArgument, at: At = None, bundle: FromBundle = None) -> None:
    """What happened, as a narrative for people."""
    from amends.coordinator.cli.output import room, show
    from amends.coordinator.reading.facts import plan_in
    from amends.coordinator.reading.story import story

    with call.reading(bundle) as store:
        row, moments = _run_at(store, run, at)
        plan = plan_in(store, row.definition_hash)
    told = story(moments, plan, row.waiting_for, width=room(sys.stdout) if call.text else None)
    show(call, {"saga_id": row.saga_id, "story": told.splitlines()}, lambda: told)


@command(RUNS, "events", example="amends runs events 8f1c1a52 -o jsonl")
def show_events(call: Call, run: RunArgument, at: At = None, bundle: FromBundle = None) -> None:
    """The raw events of a run."""
    from amends.coordinator.cli.output import show_list
    from amends.coordinator.cli.run_texts import events_text
    from amends.coordinator.reading.events import events_of

    with call.reading(bundle) as store:
        _, moments = _run_at(store, run, at)
    show_list(call, (each for moment in moments for each in events_of(moment.entry)), events_text)


@command(RUNS, "state", example="amends runs state 8f1c1a52 --at 4 -o json")
def show_state(call: Call, run: RunArgument, at: At = None, bundle: FromBundle = None) -> None:
    """The fold of a run's events; with -o json canonical, equal wherever it is computed."""
    from amends.coordinator.cli.output import write, write_line
    from amends.coordinator.reading.history import dump

    with call.reading(bundle) as store:
        _, moments = _run_at(store, run, at, opened=call.text)
    state = moments[-1].state
    if call.text:
        import msgspec

        from amends.coordinator.reading.state_text import told_of
        from amends.schemas.canonical import encode

        write(msgspec.json.format(encode(told_of(state)), indent=2).decode())
    else:
        write_line(dump(state))


@command(RUNS, "watch", example="amends runs watch refund/R-77")
def watch(call: Call, run: RunArgument) -> None:
    """A run live, until it ends."""
    from amends.coordinator.cli.watching import watch_run
    from amends.coordinator.reading.naming import find_run

    with call.store() as store:
        watch_run(call, store, find_run(store, run).saga_id)


def _run_at(store: "LogReading", text: str, at: int | None, *, opened: bool = True) -> tuple["RunRow", list["Moment"]]:
    """The run and its history, the row as it was then. Raises `NotFound` (AM5012) for a version it does not have."""
    from amends.coordinator.reading.facts import plan_in
    from amends.coordinator.reading.history import run_history
    from amends.coordinator.reading.naming import find_run, refuse_archived
    from amends.coordinator.reading.standing import row_then

    row = find_run(store, text)
    moments = run_history(store, row.saga_id, until=at, opened=opened)
    if not moments:
        refuse_archived(store, row.saga_id)
    if not moments or (at is not None and moments[-1].entry.version != at):
        raise NotFound("AM5012", f"run {row.saga_id} has no version {at}", do=f"its versions are 1 to {row.version}")
    if at is None:
        return row, moments
    state = moments[-1].state
    return row_then(row, state, plan_in(store, state.definition_hash)), moments


def _known_status(status: str | None) -> None:
    from amends.coordinator.definition.findings import nearest
    from amends.coordinator.reading.words import STATUS_SYMBOLS

    if status is not None and status not in STATUS_SYMBOLS:
        raise UsageError("AM5005", f"--status {status!r} is no status", do=nearest(status, STATUS_SYMBOLS))


def _known_proof(proof: str | None, status: str | None) -> "Proof | None":
    from typing import get_args

    from amends.coordinator.definition.findings import nearest
    from amends.schemas.events import Proof

    if proof is None:
        return None
    if status not in {None, "completed"}:
        raise UsageError("AM5005", f"--proof is of completed runs, not of {status} ones", do="leave --status out")
    known: tuple[Proof, ...] = get_args(Proof)
    found = next((each for each in known if each == proof), None)
    if found is None:
        raise UsageError("AM5005", f"--proof {proof!r} is no proof", do=nearest(proof, known))
    return found


def instant(since: str | None, store: "Store", *, option: str = "--since") -> int | None:
    """A moment as a person writes it: so long ago, or a time. Raises `UsageError`."""
    from amends.coordinator.definition.durations import milliseconds
    from amends.schemas.instants import MILLISECOND, instant_of

    if since is None:
        return None
    try:
        return store.now() - milliseconds(since) * MILLISECOND
    except ValueError:
        pass
    try:
        return instant_of(since)
    except ValueError:
        raise UsageError(
            "AM5005", f"{option} {since!r} is neither a duration nor a time", do="write 2h, or 2026-11-21T14:00:00Z"
        ) from None
