"""Ed25519 (RFC 8032) for signed heads: keys as text, signatures as base64; the same bytes have the same signature."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from amends.schemas.canonical import digest

PREFIX: Final = "ed25519:"
"""Before the base64 of a public key's 32 bytes: the form that fits on a line."""


class NoKey(ValueError):
    """The text is no key of this kind. Its message never holds the text."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Verifies. `key_id` is the digest of its 32 bytes."""

    _key: Ed25519PublicKey

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `ed25519:BASE64` or a PEM file's text. Raises `NoKey`."""
        line = text.strip()
        if line.startswith(PREFIX):
            try:
                return cls(Ed25519PublicKey.from_public_bytes(base64.b64decode(line[len(PREFIX) :], validate=True)))
            except (binascii.Error, ValueError) as error:
                raise NoKey(f"behind {PREFIX} there is no base64 of 32 bytes") from error
        try:
            key = load_pem_public_key(line.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise NoKey(f"it is neither {PREFIX}BASE64 nor a public key in PEM form") from error
        if not isinstance(key, Ed25519PublicKey):
            raise NoKey("it is a key of another kind than Ed25519")
        return cls(key)

    @property
    def key_id(self) -> str:
        return digest(self._raw)

    @property
    def text(self) -> str:
        return PREFIX + base64.b64encode(self._raw).decode()

    def verifies(self, signature: str, data: bytes) -> bool:
        """Whether the key's owner signed these bytes. A signature that is no base64 is none."""
        try:
            self._key.verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    @property
    def _raw(self) -> bytes:
        return self._key.public_bytes(Encoding.Raw, PublicFormat.Raw)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """Signs. Its repr shows nothing of it."""

    _key: Ed25519PrivateKey

    @classmethod
    def new(cls) -> Self:
        """Draw a key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a PEM file's text (PKCS 8, without a password). Raises `NoKey`."""
        try:
            key = load_pem_private_key(text.strip().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise NoKey("it is no private key in PEM form without a password") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise NoKey("it is a key of another kind than Ed25519")
        return cls(key)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self._key.public_key())

    @property
    def pem(self) -> bytes:
        """What `read` reads: the secret itself."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, data: bytes) -> str:
        return base64.b64encode(self._key.sign(data)).decode()

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.key_id})"
