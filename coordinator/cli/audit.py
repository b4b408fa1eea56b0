"""`amends audit tail|verify|keygen`."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from amends.coordinator.cli.call import Call, Output, command
from amends.coordinator.cli.groups import AUDIT
from amends.coordinator.cli.numbers import Limit
from amends.coordinator.cli.outcomes import LOOK_S, Follow
from amends.coordinator.errors import UsageError

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import StoredEntry
    from amends.coordinator.ports.store import Store
    from amends.coordinator.reading.verify import Report
    from amends.schemas.ids import SagaId

MaybeRun = Annotated[str | None, typer.Argument(metavar="RUN", help="Only this run.")]


@command(AUDIT, "tail", example="amends audit tail --limit 50 --follow")
def tail(call: Call, run: MaybeRun = None, follow: Follow = False, limit: Limit = None) -> None:
    """Entries of the log, from the start to its present end; as jsonl their canonical bytes, a line each."""
    from amends.coordinator.cli.output import write, write_line
    from amends.coordinator.reading.naming import find_run

    with call.store() as store:
        only = None if run is None else find_run(store, run).saga_id
        for part in _parts(store, only, limit, follow=follow):
            if call.text:
                for entry in part:
                    write(_text(entry))
            elif call.output is Output.jsonl or follow:
                for entry in part:
                    write_line(entry.data)
            else:
                write_line(b"[" + b",".join(entry.data for entry in part) + b"]")


@command(AUDIT, "verify", example="amends audit verify --all --from-topic")
async def verify(  # noqa: PLR0917  options of a command
    call: Call,
    run: MaybeRun = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run; also where no RUN is given.")] = False,
    from_topic: Annotated[
        bool,
        typer.Option(
            "--from-topic", help="From the topics alone, not the store; with --public-key only the signed heads."
        ),
    ] = False,
    checkpoints: Annotated[
        str | None, typer.Option(metavar="FILE", help="Signed heads, as `topics tail` prints them; - is stdin.")
    ] = None,
    public_key: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Who signed them: ed25519:… or a file; may be repeated.")
    ] = None,
    store_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the signed heads of this store, and hold them against ours.")
    ] = None,
) -> int:
    """Gaplessness, chain, positions and heads of the log; exit 1 on a fault."""
    from amends.coordinator.cli.output import show

    if everything and run is not None:
        raise UsageError("AM5005", "verify takes RUN or --all", do="give one of them")
    if checkpoints is not None or public_key or store_id is not None:
        from amends.coordinator.cli.signed_heads import Copy, verify_signed

        copy = Copy(file=checkpoints, from_topic=from_topic, keys=tuple(public_key or ()), store_id=store_id)
        return await verify_signed(call, copy, run=run)
    if from_topic:
        from amends.coordinator.cli.topic_reading import verified_from_topic

        report = await verified_from_topic(call, run)
    else:
        report = _verified(call, run)
    facts = {"ok": report.ok, "runs": report.runs, "entries": report.entries, "faults": report.faults}
    show(call, facts, lambda: verdict(report))
    return 0 if report.ok else 1


@command(AUDIT, "keygen", example="amends audit keygen --to checkpoint-key.pem")
def keygen(
    call: Call,
    to: Annotated[str, typer.Option("--to", metavar="FILE", help="Where the private key goes, readable by you alone.")],
) -> None:
    """Make a key that signs the shards' heads; prints the public key, which whoever verifies them needs."""
    from pathlib import Path

    from amends.coordinator.cli.output import show
    from amends.coordinator.evidence.files import write_secret
    from amends.schemas.signing import PrivateKey

    key, file = PrivateKey.new(), Path(to)
    write_secret(file, key.pem)
    facts = {"file": to, "public_key": key.public.text, "key_id": key.public.key_id}
    setting = f"AMENDS_CHECKPOINT_KEY='${{file:{file.absolute()}}}'"
    show(call, facts, lambda: f"✔ {to}\n  public key  {key.public.text}\n  set         {setting}")


def _verified(call: Call, run: str | None) -> "Report":
    from amends.coordinator.cli.progress import progress
    from amends.coordinator.reading.naming import find_run
    from amends.coordinator.reading.verify_store import verify_all, verify_run

    with call.store() as store:
        if run is not None:
            return verify_run(store, find_run(store, run))
        with progress("verifying entries", total=sum(shard.position for shard in store.shards())) as looked:
            return verify_all(store, looked=looked)


def verdict(report: "Report") -> str:
    """What was looked at and found, for people."""
    from amends.coordinator.cli.output import columns
    from amends.coordinator.reading.words import counted

    looked = f"{counted(report.runs, 'run')}, {counted(report.entries, 'entry', 'entries')}"
    if report.archived:
        looked += f", {counted(report.archived, 'entry', 'entries')} archived"
    if report.ok:
        return f"✔ {looked}: gapless, every hash and link as it should be"
    rows = [
        [f"✖ {each.fault}", each.saga_id or "", "" if each.version is None else f"version {each.version}", each.detail]
        for each in report.faults
    ]
    return f"✖ {looked}: {counted(len(report.faults), 'fault')}\n" + columns(rows, indent="  ", fold=True)


def _parts(
    store: "Store", only: "SagaId | None", limit: int | None, *, follow: bool
) -> "Iterator[Iterable[StoredEntry]]":
    from amends.coordinator.reading.history import stored
    from amends.coordinator.reading.logs import entries

    positions: dict[int, int] = {}
    version = 0

    def read() -> "Iterator[StoredEntry]":
        nonlocal version
        if only is None:
            yield from entries(store, positions)
            return
        for entry in stored(store, only, after=version):
            version = entry.version
            yield entry

    mark = store.change_mark()
    yield read() if limit is None else deque(read(), maxlen=limit)
    while follow:
        time.sleep(LOOK_S)
        if (latest := store.change_mark()) != mark:
            mark = latest
            yield read()


def _text(stored: "StoredEntry") -> str:
    from amends.coordinator.cli.output import hung, room, shortened
    from amends.coordinator.reading.events import events_of, in_short
    from amends.coordinator.reading.times import day_and_clock
    from amends.schemas.entry import MalformedEntry, decode
    from amends.schemas.instants import instant_of

    try:
        entry = decode(stored.data)
    except MalformedEntry as error:
        return f"{'?':19}  {shortened(stored.saga_id)}  {stored.version:>3}  ✖ {error}"
    at = day_and_clock(instant_of(entry.at))
    said = "; ".join(f"{each['type']} {in_short(each)}".rstrip() for each in events_of(entry))
    start = f"{at}  {shortened(entry.saga_id)}  {entry.version:>3}  {entry.saga} v{entry.definition_version}  "
    return "\n".join(hung(said, start, room(sys.stdout)))
