"""What reaches a sealed run, before anything is decided: its digests keyed, what people and handlers wrote sealed.

By the names of fields, so that a message that somebody adds is covered if it calls things as the others do; a test
holds every text of every message to the lists here.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from amends.coordinator.core.messages import Message
from amends.coordinator.sealing.keys import Seal
from amends.schemas.events import Digest

TEXTS: Final = frozenset({"message", "reason", "evidence", "external_id", "action", "resource", "status"})
"""Fields that hold what a handler, a connector, a participant or a person wrote."""
DIGESTS: Final = frozenset({"trigger", "result", "body"})
"""Fields that hold the digest of a value."""
DIGESTS_ALONE: Final = frozenset({"request_digest"})
"""Fields that hold a digest by which requests are compared: keyed from the plain one, which is all a duplicate has."""


def sealed_message(
    message: Message, payloads: Mapping[Digest, bytes], seal: Seal
) -> tuple[Message, dict[Digest, bytes]]:
    """The message as the log may hold it, and the values it brings under their keyed digests."""
    keyed = {digest: seal.key.digest(value) for digest, value in payloads.items()}
    sealed: Message = _sealed(message, keyed, seal)  # type: ignore[assignment]  # a struct stays of its kind
    return sealed, {keyed[digest]: value for digest, value in payloads.items()}


def _sealed(value: object, keyed: Mapping[Digest, Digest], seal: Seal) -> object:
    if isinstance(value, tuple):
        return tuple(_sealed(each, keyed, seal) for each in value)
    if not isinstance(value, msgspec.Struct):
        return value
    changed: dict[str, object] = {}
    for name in value.__struct_fields__:
        before = getattr(value, name)
        after = _field(name, before, keyed, seal)
        if after is not before:
            changed[name] = after
    return msgspec.structs.replace(value, **changed) if changed else value


def _field(name: str, value: object, keyed: Mapping[Digest, Digest], seal: Seal) -> object:
    if not isinstance(value, str):
        return _sealed(value, keyed, seal)
    if name in DIGESTS_ALONE:
        return seal.key.keyed(value)
    if name in DIGESTS:
        return keyed.get(value) or seal.key.keyed(value)
    return seal.text(value) if name in TEXTS else value
