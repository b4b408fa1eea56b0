"""Definitions drawn at random, all of which `check` would let pass."""

from random import Random

from amends.coordinator.definition.form import DefinitionForm, StepForm
from tests.simulation.definitions import action, pivot, read, retriable, saga

_WINDOWS = (None, None, 8_000, 60_000)
_SETTLE = (0, 0, 2_000, 20_000)


def random_saga(random: Random) -> DefinitionForm:
    """One to four steps that can be undone, perhaps in parallel, perhaps a pivot and what comes behind it."""
    before = [f"s{n}" for n in range(random.randrange(1, 5))]
    parallel = random.random() < 0.4
    steps: list[StepForm] = []
    for n, path in enumerate(before):
        after = (before[n - 1],) if n and not parallel else ()
        steps.append(read(path, after) if random.random() < 0.15 else _action(random, path, after))
    if random.random() < 0.5:
        steps.append(
            pivot(
                "pivot",
                tuple(before),
                key=_coin(random),
                lookup=_coin(random),
                verify=_coin(random),
                settle_ms=random.choice(_SETTLE),
                attempts=random.randrange(1, 4),
            )
        )
        steps.append(read("beside", ()))
        steps += [retriable(f"r{n}", ("pivot",), attempts=random.randrange(1, 4)) for n in range(random.randrange(3))]
    return saga(
        *steps,
        deadline_ms=random.choice((3_600_000, 3_600_000, 20_000, 3_000)),
        wall_ms=random.choice((None, None, None, 10_000)),
        attempts=random.choice((None, None, None, 8, 20)),
        entries=random.choice((None, None, None, 12, 60)),
    )


def _action(random: Random, path: str, after: tuple[str, ...]) -> StepForm:
    settle_ms = random.choice(_SETTLE)
    return action(
        path,
        after,
        verify=random.random() < 0.3,
        lookup=_coin(random),
        key=_coin(random),
        window_ms=random.choice(_WINDOWS),
        tombstones=random.random() < 0.3,
        settle_ms=settle_ms,
        settle=random.choice(("resend", "resend", "wait")),
        settle_within_ms=random.choice((300_000, 5_000)),
        attempts=random.randrange(1, 4),
        undo_verify=random.random() < 0.7,
        undo_attempts=random.randrange(1, 4),
        undo_takes_unknown=random.random() < 0.7,
        drain_within_ms=random.choice((60_000, 1_000)),
    )


def _coin(random: Random) -> bool:
    return random.random() < 0.5
