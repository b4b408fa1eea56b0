"""The proof of runs that have ended: proven, flagged, or pending; nothing where nothing is expected."""

from collections.abc import Iterable, Iterator
from typing import Any

from amends.coordinator.core.proof import proof_of
from amends.coordinator.core.state import State
from amends.coordinator.definition.form import DefinitionForm, read_stored
from amends.coordinator.errors import FoundFault
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import LogReading, Store
from amends.coordinator.reading.history import run_history
from amends.schemas.events import Proof
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant, text_of

PAGE = 200


def proofs_of(store: LogReading, rows: Iterable[RunRow]) -> dict[SagaId, Proof]:
    """Of those runs that have one. Only runs of which something is expected are read for it."""
    expecting: dict[str, bool] = {}
    found: dict[SagaId, Proof] = {}
    for row in rows:
        if row.ended_at is None or row.status == "killed":
            continue
        if row.definition_hash not in expecting:
            stored = store.definition(row.definition_hash)
            expecting[row.definition_hash] = stored is not None and _expects(read_stored(stored.body).form)
        proof = _proof(store, row.saga_id) if expecting[row.definition_hash] else None
        if proof is not None:
            found[row.saga_id] = proof
    return found


def runs_of_proof(
    store: Store, proof: Proof, *, saga: str | None, key: str | None, since: Instant | None
) -> Iterator[tuple[RunRow, Proof]]:
    """Ended runs of this proof, newest first."""
    before = None
    while page := store.runs(saga=saga, key=key, since=since, limit=PAGE, before=before):
        proofs = proofs_of(store, page)
        yield from ((row, proof) for row in page if proofs.get(row.saga_id) == proof)
        before = (page[-1].started_at, page[-1].saga_id)


def expectations_told(state: State) -> list[dict[str, Any]]:
    """What was expected, and whether it held."""
    return [
        {"name": path, "held": each.held, "message": each.message} for path, each in (state.expectations or {}).items()
    ]


def verifications_told(state: State) -> list[dict[str, Any]]:
    """What is read back after the end: until when nobody knows, and what it said."""
    return [
        {
            "path": each.path,
            "direction": each.direction,
            "due_at": text_of(each.due_at),
            "held": each.held,
            "message": each.message,
        }
        for each in state.verifications or ()
    ]


def _expects(form: DefinitionForm) -> bool:
    return any(step.kind == "expect" or step.delays for step in form.every_step())


def _proof(store: LogReading, saga_id: SagaId) -> Proof | None:
    """None also of one whose entries are in an archive, or cannot be read."""
    try:
        moments = run_history(store, saga_id, opened=False)
    except FoundFault:
        return None
    return proof_of(moments[-1].state) if moments else None
