"""How a repeated request is counted on its run: once per place on the bus, the first places kept (contract, 3)."""

from collections.abc import Iterable, Sequence

from amends.coordinator.ports.rows import ORIGINS_KEPT
from amends.schemas.events import Origin


def count(known: Sequence[Origin], new: Iterable[Origin]) -> tuple[int, tuple[Origin, ...]]:
    """Say how many of `new` count as duplicates, and which of them are kept beside the `known` origins.

    A record that is known already is a redelivery and counts for nothing. Past the fifth origin places are no longer
    kept, so a redelivery of such a record is counted again: the number is then an upper bound.
    """
    counted = 0
    kept = list(known)
    for origin in new:
        if origin in kept:
            continue
        counted += 1
        if len(kept) < ORIGINS_KEPT:
            kept.append(origin)
    return counted, tuple(kept[len(known) :])
