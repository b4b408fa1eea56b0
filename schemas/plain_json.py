"""The one JSON text of a user's value: what the log carries as payload and what digests cover.

As canonical JSON (contract, section 5), but user data may hold any number: whole ones are written with all their
digits, others as the shortest decimal, never rounded.
"""

from typing import Final

import msgspec

_encoder: Final = msgspec.json.Encoder(order="sorted", decimal_format="number")


def encode(value: object) -> bytes:
    """Write what `strict_json.decode` or the Avro reader returned."""
    return _encoder.encode(value)
