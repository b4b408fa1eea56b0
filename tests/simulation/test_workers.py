"""Workers that share a store keep the invariants, whatever happens between a decision and its commit (see judge.py).

`AMENDS_SIMULATE=20000` runs that many stories, `AMENDS_SIMULATE_SEED=7` begins at that one; the failure names its seed.
"""

import os
from collections import Counter
from random import Random

import pytest

from amends.coordinator.runtime import batching
from amends.coordinator.runtime.batching import DECISIONS_MAX
from tests.simulation.simulation import Faults
from tests.simulation.workers.installation import Installation
from tests.simulation.workers.troubles import KINDS

STORIES = 600
COUNT = int(os.environ.get("AMENDS_SIMULATE", STORIES))
FIRST = int(os.environ.get("AMENDS_SIMULATE_SEED", "0"))


def workers_story(random: Random) -> Installation:
    """Workers, their saga and their troubles, all drawn from one source."""
    faults = Faults(
        no_reply=random.choice((5, 15, 40)), raises=random.choice((2, 8, 25)), slow=random.choice((2, 10, 30))
    )
    return Installation.of(random, faults)


@pytest.mark.timeout(max(240, COUNT))
def test_every_run_of_several_workers_ends_and_keeps_the_invariants(monkeypatch: pytest.MonkeyPatch) -> None:
    endings: Counter[str] = Counter()
    fired: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + COUNT):
        monkeypatch.setattr(batching, "DECISIONS_MAX", DECISIONS_MAX if seed % 2 else 2)
        story = workers_story(Random(seed))
        try:
            endings += story.to_the_end()
        except AssertionError as error:
            error.add_note(f"AMENDS_SIMULATE_SEED={seed} AMENDS_SIMULATE=1")
            raise
        fired.update((+story.weather.fired).keys())
    if COUNT >= STORIES:
        assert set(endings) == {"completed", "compensated", "killed"}
        assert KINDS - fired.keys() == set(), "these never happened, so the stories say nothing of them"


def test_the_same_seed_tells_the_same_story_of_workers() -> None:
    once, again = workers_story(Random(42)), workers_story(Random(42))
    once.to_the_end()
    again.to_the_end()
    assert once.store._tables.by_shard == again.store._tables.by_shard
