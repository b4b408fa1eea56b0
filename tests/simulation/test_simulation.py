"""Every run in a world full of faults ends or parks, and breaks no invariant on its way (see checker.py).

`AMENDS_SIMULATE=20000` runs that many stories, `AMENDS_SIMULATE_SEED=7` begins at that one; the failure names its seed.
"""

import os
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.random_definitions import random_saga
from tests.simulation.simulation import Faults, Simulation

COUNT = int(os.environ.get("AMENDS_SIMULATE", "2500"))
FIRST = int(os.environ.get("AMENDS_SIMULATE_SEED", "0"))
PORTIONS = 5


def story(random: Random) -> Simulation:
    """A definition and its faults, all drawn from one source."""
    form = random_saga(random)
    faults = Faults(
        crash=random.choice((0, 2, 6)),
        kill=random.choice((0, 0, 1)),
        cancel=random.choice((0, 1, 4, 15)),
        no_reply=random.choice((5, 15, 40)),
        raises=random.choice((2, 8, 25)),
        missing=random.choice((0, 0, 60)),
        careless=random.choice((0, 0, 40)),
    )
    return Simulation.of(form, random, faults)


@pytest.mark.timeout(max(60, COUNT // 20))
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_every_run_ends_and_keeps_the_invariants(portion: int) -> None:
    endings: Counter[str] = Counter()
    for seed in range(FIRST + portion, FIRST + COUNT, PORTIONS):
        try:
            endings[story(Random(seed)).to_the_end()] += 1
        except AssertionError as error:
            error.add_note(f"AMENDS_SIMULATE_SEED={seed} AMENDS_SIMULATE=1")
            raise
    if COUNT >= 100:
        assert set(endings) == {"completed", "compensated", "killed"}, (
            "the stories are not varied enough to mean anything"
        )


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_a_shortest_story_that_breaks_an_invariant_is_not_found(random: Random) -> None:
    story(random).to_the_end()


def test_the_same_seed_tells_the_same_story() -> None:
    once, again = story(Random(42)), story(Random(42))
    once.to_the_end()
    again.to_the_end()
    assert [entry.hash for entry in once.run.entries] == [entry.hash for entry in again.run.entries]
