"""One number for an entry's place in the whole store: shard and position together (design, section 2, Append)."""

from typing import Final

POSITION_BITS: Final = 48
POSITION_MASK: Final = (1 << POSITION_BITS) - 1
ENTRY_TOPIC: Final = "amends.entry/1"
"""What the library's `topic` column says of every row of the log: the format of its bytes."""


def place_of(shard: int, position: int) -> int:
    """The library's notification id. It orders a shard's entries; across shards it orders nothing."""
    return shard << POSITION_BITS | position
