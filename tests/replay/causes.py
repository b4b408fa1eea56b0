"""The message that an entry followed from: as users' own histories are decided again, so are ours."""

from amends.coordinator.testing.causes import message_of

__all__ = ["message_of"]
