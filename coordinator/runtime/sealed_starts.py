"""Starts of sealed runs: whose data a trigger is, the key of its subject, and whether a request is the same again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from amends.coordinator.core.messages import Start
from amends.coordinator.ports.rows import ERASED
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.keyring import KeyGone, Keyring, subject_in
from amends.coordinator.runtime.runs import Run
from amends.coordinator.sealing.keys import KEYED, Seal
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedStarts:
    """Asked for every start; of one whose saga has no subject it says so at once."""

    catalogue: Catalogue
    keyring: Keyring

    def named(self, item: Item) -> Item:
        """The start, with its subject if its run is to be sealed. Raises `BadKey` where the trigger names none."""
        start = item.message
        assert isinstance(start, Start), "only a start begins a run"
        path = self.catalogue.newest(start.saga).plan.form.subject
        return item if path is None else replace(item, subject=subject_in(item.payloads[start.trigger], path))

    def ask(self, starts: Iterable[Item], known: Mapping[SagaId, object], now: Instant) -> None:
        """Have at hand the keys of those whose runs are not known. Raises `StoreUnavailable`."""
        subjects = {item.subject for item in starts if item.subject is not None and item.saga_id not in known}
        if subjects:
            self.keyring.ask(subjects, now)

    def seal_of(self, item: Item, now: Instant) -> Seal | None:
        """How the run that begins is sealed."""
        if item.subject is None:
            return None
        start = item.message
        assert isinstance(start, Start), "only a start begins a run"
        self.keyring.ask((item.subject,), now)
        stays = self.catalogue.newest(start.saga).plan.form.seal_result
        return Seal(self.keyring.of(item.subject), stays)

    def is_same(self, digest: Digest, start: Start, run: Run | None) -> bool:
        """Whether a run of this request digest was asked for by the same request.

        Of an erased one nobody knows any more: it counts as the same, so that nothing begins a second time.
        """
        if not digest.startswith(KEYED):
            return digest in {ERASED, start.request_digest}
        try:
            key = run.seal.key if run is not None and run.seal is not None else self.keyring.of_run(start.saga_id)
        except KeyGone:
            return True
        return key is not None and key.keyed(start.request_digest) == digest
