"""Which handlers an APP lacks for runs of a stored graph, and why: what the catalogue decides, told to people."""

from collections.abc import Callable
from dataclasses import dataclass

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.compatibility import fields_used, why_not
from amends.coordinator.definition.form import StoredDefinition
from amends.coordinator.ports.rows import DefinitionRow
from amends.coordinator.runtime.catalogue import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """`stored` reads a definition by its hash, `stored_rows` the row that the catalogue wants."""

    sagas: tuple[ClosedSaga, ...]
    stored: Callable[[str], StoredDefinition | None]
    stored_rows: Callable[[str], DefinitionRow | None]

    def of(self, digest: str) -> dict[str, str]:
        """By handler why it cannot serve runs of this graph; empty if APP serves them."""
        known = Catalogue(sagas=self.sagas, stored=self.stored_rows).by_hash(digest)
        if known is None:
            return {"its whole definition": "neither APP nor the store has it"}
        definition = self.stored(digest)
        return {name: self._why(name, digest, definition) for name in sorted(known.plan.missing)}

    def _why(self, name: str, digest: str, stored: StoredDefinition | None) -> str:
        own = [saga for saga in self.sagas if saga.hash == digest]
        definition = stored or own[0].stored
        same = [saga for saga in self.sagas if saga.name == definition.form.name]
        if not same:
            return f"APP has no saga {definition.form.name!r}"
        used = fields_used(definition.form).get(name, ())
        candidates = own or sorted(same, key=lambda saga: -saga.version)
        today = next((found for saga in candidates if (found := saga.stored.schemas.get(name)) is not None), None)
        return why_not(definition.schemas.get(name), today, used) or "no version of it can read what was stored"
