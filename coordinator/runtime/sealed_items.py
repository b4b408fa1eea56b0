"""What reaches a sealed run, as its entry may hold it."""

from msgspec.structs import replace

from amends.coordinator.runtime.inbound import Item
from amends.coordinator.sealing.keys import Seal
from amends.coordinator.sealing.messages import sealed_message


def sealed_item(item: Item, seal: Seal) -> Item:
    """The item with its texts sealed, and its values under keyed digests."""
    message, payloads = sealed_message(item.message, item.payloads, seal)
    return replace(item, message=message, payloads=payloads)
