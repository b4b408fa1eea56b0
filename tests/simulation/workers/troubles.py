"""What may go wrong around a worker, how likely, and what of it did."""

from collections import Counter
from random import Random
from typing import Final, NamedTuple


class Troubles(NamedTuple):
    """How likely what is, in percent of the occasions, or how often it happens in a story."""

    at_once: int = 50
    """That an append which may be answered at once is."""
    slow: int = 20
    """That an append or its answer takes long."""
    reply_lost: int = 3
    """That a batch is committed and the store does not say so."""
    refused: int = 1
    """That a batch is not committed, and the store gives up finding that out: fenced, to be safe."""
    shy: int = 1
    """That one question to the store is not answered."""
    away: int = 1
    """How often the store goes away for everybody."""
    crashes: int = 1
    freezes: int = 1
    stops: int = 1
    """In order, as for a new release."""
    rebalances: int = 1
    wishes: int = 1
    """To cancel or to kill."""
    poison: int = 0
    """How often a handler of one run kills its worker as it begins."""
    large: int = 0
    """That a result is so large that it stands beside its entry."""
    missing: int = 0
    """That a worker lacks some handlers, as an older build does."""


def drawn(random: Random) -> Troubles:
    """Some stories know no trouble of a kind, so that others stand out; some are full of it."""
    return Troubles(
        at_once=random.choice((0, 50, 100)),
        slow=random.choice((0, 10, 60, 95)),
        reply_lost=random.choice((0, 3, 15, 30)),
        refused=random.choice((0, 1, 8, 20)),
        shy=random.choice((0, 1, 10, 30)),
        away=random.choice((0, 0, 1, 4)),
        crashes=random.choice((0, 0, 1, 3, 6)),
        freezes=random.choice((0, 0, 1, 2, 5)),
        stops=random.choice((0, 0, 1, 2, 5)),
        rebalances=random.choice((0, 0, 1, 3, 8)),
        wishes=random.choice((0, 0, 1, 4, 10)),
        poison=random.choice((0, 0, 0, 5, 10)),
        large=random.choice((0, 0, 0, 0, 40)),
        missing=random.choice((0, 0, 0, 50, 80)),
    )


READS: Final = (
    "beat",
    "blob",
    "change_mark",
    "claim",
    "entries_of",
    "inbox",
    "load",
    "now",
    "open_entries",
    "release",
    "renew",
    "runs_by_id",
    "shards",
)
"""What a worker asks of its store, beside `append`: each may find it away."""

KINDS: Final = frozenset(
    {
        *(f"the store was away: {read}" for read in READS if read != "blob"),  # So rare that it may be missing.
        "an append was answered at once",
        "another batch was prepared while one was written",
        "a reply was heard while a batch was written",
        "a commit's reply was lost, and the store found out",
        "a commit's reply was lost, and the batch was sent again",
        "a commit's reply was lost, and nobody could find out",
        "a batch was not committed, and nobody could find out",
        "a run existed already",
        "an owner was fenced by the next one",
        "a batch failed while another was prepared",
        "a shard was lost while a batch was written",
        "a shard was lost while a batch was written and another prepared",
        "a shard was gained while a batch was written",
        "a worker died between an append and its answer",
        "a worker died before its append, which came later",
        "a worker died",
        "a handler killed its worker",
        "a suspect was resumed alone",
        "a worker lacked handlers",
        "a run waited for a handler",
        "a worker froze for longer than its lease",
        "a worker stopped in order",
        "partitions were given to other workers",
        "a start was handed on",
        "the store was one coordinator's",
        "a handler outlived its lease",
        "a shard could be read only in part",
        "the store was away at an append",
        "a message was taken",
        "a message was given back",
        "something was pending",
        "an ended run was read back",
    }
)
"""Each must have happened in some of the stories, or they say nothing of it."""

Fired = Counter[str]
