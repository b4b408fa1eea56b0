"""`amends forensics export|open`."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import FORENSICS

if TYPE_CHECKING:
    from amends.coordinator.evidence.bundle_log import BundleLog
    from amends.coordinator.evidence.opening import Findings
    from amends.coordinator.ports.rows import RunRow
    from amends.coordinator.ports.store import Store
    from amends.schemas.signed_head import SignedHead

Checkpoints = Annotated[
    str | None, typer.Option(metavar="FILE", help="Signed heads, as `topics tail` prints them; - is stdin.")
]


@command(FORENSICS, "export", example="amends forensics export refund/R-77 8f1c1a52 --to case-17.amends")
async def export(
    call: Call,
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Saga ids, prefixes, SAGA/IDEMPOTENCY-KEY.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file, readable by you alone.")],
    checkpoints: Checkpoints = None,
) -> None:
    """Write runs into one file with all that it takes to verify, show and replay them elsewhere, offline."""
    from amends.coordinator.cli.output import show
    from amends.coordinator.evidence.exporting import Export
    from amends.coordinator.evidence.files import written_whole
    from amends.coordinator.reading.naming import find_run, refuse_archived
    from amends.coordinator.reading.words import counted

    with call.store() as store:
        rows = {row.saga_id: row for row in (find_run(store, run) for run in runs)}
        for saga_id in rows:
            refuse_archived(store, saga_id)
        signed = [each async for each in _signed(call, checkpoints, store, list(rows.values()))]
        with written_whole(to) as file:
            exporting = Export(store=store, file=file, signed=signed)
            manifest = exporting.write(list(rows.values()))
    facts = {
        "file": str(to),
        "hash": manifest.hash,
        "size_bytes": to.stat().st_size,
        "runs": len(rows),
        "entries": exporting.entries,
        "signed": exporting.covered,
        "missing": manifest.missing,
    }

    def text() -> str:
        held = f"{counted(len(rows), 'run')}, {counted(exporting.entries, 'entry', 'entries')}"
        lines = [f"✔ {to}: {held}, {exporting.covered} under a signed head", f"  hash {facts['hash']}"]
        return "\n".join([*lines, *(f"  ! the store does not have {part}" for part in manifest.missing)])

    show(call, facts, text)


@command(FORENSICS, "open", example="amends forensics open case-17.amends --public-key ed25519:…")
def open_file(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `forensics export` wrote.")],
    public_key: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Who signed heads: ed25519:… or a file; may be repeated.")
    ] = None,
    checkpoints: Checkpoints = None,
) -> int:
    """Verify a bundle and show what is in it, offline; exit 1 where something is wrong."""
    from amends.coordinator.cli.output import show
    from amends.coordinator.evidence.head_files import heads_in, lines_of
    from amends.coordinator.evidence.head_files import public_key as read_key
    from amends.coordinator.evidence.opening import verify

    keys = [read_key(text) for text in public_key or ()]
    outside = [] if checkpoints is None else list(heads_in(lines_of(checkpoints)))
    with call.reading_bundle(file) as log:
        found = verify(log, keys=keys, outside=outside)
        facts = _facts(log, found, keys=len(keys))
    show(call, facts, lambda: _text(facts, found))
    return 0 if found.report.ok else 1


async def _signed(call: Call, file: str | None, store: "Store", rows: "list[RunRow]") -> "AsyncIterator[SignedHead]":
    """The heads that may fit: of this store and the runs' shards."""
    from amends.coordinator.cli.output import note
    from amends.coordinator.cli.signed_heads import heads
    from amends.schemas.signed_head import SignedHead

    if file is None and not await _published(call, store):
        note("no signed heads: their topic is not there; --checkpoints FILE takes a copy of them")
        return
    store_id, shards = store.incarnation(), {row.shard for row in rows}
    async for each in heads(call, file, store):
        if isinstance(each, SignedHead) and each.store == store_id and each.shard in shards:
            yield each


async def _published(call: Call, store: "Store") -> bool:
    from amends.coordinator.bootstrap import own_topics, topic_names

    if call.settings.kafka is None:
        return True
    return own_topics(call.settings).checkpoints in await topic_names(call.settings, store)


def _facts(log: "BundleLog", found: "Findings", *, keys: int) -> dict[str, Any]:
    manifest = log.bundle.manifest
    return {
        "ok": found.report.ok,
        "runs": found.report.runs,
        "entries": found.report.entries,
        "faults": found.report.faults,
        "hash": manifest.hash,
        "store": manifest.store,
        "made_at": manifest.made_at,
        "versions": manifest.versions,
        "signed": {"heads": found.heads, "entries": sum(found.signed.values()), "signatures_checked": keys > 0},
        "payloads": found.payloads,
        "outcomes": found.outcomes,
        "missing": manifest.missing,
        "held": [
            {
                "saga_id": row.saga_id,
                "saga": row.saga,
                "definition_version": row.definition_version,
                "idempotency_key": row.idempotency_key,
                "business_key": row.business_key,
                "status": row.status,
                "entries": row.version,
                "signed": found.signed.get(row.saga_id, 0),
            }
            for row in log.rows
        ],
    }


def _text(facts: dict[str, Any], found: "Findings") -> str:
    from amends.coordinator.cli.audit import verdict
    from amends.coordinator.cli.output import columns, status_text
    from amends.coordinator.reading.opening import without_seals

    rows = [
        [
            each["saga_id"],
            f"{each['saga']} v{each['definition_version']}",
            without_seals(each["business_key"]),
            status_text(each["status"]),
            f"{each['entries']} entries, {each['signed']} under a signed head",
        ]
        for each in facts["held"]
    ]
    made = f"made {facts['made_at']} by amends {facts['versions'].get('amends', '?')} from store {facts['store']}"
    return "\n".join(
        [verdict(found.report), f"  {made}", f"  hash {facts['hash']}", _heads(facts), columns(rows, indent="  ")]
    )


def _heads(facts: dict[str, Any]) -> str:
    signed = facts["signed"]
    if not signed["heads"]:
        return "  no signed head covers these entries: their chains show changes, not who wrote them"
    heads = "1 signed head" if signed["heads"] == 1 else f"{signed['heads']} signed heads"
    if not signed["signatures_checked"]:
        return f"  {heads}; who signed is not checked without --public-key"
    return f"  {heads}, each signature that of a given key"
