"""The master key: it wraps the data keys and names subjects. It is kept outside the store, by reference (rule 17)."""

import hmac
import os
import re
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.errors import UsageError
from amends.coordinator.sealing.keys import KEY_BYTES, CannotOpen, SubjectKey, cipher

_NONCE_BYTES: Final = 12
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """32 bytes that whoever runs Amends keeps; without them nothing that is sealed can be opened."""

    secret: bytes = field(repr=False)

    def name_of(self, subject: str) -> str:
        """What the store calls a subject: a keyed hash, which tells nobody else who it is."""
        return hmac.digest(self.secret, b"amends/1/subject\0" + subject.encode(), "sha256").hex()

    def wrap(self, key: SubjectKey) -> bytes:
        """A data key as the store keeps it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + cipher(self._wrapping).encrypt(nonce, key.secret, key.key_id.encode())

    def unwrap(self, key_id: str, wrapped: bytes) -> SubjectKey:
        """The data key. Raises `CannotOpen` if it was wrapped under another master key."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  only where something is sealed

        try:
            secret = cipher(self._wrapping).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotOpen(f"the key {key_id} was not wrapped under this master key") from error
        return SubjectKey(key_id, secret)

    @property
    def _wrapping(self) -> bytes:
        return hmac.digest(self.secret, b"amends/1/wrap", "sha256")


def new_key() -> SubjectKey:
    """A data key that nobody has had before."""
    return SubjectKey(os.urandom(16).hex(), os.urandom(KEY_BYTES))


def master_key(text: str) -> MasterKey:
    """Read a master key, 32 bytes in base64 or 64 hex digits. Raises `UsageError` (AM0332), which does not quote it."""
    written = text.strip()
    try:
        secret = bytes.fromhex(written) if _HEX.fullmatch(written) else _unbased(written)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise UsageError(
            "AM0332",
            "AMENDS_MASTER_KEY leads to something that is no key of 32 bytes",
            do="make one with `openssl rand -base64 32`, and keep it where no backup of the store is kept",
        )
    return MasterKey(secret)


def _unbased(text: str) -> bytes:
    padded = text + "=" * (-len(text) % 4)
    return urlsafe_b64decode(padded) if "-" in text or "_" in text else b64decode(padded, validate=True)


@dataclass(slots=True)
class MasterReference:
    """Where the master key is. It is resolved when it is first needed: most commands never do."""

    resolve: Callable[[], str] | None
    """None where no reference is set."""
    _found: MasterKey | None = field(default=None, repr=False)

    def __call__(self) -> MasterKey:
        """The key. Raises `UsageError`: AM0331 without a reference, AM2002 for one that leads nowhere, AM0332."""
        if self._found is None:
            if self.resolve is None:
                raise UsageError(
                    "AM0331",
                    "no master key is set, and without one nothing can be sealed or opened",
                    do="make one with `openssl rand -base64 32`, and set AMENDS_MASTER_KEY='${env:NAME}' "
                    "or '${file:PATH}'",
                )
            self._found = master_key(self.resolve())
        return self._found


NO_MASTER: Final = MasterReference(None)
"""No reference is set."""
