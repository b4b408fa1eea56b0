"""Rules about undos: that there is one, what stands beside it, and what it may use (rules 8 and 9)."""

from collections.abc import Iterator

from amends.coordinator.definition.form import HandlerForm, StepForm
from amends.coordinator.definition.rules.shape import Fault, Shape

_WHO = {
    "undo": "the undo",
    "undo.verify": "the read-back of the undo",
    "verify": "the read-back",
    "lookup": "the lookup",
}


def has_an_undo(shape: Shape) -> Iterator[Fault]:
    """AM1050. A retriable step needs none; that it is one is the pivot's rule."""
    pivots = {step.path for step in shape.pivots}
    for step in shape.form.steps:
        retriable = bool(pivots & shape.ancestors[step.path]) or (pivots and _beside(shape, step, pivots))
        if step.acts and step.undo is None and not step.pivot and not step.irreversible and not retriable:
            yield Fault(
                code="AM1050",
                message=f"action {step.path!r} has neither an undo nor irreversible=True",
                do=f"declare @{step.path}.undo, or say irreversible=True if nothing can reverse it",
                step=step.path,
            )


def _beside(shape: Shape, step: StepForm, pivots: set[str]) -> bool:
    """Neither before nor after the pivot: AM1062 speaks of it."""
    return not any(step.path in shape.ancestors[pivot] for pivot in pivots)


def undoes_only_what_can_be(shape: Shape) -> Iterator[Fault]:
    """AM1053 and AM1054."""
    for step in shape.form.steps:
        if step.undo is None:
            continue
        if step.irreversible and not step.undo.follow_up:
            yield Fault(
                code="AM1053",
                message=f"step {step.path!r} is irreversible and has an undo",
                do="take irreversible=True away, or make the undo a @….follow_up if it only makes amends",
                step=step.path,
                role="undo",
            )
        if step.undo.follow_up and not step.irreversible:
            yield Fault(
                code="AM1054",
                message=f"step {step.path!r} has a follow-up but is not irreversible",
                do="say irreversible=True, or make the follow-up an @….undo if it reverses the step",
                step=step.path,
                role="undo",
            )


def uses_only_what_it_may(shape: Shape) -> Iterator[Fault]:
    """AM1052 for undos (rule 9), AM1055 for read-backs and lookups of steps."""
    for step in shape.form.steps:
        for role, handler in shape.handlers(step):
            if role == "step":
                continue
            allowed = shape.ancestors[step.path] | ({step.path} if role != "lookup" else frozenset())
            yield from _uses_others(shape, step, role, handler, allowed)


def _uses_others(
    shape: Shape, step: StepForm, role: str, handler: HandlerForm, allowed: frozenset[str]
) -> Iterator[Fault]:
    for name, argument in handler.arguments.items():
        if argument.step is None or argument.step in allowed or argument.step not in shape.steps:
            continue
        own = argument.step == step.path
        message = f"{_WHO[role]} of {step.path!r} uses the result of {argument.step!r}"
        why = "which is what it is asked to find out" if own else f"which {step.path!r} does not wait for"
        yield Fault(
            code="AM1052" if role.startswith("undo") else "AM1055",
            message=f"{message}, {why}",
            do="look it up by ctx.idempotency_key"
            if own
            else f"use {step.path}, its ancestors and the trigger, or let {step.path!r} wait for {argument.step!r}",
            step=step.path,
            role=role,
            parameter=name,
        )


def undo_survives_a_lost_result(shape: Shape) -> Iterator[Fault]:
    """AM1056."""
    for step in shape.form.steps:
        if step.undo is None or step.undo.takes_unknown:
            continue
        role, parameter = next(
            (role, name)
            for role, handler in shape.handlers(step)
            if role.startswith("undo")
            for name, argument in handler.arguments.items()
            if argument.source == "result" and argument.step == step.path
        )
        yield Fault(
            code="AM1056",
            message=f"{_WHO[role]} of {step.path!r} needs {step.path}.result: where the result was lost, the run parks",
            do=f"take {step.path}.maybe, and undo by ctx.undoing.idempotency_key when it is None",
            step=step.path,
            role=role,
            parameter=parameter,
        )


def takes_maybe_of_skipped_steps(shape: Shape) -> Iterator[Fault]:
    """AM1039."""
    for step in shape.form.steps:
        for role, handler in shape.handlers(step):
            if role == "step" and step.kind != "result":
                continue
            for name, argument in handler.arguments.items():
                source = argument.step
                if argument.source != "result" or source not in shape.may_be_skipped:
                    continue
                if step.kind != "result" and shape.skipped_together(step.path, source):
                    continue
                who = "the result" if step.kind == "result" else f"{_WHO[role]} of {step.path!r}"
                yield Fault(
                    code="AM1039",
                    message=f"{who} takes {source}.result, but {source!r} may be skipped",
                    do=f"take {source}.maybe, which is None then",
                    step=step.path,
                    role=role,
                    parameter=name,
                )
