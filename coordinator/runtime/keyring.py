"""Data keys in a worker: found or made for what begins, found again for what is loaded, forgotten soon.

That a key which somebody has erased is still remembered here does no harm: a run that begins under it is refused by the
append, and then the subject has a new one.
"""

import json
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.errors import UsageError
from amends.coordinator.ports.rows import SubjectRow
from amends.coordinator.ports.store import Store
from amends.coordinator.sealing.keys import KEYED, LABEL, CannotOpen, Seal, SubjectKey, parted
from amends.coordinator.sealing.master import new_key
from amends.schemas.entry import External, Inline, Payload, Sealed, decode
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND, Instant
from amends.schemas.keys import BadKey, key_at

KEYS_MAX: Final = 10_000
KEPT_US: Final = 60 * SECOND
"""After so long a key is asked for anew."""


class KeyGone(LookupError):
    """The key was erased: what it sealed is readable for nobody."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"its data key {key_id} was erased")
        self.key_id = key_id


def require_master(store: Store) -> None:
    """Raise `UsageError` without a master key (AM0331, AM0332), or with another than the store's keys have (AM0333)."""
    master, row = store.master(), store.some_subject()
    if row is None or row.wrapped is None:
        return
    try:
        master.unwrap(row.key_id, row.wrapped)
    except CannotOpen:
        raise UsageError(
            "AM0333",
            "the master key is not the one under which the store's data keys are wrapped",
            do="let AMENDS_MASTER_KEY lead to that one: without it nothing that is sealed can be opened",
        ) from None


def subject_in(trigger: bytes, path: str) -> str:
    """Whose data a trigger is. Raises `BadKey` where it does not say."""
    found = key_at(json.loads(trigger), path)
    if found is None:
        raise BadKey("nothing names the subject under whose key the run would be sealed", path)
    return found


@dataclass(slots=True, kw_only=True)
class Keyring:
    """Touched by the engine's turn alone."""

    store: Store
    _living: "OrderedDict[str, tuple[SubjectKey, Instant]]" = field(default_factory=OrderedDict)
    """By subject."""

    def ask(self, subjects: Collection[str], now: Instant) -> None:
        """Have the keys of these subjects at hand; who has none gets one. Raises `StoreUnavailable`."""
        for subject in [name for name, (_, asked_at) in self._living.items() if now - asked_at > KEPT_US]:
            del self._living[subject]
        names: dict[str, str] = {}
        for subject in subjects:
            if subject in self._living:
                self._living.move_to_end(subject)
            else:
                names[self.store.master().name_of(subject)] = subject
        if not names:
            return
        rows = self.store.subject_keys(list(names))
        if missing := [subject for name, subject in names.items() if name not in rows]:
            rows |= self.store.put_subjects([self._made(subject, now) for subject in missing])
        for name, row in rows.items():
            self._living[names[name]] = self._opened(row), now
        while len(self._living) > max(KEYS_MAX, len(subjects)):
            self._living.popitem(last=False)

    def of(self, subject: str) -> SubjectKey:
        """The key of a subject that was asked for just now."""
        return self._living[subject][0]

    def forget(self, key_ids: Collection[str]) -> None:
        """They were erased."""
        for subject in [subject for subject, (key, _) in self._living.items() if key.key_id in key_ids]:
            del self._living[subject]

    def by_id(self, key_id: str) -> SubjectKey:
        """The key that something was sealed under. Raises `KeyGone`, or what the master key raises."""
        row = self.store.subject_key(key_id)
        if row is None or row.wrapped is None:
            raise KeyGone(key_id)
        return self._opened(row)

    def of_run(self, saga_id: SagaId) -> SubjectKey | None:
        """The key that a stored run was sealed under; None for one that was not. Raises as `by_id` does."""
        first = self.store.entries_of(saga_id, limit=1)
        texts = [self.sealed(*each) for entry in first for each in decode(entry.data).payloads.items()]
        return next((self.by_id(parted(text).key_id) for text in texts if text is not None), None)

    def sealed(self, digest: Digest, payload: Payload) -> str | None:
        """The sealed text of a payload, wherever it lies; None for what is not sealed."""
        if isinstance(payload, Sealed):
            return payload.sealed
        if isinstance(payload, External) and digest.startswith(KEYED):
            blob = self.store.blob(digest)
            return None if blob is None else blob.decode()
        return None

    def value(self, digest: Digest, payload: Payload) -> bytes | None:
        """A payload's value; None where it is nowhere. Raises as `by_id` does, and `CannotOpen`."""
        if isinstance(payload, Inline):
            return payload.inline.encode()
        if digest.startswith(KEYED):
            text = self.sealed(digest, payload)
            return None if text is None else self.by_id(parted(text).key_id).payload(digest, text)
        return self.store.blob(digest)

    def _made(self, subject: str, now: Instant) -> SubjectRow:
        key, master = new_key(), self.store.master()
        label = Seal(key).payload(LABEL, subject.encode())
        name = master.name_of(subject)
        return SubjectRow(key_id=key.key_id, subject=name, label=label, wrapped=master.wrap(key), made_at=now)

    def _opened(self, row: SubjectRow) -> SubjectKey:
        if row.wrapped is None:
            raise KeyGone(row.key_id)
        return self.store.master().unwrap(row.key_id, row.wrapped)
