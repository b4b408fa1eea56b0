"""The shard's head: one hash over every entry of a shard in its order, which shows deleted runs and cut tails."""

from amends.schemas.canonical import sha256_hex

EMPTY_HEAD = ""
"""The head of a shard without entries."""


def next_head(head: str, entry_hash: str) -> str:
    """`H(head, H(entry))` of the design: SHA-256 over both as text, the former head first."""
    return sha256_hex((head + entry_hash).encode())
