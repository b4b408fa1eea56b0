"""Values as pydantic reads and writes them; building an adapter is dear, so each type's is built once."""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json


def json_of(body: object) -> bytes:
    """What a request carries. Raises `ValueError` for what JSON has no words for: pydantic writes NaN as `NaN`."""
    text = to_json(body)
    if any(word in text for word in _NO_NUMBERS) and text != to_json(body, inf_nan_mode="null"):
        raise ValueError
    return text


_NO_NUMBERS = (b"NaN", b"Infinity")


def adapter_of(returns: Any) -> TypeAdapter[Any]:  # noqa: ANN401  a type, or a type form
    """The adapter of what a call returns."""
    return _built(returns)


@lru_cache(maxsize=512)
def _built(returns: Any) -> TypeAdapter[Any]:  # noqa: ANN401  see above
    return TypeAdapter(returns)
