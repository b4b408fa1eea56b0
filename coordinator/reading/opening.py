"""What is sealed, as those see it who read about runs: opened with the master key, or said to be sealed or erased.

Nothing here fails because something cannot be opened: what remains of a run is told, and what does not is named.
"""

import json
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from amends.coordinator.errors import UsageError
from amends.coordinator.ports.store import LogReading
from amends.coordinator.sealing.keys import KEYED, MARK, CannotOpen, Sealing, SubjectKey, parted, with_texts_opened
from amends.schemas.entry import Entry, Inline, Payload, Sealed
from amends.schemas.events import Digest

ERASED: Final = "(erased)"
"""Where a text stood whose subject was erased."""
SEALED: Final = "(sealed)"
"""Where a text stands that cannot be opened here: the master key is not set, or it is another one."""
KEYS_MAX: Final = 1_000
SEALED_TEXT: Final = MARK.encode() + b"s1"
"""What the bytes of an entry hold that has a text sealed in its place."""

T = TypeVar("T")


@dataclass(slots=True)
class Opening:
    """Opens what was sealed. `published`: as the topics have it, where some definitions keep it sealed.

    It lives as long as what it is used for is read: a key that was erased meanwhile may still be remembered here.
    """

    store: LogReading | None = None
    published: bool = False
    _keys: dict[str, "SubjectKey | str"] = field(default_factory=dict)
    """By id: the key, or what is said in its place."""

    def value(self, digest: Digest, payload: Payload) -> bytes | None:
        """A payload's JSON text; where it cannot be opened, a stand-in that says so. None where it is elsewhere."""
        if isinstance(payload, Inline):
            return payload.inline.encode()
        return self._opened(digest, payload.sealed) if isinstance(payload, Sealed) else self.blob(digest)

    def blob(self, digest: Digest) -> bytes | None:
        """An external payload, opened if it is sealed."""
        data = None if self.store is None else self.store.blob(digest)
        return data if data is None or not digest.startswith(KEYED) else self._opened(digest, data.decode())

    def text(self, text: str) -> str:
        """A text with what is sealed within it opened, or said to be sealed or erased."""
        return with_texts_opened(text, self._text)

    def entry(self, entry: Entry) -> Entry:
        """The entry with the texts of its events opened. Its hash is still that of its bytes."""
        events = tuple(self.within(event) for event in entry.events)
        return msgspec.structs.replace(entry, events=events) if events != entry.events else entry

    def within(self, value: T) -> T:
        """A struct, a tuple or a text, with what is sealed in it opened."""
        found: object = value
        if isinstance(value, str):
            found = self.text(value)
        elif isinstance(value, tuple):
            found = tuple(map(self.within, value))
        elif isinstance(value, msgspec.Struct) and MARK.encode() in _bytes(value):
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            found = msgspec.structs.replace(value, **{name: self.within(each) for name, each in fields.items()})
        return found  # type: ignore[return-value]  # of the kind it was

    def _opened(self, digest: Digest, text: str) -> bytes:
        try:
            sealing = parted(text)
            key = self._key(sealing)
            return key.open(digest.encode(), sealing.body) if isinstance(key, SubjectKey) else said_of(key, digest)
        except CannotOpen:
            return said_of(SEALED, digest)

    def _text(self, text: str) -> str:
        try:
            sealing = parted(text)
            key = self._key(sealing)
            return key.text(text) if isinstance(key, SubjectKey) else key
        except CannotOpen:
            return SEALED

    def _key(self, sealing: Sealing) -> SubjectKey | str:
        if self.published and sealing.stays:
            return SEALED
        found = self._keys.get(sealing.key_id)
        if found is None:
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            found = self._keys[sealing.key_id] = self._looked_up(sealing.key_id)
        return found

    def _looked_up(self, key_id: str) -> SubjectKey | str:
        row = None if self.store is None else self.store.subject_key(key_id)
        if row is None or self.store is None:
            return SEALED
        if row.wrapped is None:
            return ERASED
        try:
            return self.store.master().unwrap(row.key_id, row.wrapped)
        except (UsageError, CannotOpen):
            return SEALED


def without_seals(text: str) -> str:
    """The text with `(sealed)` for what is sealed within it: for who reads the log as it is."""
    return with_texts_opened(text, lambda _: SEALED)


def is_sealed(first: Entry) -> bool:
    """Whether the run that begins with this entry is sealed: then its trigger is."""
    return any(digest.startswith(KEYED) for digest in first.payloads)


def said_of(said: str, digest: Digest) -> bytes:
    """What stands where a value cannot be opened: `{"erased": DIGEST}` or `{"sealed": DIGEST}`."""
    return json.dumps({said.strip("()"): digest}, separators=(",", ":")).encode()


_bytes: Final = msgspec.json.Encoder().encode
