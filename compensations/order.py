"""Undo order (rule 9): the reverse of the order in which each step was last requested."""

from collections.abc import Mapping


def undo_order(last_requested: Mapping[str, int]) -> tuple[str, ...]:
    """Paths, the last requested first. The numbers are places among all requests of the run, so none are equal."""
    return tuple(sorted(last_requested, key=last_requested.__getitem__, reverse=True))
