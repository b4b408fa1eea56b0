"""Rules about waits, for whatever front end made the form."""

from collections.abc import Iterator

from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.rules.shape import Fault, Shape


def waits_only_wait(shape: Shape) -> Iterator[Fault]:
    """AM1096."""
    for step in shape.form.steps:
        if step.wait is None:
            continue
        said = {
            "an undo": step.undo is not None,
            "a read-back": step.verify is not None,
            "a lookup": step.lookup is not None,
            "pivot": step.pivot,
            "irreversible": step.irreversible,
        }
        for what in (what for what, is_said in said.items() if is_said):
            yield Fault(
                code="AM1096",
                message=f"step {step.path!r} waits, and says {what}",
                do="say it of the action whose effect it is about",
                step=step.path,
            )


def waits_end_in_time(shape: Shape) -> Iterator[Fault]:
    """AM1097. Behind the pivot no deadline counts (rule 12)."""
    deadline_ms = shape.form.deadline_ms
    pivots = {pivot.path for pivot in shape.pivots}
    for step in shape.form.steps:
        if step.wait is None or step.wait.awaits == "instant" or step.handler.timeout_ms < deadline_ms:
            continue
        if pivots & shape.ancestors[step.path]:
            continue
        waits, has = text_of_ms(step.handler.timeout_ms), text_of_ms(deadline_ms)
        yield Fault(
            code="AM1097",
            message=f"step {step.path!r} waits for {waits}, and the deadline is {has}: it would turn back before",
            do="give the saga a later one that leaves time for the other steps, Saga(…, deadline=…); or wait less long",
            step=step.path,
        )
