"""`amends subjects list|hold|release|erase`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import SUBJECTS
from amends.coordinator.cli.wishes import Actor
from amends.coordinator.errors import Conflict, NotFound, StoreUnavailable, UsageError

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import SubjectFacts, SubjectRow
    from amends.coordinator.ports.store import Store

Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="As its triggers spell it.")]


@command(SUBJECTS, "list", example="amends subjects list -o json")
def list_subjects(call: Call) -> None:
    """Whose data is sealed here: the runs, who is held, who was erased. The latest first."""
    from amends.coordinator.cli.output import columns, show_list
    from amends.coordinator.reading.times import day_and_clock
    from amends.schemas.instants import instant_of

    def text(found: list[dict[str, Any]]) -> str:
        rows = [
            [
                day_and_clock(instant_of(each["made_at"])),
                each["subject"] or ("(erased)" if each["erased_at"] else "(sealed)"),
                str(each["runs"]),
                str(each["open_runs"]),
                _told(each),
            ]
            for each in found
        ]
        heads = ["since (UTC)", "subject", "runs", "open", ""]
        return columns(rows, heads=heads, fold=True) if rows else "nobody's data is sealed here"

    with call.store() as store:
        found = [_facts(store, each) for each in store.subjects()]
    show_list(call, found, text)


@command(SUBJECTS, "hold", example='amends subjects hold C-17 --reason "case 2026/17"')
def hold(
    call: Call,
    subject: Subject,
    reason: Annotated[str, typer.Option(metavar="R", help="Why its data must be kept.")],
    actor: Actor = None,
) -> None:
    """Let nobody erase a subject until it is released."""
    _hold(call, subject, reason, actor)


@command(SUBJECTS, "release", example="amends subjects release C-17")
def release(call: Call, subject: Subject, actor: Actor = None) -> None:
    """Let a subject that was held be erased."""
    _hold(call, subject, None, actor)


@command(SUBJECTS, "erase", example='amends subjects erase C-17 --reason "asked to, ticket 815"')
def erase(
    call: Call,
    subject: Annotated[str | None, typer.Argument(metavar="SUBJECT", help="As its triggers spell it.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="R", help="Why; it is kept.")] = None,
    actor: Actor = None,
    scrub: Annotated[bool, typer.Option("--scrub", help="Only write the store's files anew, after AM0337.")] = False,
) -> None:
    """Destroy a subject's key: what its runs held is unreadable everywhere, and the log still verifies."""
    from amends.coordinator.cli.output import show
    from amends.coordinator.reading.words import counted

    if scrub:
        if subject is not None:
            raise UsageError("AM5005", "--scrub erases nobody", do="leave SUBJECT out, or --scrub")
        with call.store(read_only=False) as store:
            _scrub(store)
        show(call, {"scrubbed": True}, lambda: "✔ the store's files were written anew")
        return
    if subject is None or not reason:
        missing = "--reason" if subject is not None else "SUBJECT"
        raise UsageError("AM5005", f"erase needs {missing}", do='write: amends subjects erase SUBJECT --reason "why"')
    with call.store(read_only=False) as store:
        erased = _erased(store, subject, reason, actor)
        runs = store.subject_runs(erased.subject)
        _scrub(store)
    facts = {"subject": subject, **_row_facts(erased), "runs": runs, "scrubbed": True}
    show(
        call, facts, lambda: f"✔ {subject} is erased: nobody can read {counted(len(runs), 'run')}, and the log verifies"
    )


def _hold(call: Call, subject: str, reason: str | None, actor: str | None) -> None:
    from amends.coordinator.cli.output import show
    from amends.coordinator.cli.wishing import login
    from amends.schemas.instants import text_of

    with call.store(read_only=False) as store:
        by, at = actor or login(), store.now()
        if not store.hold_subject(store.master().name_of(subject), reason=reason, by=by, at=at):
            raise _unknown(subject)
    facts = {"subject": subject, "held": reason, "by": by, "at": text_of(at)}
    show(call, facts, lambda: f"✔ {subject} is {'held: ' + reason if reason else 'released'}")


def _erased(store: "Store", subject: str, reason: str, actor: str | None) -> "SubjectRow":
    from amends.coordinator.cli.wishing import login
    from amends.coordinator.reading.past_waits import past_waits_of
    from amends.coordinator.redaction import redact
    from amends.schemas.instants import text_of

    name = store.master().name_of(subject)
    waited = past_waits_of(store, store.subject_runs(name))
    found = store.erase_subject(name, reason=redact(reason), by=actor or login(), at=store.now(), waited=waited)
    if found is None:
        raise _unknown(subject)
    if found.held is not None:
        since = f"since {text_of(found.held_at or 0)} by {found.held_by}"
        raise Conflict(
            "AM0336",
            f"subject {subject!r} is held {since}: {found.held}",
            do=f"release it first: amends subjects release {subject}",
        )
    return found


def _scrub(store: "Store") -> None:
    from amends.coordinator.cli.progress import progress

    try:
        with progress("writing the store's files anew"):
            store.scrub()
    except (StoreUnavailable, UsageError) as error:
        raise StoreUnavailable(
            "AM0337",
            f"the subject is erased, but the store's files could not be written anew ({error.why})",
            do="run it again: amends subjects erase --scrub",
        ) from error


def _unknown(subject: str) -> NotFound:
    return NotFound(
        "AM0334", f"no subject {subject!r} has a key here", do="`amends subjects list` shows those that have"
    )


def _facts(store: "Store", facts: "SubjectFacts") -> dict[str, Any]:
    return {
        "subject": _name_of(store, facts.row),
        **_row_facts(facts.row),
        "runs": facts.runs,
        "open_runs": facts.open_runs,
    }


def _row_facts(row: "SubjectRow") -> dict[str, Any]:
    from amends.schemas.instants import text_of

    times = {name: getattr(row, name) for name in ("made_at", "held_at", "erased_at")}
    return {
        "key_id": row.key_id,
        **{name: None if at is None else text_of(at) for name, at in times.items()},
        "held": row.held,
        "held_by": row.held_by,
        "erased_by": row.erased_by,
        "reason": row.reason,
    }


def _name_of(store: "Store", row: "SubjectRow") -> str | None:
    """The subject's name; None once it is erased, or where the master key is not at hand."""
    from amends.coordinator.sealing.keys import LABEL, CannotOpen

    if row.wrapped is None:
        return None
    try:
        return store.master().unwrap(row.key_id, row.wrapped).payload(LABEL, row.label).decode()
    except (CannotOpen, UsageError):
        return None


def _told(facts: dict[str, Any]) -> str:
    if facts["erased_at"]:
        return f"erased {facts['erased_at']} by {facts['erased_by']}: {facts['reason']}"
    return f"held by {facts['held_by']}: {facts['held']}" if facts["held"] else ""
