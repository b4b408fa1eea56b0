"""Rules about what is pending, for whatever front end made the form."""

from collections.abc import Iterator

from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.rules.shape import Fault, Shape


def answers_come_in_time(shape: Shape) -> Iterator[Fault]:
    """AM1087. Behind the pivot no deadline counts, nor on the way back (rule 12)."""
    deadline_ms = shape.form.deadline_ms
    pivots = {pivot.path for pivot in shape.pivots}
    for step in shape.form.steps:
        if step.pending is None or step.pending.within_ms < deadline_ms or pivots & shape.ancestors[step.path]:
            continue
        may, has = text_of_ms(step.pending.within_ms), text_of_ms(deadline_ms)
        yield Fault(
            code="AM1087",
            message=f"step {step.path!r} may be pending for {may}, and the deadline is {has}: it turns back before",
            do="give the saga a later one that leaves time for the other steps, Saga(…, deadline=…); or wait less long",
            step=step.path,
        )


def only_actions_pend(shape: Shape) -> Iterator[Fault]:
    """AM1086, for forms that no hint was read for."""
    for step in shape.form.steps:
        if step.pending is not None and not step.acts:
            yield Fault(
                code="AM1086",
                message=f"step {step.path!r} is no action and may be pending: only what acts is answered later",
                do="make it an action, or wait for the message",
                step=step.path,
            )
