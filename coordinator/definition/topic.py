"""The trigger topic of a saga, and how a record on it names its request and its object."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from amends.coordinator.definition.durations import Duration
from amends.coordinator.definition.policies import bad_option, positive_ms, whole_number

T = TypeVar("T")


@dataclass(frozen=True, slots=True, init=False)
class Topic(Generic[T]):
    """Where triggers come from.

    `idempotency_key` and `business_key` are dotted names in the decoded data; the first names the request (without
    it, the header `idempotency-key` or CloudEvents `source` and `id` do), the second the object it is about.
    `volatile` names fields that may differ between two copies of one request. `schemas` is a pattern of `.avsc` files
    beside the module. `cloudevents_type` takes only records of this type. `dedup_for` shortens how long a request is
    remembered (default: for ever).
    """

    name: str
    model: type[T]
    idempotency_key: str | None
    business_key: str | None
    volatile: tuple[str, ...]
    schemas: str | None
    cloudevents_type: str | None
    size_bytes_max: int
    dedup_for_ms: int | None

    def __init__(
        self,
        name: str,
        model: type[T],
        *,
        idempotency_key: str | None = None,
        business_key: str | None = None,
        volatile: Sequence[str] = (),
        schemas: str | None = None,
        cloudevents_type: str | None = None,
        size_bytes_max: int = 1_000_000,
        dedup_for: Duration | None = None,
    ) -> None:
        if not _is_topic(name):
            raise bad_option("Topic", "name", f"{name!r} is no topic's name", do="use letters, digits, . _ and -")
        if isinstance(volatile, str):
            raise bad_option("Topic", "volatile", f"{volatile!r} is one text", do=f'write volatile=["{volatile}"]')
        whole_number("Topic", "size_bytes_max", size_bytes_max)
        _set(self, "name", name)
        _set(self, "model", model)
        _set(self, "idempotency_key", idempotency_key)
        _set(self, "business_key", business_key)
        _set(self, "volatile", tuple(sorted(set(volatile))))
        _set(self, "schemas", schemas)
        _set(self, "cloudevents_type", cloudevents_type)
        _set(self, "size_bytes_max", size_bytes_max)
        _set(self, "dedup_for_ms", None if dedup_for is None else positive_ms("Topic", "dedup_for", dedup_for))

    @classmethod
    def none(cls, model: type[T]) -> "Topic[T]":
        """Stand in for the topic of a saga that is only called: `model` is what it is called with."""
        topic = cls("none", model)
        _set(topic, "name", "")
        return topic


_set = object.__setattr__
_TOPIC_LENGTH_MAX = 249  # Kafka's own limit


def _is_topic(name: object) -> bool:
    if not isinstance(name, str):
        return False
    return 0 < len(name) <= _TOPIC_LENGTH_MAX and all(
        each.isascii() and (each.isalnum() or each in "._-") for each in name
    )
