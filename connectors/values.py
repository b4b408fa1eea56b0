"""Values as pydantic reads and writes them; building an adapter is dear, so each type's is built once."""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter


def adapter_of(returns: Any) -> TypeAdapter[Any]:  # noqa: ANN401  a type, or a type form
    """The adapter of what a call returns."""
    return _built(returns)


@lru_cache(maxsize=512)
def _built(returns: Any) -> TypeAdapter[Any]:  # noqa: ANN401  see above
    return TypeAdapter(returns)
