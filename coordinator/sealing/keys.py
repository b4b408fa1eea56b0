"""One subject's data key, and what is done with it: sealing, opening, digests that nobody can guess.

AES-256-GCM (NIST SP 800-38D) under keys derived from the data key by HMAC-SHA256. The nonce is derived from what is
sealed, as in SIV (RFC 5297): the same value under the same key is the same text, so a batch that is decided again
makes the same bytes, and the engine needs no chance. What is equal is seen to be equal, which the digests show anyway.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from amends.schemas.events import Digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
KEYED: Final = "hmac-sha256:"
"""What the digest of a sealed value begins with."""
MARK: Final = "sealed:"
"""What a text that is sealed in its place begins with."""

_NONCE_BYTES: Final = 12
_SEALED: Final = re.compile(r"s1(r?)\.([0-9a-f]{32})\.([A-Za-z0-9_-]+)")
_IN_TEXT: Final = re.compile(MARK + _SEALED.pattern)
LABEL: Final = "label"
"""In place of a digest, where a subject's own name is sealed."""
_TEXT: Final = b"text"
"""Stands for the digest where a text is sealed in its place."""


class CannotOpen(ValueError):
    """What is sealed was not sealed under this key, or was changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """A sealed text, taken apart. `stays`: where its run is published it stays sealed."""

    key_id: str
    stays: bool
    body: bytes


def parted(text: str) -> Sealing:
    """Take a sealed payload's text apart. Raises `CannotOpen` for what is none."""
    found = _SEALED.fullmatch(text)
    if found is None:
        raise CannotOpen("this is no sealed text")
    body = found[3]
    return Sealing(key_id=found[2], stays=bool(found[1]), body=urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def is_sealed(data: bytes) -> bool:
    """Whether the bytes are a sealed payload's text. Only who has the key can say of what."""
    return _SEALED.fullmatch(data.decode("ascii", errors="replace")) is not None


def with_texts_opened(text: str, opened: Callable[[str], str]) -> str:
    """The text with each part that is sealed in its place replaced by what `opened` makes of it."""
    if MARK not in text:
        return text
    return _IN_TEXT.sub(lambda found: opened(found[0].removeprefix(MARK)), text)


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A data key at work. Its repr shows no secret."""

    key_id: str
    secret: bytes = field(repr=False)
    _digesting: bytes = field(init=False, repr=False)
    _choosing: bytes = field(init=False, repr=False)
    _cipher: "AESGCM" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_digesting", _derived(self.secret, b"digest"))
        object.__setattr__(self, "_choosing", _derived(self.secret, b"nonce"))
        object.__setattr__(self, "_cipher", cipher(_derived(self.secret, b"seal")))

    def digest(self, data: bytes) -> Digest:
        """The digest of a sealed value: only who has the key can say whether it is that of a guessed one."""
        return KEYED + hmac.digest(self._digesting, data, "sha256").hex()

    def keyed(self, digest: Digest) -> Digest:
        """The same of a value whose plain digest is all there is; one that is keyed already stays as it is."""
        return digest if digest.startswith(KEYED) else self.digest(b"digest\0" + digest.encode())

    def seal(self, about: bytes, data: bytes, *, stays: bool) -> str:
        """Encrypt, bound to what it is `about`, the payload's digest."""
        nonce = hmac.digest(self._choosing, b"%b\0%b" % (about, data), "sha256")[:_NONCE_BYTES]
        body = urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, data, about)).rstrip(b"=").decode()
        return f"s1{'r' if stays else ''}.{self.key_id}.{body}"

    def open(self, about: bytes, body: bytes) -> bytes:
        """Decrypt. Raises `CannotOpen`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  only where something is sealed

        try:
            return self._cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("it was sealed under another key, or changed since") from error

    def payload(self, digest: Digest, text: str) -> bytes:
        """The value behind a sealed payload's text. Raises `CannotOpen`."""
        return self.open(digest.encode(), parted(text).body)

    def text(self, text: str) -> str:
        """What is behind a text that was sealed in its place, given without its mark. Raises `CannotOpen`."""
        return self.open(_TEXT, parted(text).body).decode()


@dataclass(frozen=True, slots=True)
class Seal:
    """How one run is sealed: under its subject's key, and whether what is published of it stays sealed."""

    key: SubjectKey
    stays: bool = False

    def payload(self, digest: Digest, data: bytes) -> str:
        """A payload's sealed text."""
        return self.key.seal(digest.encode(), data, stays=self.stays)

    def text(self, text: str) -> str:
        """A text sealed in its place; one that is sealed already, or says nothing, stays as it is."""
        if not text or _IN_TEXT.fullmatch(text):
            return text
        return MARK + self.key.seal(_TEXT, text.encode(errors="replace"), stays=self.stays)

    def opened(self, text: str | None) -> str | None:
        """A text as a handler of the run may see it. Raises `CannotOpen`."""
        return None if text is None else with_texts_opened(text, self.key.text)


def cipher(secret: bytes) -> "AESGCM":
    """AES-GCM under a key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  only where something is sealed

    return AESGCM(secret)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"amends/1/" + purpose, "sha256")
