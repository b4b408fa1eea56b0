"""JSON as rule 5 wants it: one value for one text, or a clear refusal.

Refused: NaN and the infinities, duplicate keys, lone surrogates, more than 64 levels, invalid UTF-8, numbers that no
double can hold. The fast path is msgspec, which is blind to duplicate keys; it counts only where a proof is at hand
that there were none. Everything else, and every error, goes through the standard library's scanner with hooks.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import msgspec

from amends.schemas.numbers import number_of
from amends.schemas.undecodable import Undecodable

DEPTH_MAX: Final = 64
"""Objects and arrays inside each other."""

_ESCAPE: Final = b"\\"
_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C


def decode(data: bytes) -> object:
    """Decode one JSON text. Whole numbers are `int`, others `Decimal`. Raises `Undecodable`, never anything else."""
    if _ESCAPE not in data:
        try:
            value = _fast.decode(data)
            if _colons(value, 0) == data.count(b":"):
                return value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Undecodable):
            pass  # The slow path says what is wrong, and where.
    return _decode_slowly(data)


def _colons(value: object, depth: int) -> int:
    """Count the colons that a text without escapes must have held for `value`: one a key, and those inside strings.

    A duplicate key leaves its colon in the text and not in the value, so the numbers differ; with no escapes about,
    nothing can make up for it. (Keys that hold colons make them differ too: then the slow path decides.)
    """
    if isinstance(value, str):
        return value.count(":")
    if not isinstance(value, dict | list):
        return 0
    if depth >= DEPTH_MAX:
        raise Undecodable(_TOO_DEEP)
    count = 0
    items: Iterable[object] = value
    if isinstance(value, dict):
        count = len(value)
        items = value.values()
    for item in items:
        if type(item) in _BRANCHING:
            count += _colons(item, depth + 1)
    return count


_TOO_DEEP: Final = f"nested deeper than {DEPTH_MAX} levels"


def _decode_slowly(data: bytes) -> object:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"not UTF-8 at byte {error.start}: {error.reason}") from None
    try:
        value = _strict.decode(text)
    except json.JSONDecodeError as error:
        said = error.msg.removesuffix(" at").removesuffix(" starting")  # Some of its texts go on with the place.
        raise Undecodable(f"not JSON at byte {len(text[: error.pos].encode())}: {said}") from None
    except RecursionError:
        raise Undecodable(f"{_TOO_DEEP}, at byte {_too_deep_at(data)}") from None
    except Undecodable:
        raise
    except ValueError:
        raise Undecodable("an integer of more than 4,300 digits") from None
    _examine(value)
    return value


def _too_deep_at(data: bytes) -> int:
    """Offset of the first bracket that opens level 65."""
    depth, in_string, escaped = 0, False, False
    for offset, byte in enumerate(data):
        if in_string:
            in_string = escaped or byte != _QUOTE
            escaped = byte == _BACKSLASH and not escaped
        elif byte == _QUOTE:
            in_string = True
        elif byte in _OPENING:
            depth += 1
            if depth > DEPTH_MAX:
                return offset
        elif byte in _CLOSING:
            depth -= 1
    return len(data)


class _DuplicateKey(dict[str, object]):
    """Marks an object of which a key came twice, until its path is known."""

    key: str


_BRANCHING: Final[frozenset[type]] = frozenset({str, dict, list, _DuplicateKey})


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    marked = _DuplicateKey(value)
    marked.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def _refuse_constant(name: str) -> NoReturn:
    raise Undecodable(f"{name} is not JSON")


_fast: Final = msgspec.json.Decoder(float_hook=number_of)
_strict: Final = json.JSONDecoder(object_pairs_hook=_object_of, parse_float=number_of, parse_constant=_refuse_constant)


def _examine(value: object, depth: int = 0) -> None:
    """Raise `Undecodable`, naming the path, for a duplicate key, a lone surrogate, or level 65."""
    if isinstance(value, str):
        _refuse_surrogates(value)
        return
    if not isinstance(value, dict | list):
        return
    if depth >= DEPTH_MAX:
        raise Undecodable(_TOO_DEEP)
    if isinstance(value, _DuplicateKey):
        raise Undecodable("the same key stands there twice", value.key)
    if isinstance(value, dict):
        for key in value:
            _refuse_surrogates(key)
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        if type(item) in _BRANCHING:
            try:
                _examine(item, depth + 1)
            except Undecodable as fault:
                raise fault.under(name) from None


def _refuse_surrogates(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Undecodable(f"half of a surrogate pair, \\u{ord(text[error.start]):04x}") from None
