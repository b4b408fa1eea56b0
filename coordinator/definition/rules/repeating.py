"""Rules about what is repeated, by items or in rounds."""

from collections.abc import Iterator

from amends.coordinator.definition.form import StepForm
from amends.coordinator.definition.rules.shape import Fault, Shape


def repeats_no_pivot(shape: Shape) -> Iterator[Fault]:
    """AM1064. There would be one for each item, and the items before it could not be undone any more."""
    for step in shape.pivots:
        if step.path in shape.repeated:
            yield Fault(
                code="AM1064",
                message=f"step {step.path!r} is repeated and would be the pivot: nothing is undone after it",
                do="give it an undo or a follow-up, or let it be done once for all, after the others",
                step=step.path,
            )


def collects_only_single_effects(shape: Shape) -> Iterator[Fault]:
    """AM1014. What an item had done before it failed would be left in the world."""
    for step in shape.form.steps:
        each = step.each
        if each is None or each.policy != "collect":
            continue
        acting = list(_acting(step))
        if len(acting) > 1:
            yield Fault(
                code="AM1014",
                message=f"for_each {step.path!r} collects failures, but {len(acting)} steps of an item act: "
                f"{', '.join(map(repr, acting))}",
                do='let one step of an item act, or take policy="collect" away: then the run turns back and undoes all',
                step=step.path,
            )


def _acting(step: StepForm) -> Iterator[str]:
    inner = step.each or step.loop
    for each in inner.steps if inner is not None else ():
        if each.acts:
            yield each.path
        yield from _acting(each)
