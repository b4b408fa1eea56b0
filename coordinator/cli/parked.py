"""`amends parked list|show|resolve`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import PARKED
from amends.coordinator.cli.runs import RunArgument
from amends.coordinator.cli.wishes import Actor, Timeout, Wait
from amends.coordinator.errors import Conflict, UsageError

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import RunRow
    from amends.coordinator.ports.store import Store
    from amends.schemas.events import Resolution

PAGE = 200


@command(PARKED, "list", example="amends parked list -o json")
def list_parked(call: Call) -> None:
    """Runs that wait for a person, the latest first: what is inconsistent, since when, and what remains."""
    from amends.coordinator.cli.laying_out import listed_at
    from amends.coordinator.cli.output import columns, shortened, show_list
    from amends.schemas.instants import instant_of

    def text(found: list[dict[str, Any]]) -> str:
        rows = [
            [
                listed_at(instant_of(each["since"]), now),
                f"‖ {each['saga']}",
                each["business_key"],
                f"{'↩ ' if each['phase'] == 'undo' else ''}{each['step']}",
                shortened(each["saga_id"]),
                each["why"],
            ]
            for each in found
        ]
        return (
            columns(rows, heads=["since (UTC)", "saga", "business key", "at", "run", "why"], cut=(1, 2, 3, 5))
            if rows
            else "nothing is parked"
        )

    with call.store() as store:
        found, now = [facts for row in _all(store) if (facts := _told(store, row)) is not None], store.now()
    show_list(call, sorted(found, key=lambda facts: facts["since"], reverse=True), text)


@command(PARKED, "show", example="amends parked show 8f1c1a52")
def show_parked(call: Call, run: RunArgument) -> None:
    """One parked run: its story, what must be undone, and the commands a person may give."""
    from amends.coordinator.cli.explaining_text import commands_text, retries_text, undo_text
    from amends.coordinator.cli.output import room, show
    from amends.coordinator.reading.explaining import explain
    from amends.coordinator.reading.facts import ended_status
    from amends.coordinator.reading.history import run_history
    from amends.coordinator.reading.naming import find_run
    from amends.coordinator.reading.standing import standing_of
    from amends.coordinator.reading.story import story

    with call.store() as store:
        row = find_run(store, run)
        facts = _facts(store, row)
        if facts is None:
            status = "quarantined" if row.quarantined else ended_status(row) or row.status
            raise Conflict(
                "AM5013", f"run {row.saga_id} is {status}, not parked", do=f"see: amends runs show {row.saga_id}"
            )
        moments = run_history(store, row.saga_id)
        standing = standing_of(store, row, moments)
        explanation = explain(standing, moments, store.now())
        told = story(moments, standing.plan, width=room(sys.stdout))

    def text() -> str:
        assert explanation is not None, "without its definition there are no facts"
        lines = told.rstrip("\n").splitlines()[:-1]  # the last line says: look at what is shown here
        lines.append(f"  In doubt: {', '.join(facts['in_doubt']) or 'nothing'}.")
        for section in (undo_text, retries_text, commands_text):
            lines += section(explanation)
        return "\n".join(lines)

    show(call, {**facts, "explanation": explanation}, text)


@command(
    PARKED, "resolve", example='amends parked resolve 8f1c1a52 --step restock --done-by-hand --evidence "ticket 4711"'
)
def resolve(  # noqa: PLR0917  options of a command
    call: Call,
    run: RunArgument,
    step: Annotated[str | None, typer.Option(metavar="S", help="The step it is parked at.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try the failed thing again.")] = False,
    done_by_hand: Annotated[bool, typer.Option("--done-by-hand", help="It was done; needs --evidence.")] = False,
    evidence: Annotated[str | None, typer.Option(metavar="E", help="What shows that it was done.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Leave it in the world; needs --reason.")] = False,
    go_forward: Annotated[bool, typer.Option("--go-forward", help="Request it all again; needs --reason.")] = False,
    undo_to: Annotated[
        str | None, typer.Option(metavar="STEP", help="Undo what came after it, and go on from there; needs --reason.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="R", help="Why; it stands in the log.")] = None,
    actor: Actor = None,
    wait: Wait = False,
    timeout: Timeout = "60s",
) -> int:
    """Decide about a parked run: about the step it is parked at, or how far it is undone before it goes on."""
    from amends.coordinator.cli.wishing import Wished, leave
    from amends.schemas.wishes import Resolve, UndoTo

    chosen = {"retry": retry, "done_by_hand": done_by_hand, "skip": skip, "go_forward": go_forward}
    if undo_to is not None:
        why = _why_undo_to(chosen, step, reason)
        undone = Wished("resolve", lambda row, by: UndoTo(actor=by, saga_id=row.saga_id, step=undo_to, reason=why))
        return leave(call, run, undone, actor, wait=wait, timeout=timeout)
    resolution = _resolution(chosen, evidence, reason)
    if step is None:
        raise UsageError("AM5005", "a decision is about the step the run is parked at", do="name it with --step")
    wished = Wished(
        "resolve",
        lambda row, by: Resolve(
            actor=by, saga_id=row.saga_id, step=step, resolution=resolution, reason=reason, evidence=evidence
        ),
    )
    return leave(call, run, wished, actor, wait=wait, timeout=timeout)


def _why_undo_to(chosen: dict[str, bool], step: str | None, reason: str | None) -> str:
    if any(chosen.values()) or step is not None:
        raise UsageError(
            "AM5005", "--undo-to is a decision of its own, about the whole run", do="leave --step and the others out"
        )
    if not reason:
        raise UsageError("AM5005", "--undo-to needs a reason", do='add --reason "why"')
    return reason


def _resolution(chosen: dict[str, bool], evidence: str | None, reason: str | None) -> "Resolution":
    named = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(named) != 1:
        raise UsageError(
            "AM5005",
            "resolve takes one decision" + (f", not {len(named)}" if named else ""),
            do="give --retry, --done-by-hand, --skip, --go-forward or --undo-to STEP",
        )
    if named[0] == "done_by_hand" and not evidence:
        raise UsageError("AM5005", "--done-by-hand needs evidence", do='add --evidence "what shows that it was done"')
    if named[0] in {"skip", "go_forward"} and not reason:
        raise UsageError("AM5005", f"--{named[0].replace('_', '-')} needs a reason", do='add --reason "why"')
    found: Resolution = named[0]  # type: ignore[assignment]  # the four names are the four resolutions
    return found


def _facts(store: "Store", row: "RunRow") -> dict[str, Any] | None:
    """None if it is not parked any more, or never was."""
    from amends.coordinator.reading.facts import parked_facts, plan_in
    from amends.coordinator.reading.history import run_history

    moments = run_history(store, row.saga_id) if row.status == "parked" and not row.quarantined else []
    plan = plan_in(store, row.definition_hash)
    if not moments or moments[-1].state.parked is None or plan is None:
        return None
    return parked_facts(row, moments[-1].state, plan)


def _told(store: "Store", row: "RunRow") -> dict[str, Any] | None:
    """The same for a list: a history that is broken is named, and hides no other run."""
    from amends.coordinator.cli.output import note
    from amends.coordinator.errors import FoundFault

    try:
        return _facts(store, row)
    except FoundFault as fault:
        note(fault.line())
        return None


def _all(store: "Store") -> "list[RunRow]":
    found: list[RunRow] = []
    before = None
    while page := store.runs(status="parked", limit=PAGE, before=before):
        found += page
        before = (page[-1].started_at, page[-1].saga_id)
    return found
