"""Which partition a key belongs to: Kafka's own default, so that every client agrees with us."""

import random
from functools import lru_cache

from aiokafka.partitioner import murmur2


def partition_of(key: bytes | None, partitions: int) -> int:
    """Give murmur2 of the key, as Java's producer does; any partition without one."""
    if key is None:
        return random.randrange(partitions)  # noqa: S311  spreads load, guards nothing
    return _hash_of(key) % partitions


@lru_cache(maxsize=4096)
def _hash_of(key: bytes) -> int:
    """A run's entries follow each other under one key, and the hash is slow in Python."""
    return int(murmur2(key)) & 0x7FFFFFFF
