"""One recorded run, as it is decided again."""

from collections.abc import Mapping
from dataclasses import dataclass

from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.sealing.keys import KEYED
from amends.schemas.entry import Entry
from amends.schemas.events import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One recorded run."""

    name: str
    entries: tuple[Entry, ...]
    form: DefinitionForm
    values: Mapping[Digest, bytes]

    def value(self, digest: Digest) -> bytes:
        """A value's JSON text. Raises `KeyError` for one that was not recorded."""
        return self.values[digest]

    @property
    def anonymous(self) -> bool:
        """Whether its values are placeholders: those of a run that was sealed."""
        return any(digest.startswith(KEYED) for digest in self.entries[0].payloads)
