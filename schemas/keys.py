"""Idempotency and business keys: where they are in a trigger, and what may be one (contract, section 3)."""

import re
from typing import Final

KEY_CHARACTERS_MAX: Final = 255


class BadKey(ValueError):
    """What stands where the key should be cannot be one."""

    def __init__(self, detail: str, path: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.detail = detail
        self.path = path


def value_at(data: object, path: str) -> object:
    """Follow dotted names through objects; None where there is nothing."""
    for name in path.split("."):
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def key_at(data: object, path: str) -> str | None:
    """Give the key at a dotted path as text; None if it is null, empty or absent. Raises `BadKey`."""
    return key_of(value_at(data, path), path)


def key_of(value: object, path: str) -> str | None:
    """Take a text of 1 to 255 characters or a whole number as key. Raises `BadKey` on anything else."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= _BEYOND:
            raise BadKey(f"a key has at most {KEY_CHARACTERS_MAX} digits", path)
        return str(value)
    if not isinstance(value, str):
        raise BadKey("a key is a text or a whole number", path)
    if len(value) > KEY_CHARACTERS_MAX:
        raise BadKey(f"a key has at most {KEY_CHARACTERS_MAX} characters, not {len(value)}", path)
    if has_controls(value):
        raise BadKey("a key has no control characters", path)
    return value


def has_controls(text: str) -> bool:
    """Whether it holds a control character: a NUL is text to no database, and the others rewrite a terminal."""
    return _CONTROLS.search(text) is not None


_BEYOND: Final = 10 ** (KEY_CHARACTERS_MAX - 1)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
