"""Definitions drawn at random, all of which `check` would let pass."""

from random import Random
from typing import Final, Literal

from msgspec.structs import replace

from amends.coordinator.definition.expression import Compare, Expression, Reference, Value
from amends.coordinator.definition.form import Argument, DefinitionForm, PendingForm, StepForm
from amends.schemas.canonical import encode
from tests.simulation.definitions import (
    action,
    expect,
    pause,
    pivot,
    read,
    read_back_later,
    result,
    retriable,
    saga,
    wait,
)

_WINDOWS = (None, None, 8_000, 60_000)
_SETTLE = (0, 0, 2_000, 20_000)
DICE = range(10)
"""What conditions are about: a trigger has `dice`, and `pile`, what it waits for is called by."""
PILES: Final = 2
"""So few that runs wait for messages of the same key."""
PILE_OF_TRIGGER: Final = Argument(source="trigger", field="pile")
_WAITING: Final = 1 / 3
_EXPECTING: Final = 1 / 4
_PENDING: Final = 1 / 4
_ANSWERED_MS: Final = (200, 5_000, 120_000)
_READ_BACK_LATER: Final = 1 / 4
_AFTER_MS: Final = (1_000, 20_000, 100_000)
_TIMEOUTS: Final[tuple[Literal["fail", "skip", "park"], ...]] = ("fail", "skip", "park")


def random_saga(random: Random) -> DefinitionForm:
    """One to four steps that can be undone, perhaps in parallel, perhaps a pivot and what comes behind it."""
    before = [f"s{n}" for n in range(random.randrange(1, 5))]
    parallel = random.random() < 0.4
    steps: list[StepForm] = []
    for n, path in enumerate(before):
        after = (before[n - 1],) if n and not parallel else ()
        takes = after if random.random() < 0.3 else ()
        when = _condition(random)
        if random.random() < 0.15:
            steps.append(read(path, after, takes=takes, when=when))
        else:
            steps.append(_action(random, path, after, takes, when))
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
                when=_condition(random),
            )
        )
        steps.append(read("beside", ()))
        steps += [retriable(f"r{n}", ("pivot",), attempts=random.randrange(1, 4)) for n in range(random.randrange(3))]
    if random.random() < 0.3:
        steps.append(result())
    locks = _locks(steps)
    return saga(
        *_with_delays(_with_pending(_with_expectations(_with_waits(steps)))),
        deadline_ms=random.choice((3_600_000, 3_600_000, 20_000, 3_000)),
        wall_ms=random.choice((None, None, None, 10_000)),
        attempts=random.choice((None, None, None, 8, 20)),
        entries=random.choice((None, None, None, 12, 60)),
        locks=locks,
    )


def _locks(steps: list[StepForm]) -> tuple[str, ...]:
    """In some of the stories. They follow from what was drawn: so the others are told as they were before."""
    return (("order",), (), (), ("dice", "order"), ())[sum(len(encode(step)) for step in steps) % 5]


def _with_waits(steps: list[StepForm]) -> list[StepForm]:
    """In a third of the stories: one before the pivot, or before nothing, and perhaps one behind it.

    They follow from what was drawn, as locks do: so the others are told as they were before.
    """
    drawn = Random(sum(len(encode(step)) for step in steps))
    if drawn.random() >= _WAITING:
        return steps
    at = next((n for n, step in enumerate(steps) if step.pivot), len(steps) - (steps[-1].kind == "result"))
    first = _wait(drawn, "w", (steps[0].path,))
    found = [*steps[:at], first, *steps[at:]]
    for n, step in enumerate(found):
        if step.pivot or step.kind == "result":
            found[n] = replace(step, after=(*step.after, first.path))
        if step.pivot and drawn.random() < _WAITING:
            found.insert(n + 1, _wait(drawn, "v", (step.path,)))
            break
    return found


def _with_expectations(steps: list[StepForm]) -> list[StepForm]:
    """In a quarter of the stories: one or two. They follow from what was drawn, as locks do."""
    drawn = Random(sum(len(encode(step)) for step in steps) + 1)
    if drawn.random() >= _EXPECTING:
        return steps
    last = {step.path for step in steps} - {before for step in steps for before in step.after}
    return [
        *steps,
        *(expect(f"e{n}", tuple(last), attempts=drawn.randrange(1, 4)) for n in range(drawn.randrange(1, 3))),
    ]


def _with_pending(steps: list[StepForm]) -> list[StepForm]:
    """In a quarter of the stories: actions, the pivot and undos whose answer may come later.

    It follows from what was drawn, as locks do.
    """
    drawn = Random(sum(len(encode(step)) for step in steps) + 2)
    if drawn.random() >= _PENDING:
        return steps
    return [_pending(drawn, step) if step.acts else step for step in steps]


def _pending(drawn: Random, step: StepForm) -> StepForm:
    if _coin(drawn):
        step = replace(step, pending=PendingForm(within_ms=drawn.choice(_ANSWERED_MS)))
    if step.undo is not None and _coin(drawn):
        step = replace(step, undo=replace(step.undo, pending=PendingForm(within_ms=drawn.choice(_ANSWERED_MS))))
    return step


def _with_delays(steps: list[StepForm]) -> list[StepForm]:
    """In a quarter of the stories: read-backs that come after the end.

    They follow from what was drawn, as locks do.
    """
    drawn = Random(sum(len(encode(step)) for step in steps) + 3)
    if drawn.random() >= _READ_BACK_LATER:
        return steps
    return [
        read_back_later(
            step,
            after_ms=drawn.choice(_AFTER_MS) if _coin(drawn) else 0,
            undo_after_ms=drawn.choice(_AFTER_MS) if _coin(drawn) else 0,
        )
        if step.acts
        else step
        for step in steps
    ]


def _wait(drawn: Random, path: str, after: tuple[str, ...]) -> StepForm:
    lasts_ms = drawn.choice((100, 60_000, 60_000))
    if drawn.random() < 0.2:
        return pause(path, after, lasts_ms=lasts_ms)
    return wait(path, after, key=PILE_OF_TRIGGER, timeout_ms=lasts_ms, on_timeout=drawn.choice(_TIMEOUTS))


def _condition(random: Random) -> Expression | None:
    if random.random() < 0.8:
        return None
    return Compare(left=Reference(step=None, field="dice"), how=">=", right=Value(value=random.choice(DICE)))


def _action(
    random: Random, path: str, after: tuple[str, ...], takes: tuple[str, ...], when: Expression | None
) -> StepForm:
    settle_ms = random.choice(_SETTLE)
    return action(
        path,
        after,
        takes=takes,
        when=when,
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
