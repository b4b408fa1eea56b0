"""Canonical JSON (contract, section 5): one text for one value, so that bytes can be hashed, compared and published.

UTF-8, keys sorted by code point, no insignificant white space, nothing escaped that need not be. Numbers are integers
below 2^53; what else a value holds (money, ratios) is written as text by whoever makes the value.
"""

import hashlib
from typing import Final

import msgspec

INTEGER_MAX: Final = 2**53 - 1

_EMPTY: Final = hashlib.sha256()
_encoder: Final = msgspec.json.Encoder(order="sorted")

_HINT: Final = "only text, integers, booleans, null, lists and objects with text keys are canonical"


def encode(value: object) -> bytes:
    """Write `value` canonically. Speed matters here, so the caller vouches that it holds no floats; see `check`."""
    return _encoder.encode(value)


def digest(data: bytes) -> str:
    """Digest of a payload's bytes, in the form entries refer to it: `sha256:` and 64 hex digits."""
    return "sha256:" + sha256_hex(data)


def sha256_hex(data: bytes) -> str:
    """Plain lower-case hex SHA-256, as the chain uses it."""
    hashed = _EMPTY.copy()  # A new one would be looked up in OpenSSL each time, which takes as long as hashing.
    hashed.update(data)
    return hashed.hexdigest()


def check(value: object, *, path: str = "$") -> None:
    """Raise `ValueError`, naming the path, where a decoded value could not have come from canonical JSON."""
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError(f"{path}: {value} is beyond 2^53; write it as text")
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            check(item, path=f"{path}[{index}]")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(  # noqa: TRY004  whoever checks catches one kind
                    f"{path}: the key {key!r} is not canonical; {_HINT}"
                )
            check(item, path=f"{path}.{key}")
        return
    raise ValueError(f"{path}: {type(value).__name__} is not canonical; {_HINT}")
