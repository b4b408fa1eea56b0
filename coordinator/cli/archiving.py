"""`amends archive`."""

from pathlib import Path
from typing import Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, OPERATE
from amends.coordinator.errors import UsageError


@command(APP, "archive", panel=OPERATE, example="amends archive --before 90d --to archive")
def archive(
    call: Call,
    before: Annotated[str, typer.Option(metavar="T", help="Runs that ended before: 90d ago, or an RFC 3339 time.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A folder; made if it is missing.")] = Path("archive"),
) -> None:
    """Move the entries of runs that have ended into bundles; the index of runs stays, and the log verifies."""
    from amends.coordinator.cli.output import note, show
    from amends.coordinator.cli.runs import instant
    from amends.coordinator.evidence.archiving import Archiving
    from amends.coordinator.reading.words import counted

    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("AM5005", f"--to {to} is no folder: {error.strerror}", do="name another folder") from None
    with call.store(read_only=False) as store:
        until = instant(before, store, option="--before")
        assert until is not None, "it was given"
        relayed = None if call.settings.kafka is None else store.relay_position
        done = []
        for each in Archiving(store=store, folder=to, relayed=relayed).move(until):
            done.append(each)
            if call.text:
                note(f"{each.file}: {counted(each.runs, 'run')}, {counted(each.entries, 'entry', 'entries')}")
        ended = (row.ended_at for row in store.runs_open() if not row.quarantined)
        still_due = sum(at is not None and at < until for at in ended)
    if call.text and still_due:
        note(f"still to be read back, and not moved: {counted(still_due, 'run')} (amends runs list --status waiting)")
    facts = {
        "runs": sum(each.runs for each in done),
        "entries": sum(each.entries for each in done),
        "files": [str(each.file) for each in done],
        "still_due": still_due,
    }
    moved = f"{counted(facts['runs'], 'run')}, {counted(facts['entries'], 'entry', 'entries')}"  # type: ignore[arg-type]
    show(call, facts, lambda: f"✔ {moved} in {counted(len(done), 'file')} in {to}")
