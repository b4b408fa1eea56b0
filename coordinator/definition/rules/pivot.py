"""Rules about the order around the pivot (rule 11)."""

from collections.abc import Iterator

from amends.coordinator.definition.rules.shape import Fault, Shape


def has_one_pivot(shape: Shape) -> Iterator[Fault]:
    """AM1060."""
    if len(shape.pivots) < 2:  # noqa: PLR2004
        return
    names = ", ".join(repr(step.path) for step in shape.pivots)
    for step in shape.pivots[1:]:
        yield Fault(
            code="AM1060",
            message=f"saga {shape.form.name!r} has {len(shape.pivots)} pivots: {names}",
            do="keep one: what comes after it is retriable and need say neither pivot nor irreversible; "
            "an irreversible step with a follow-up is no pivot",
            step=step.path,
        )


def keeps_the_order(shape: Shape) -> Iterator[Fault]:
    """AM1061 and AM1062."""
    if len(shape.pivots) != 1:
        return
    pivot = shape.pivots[0].path
    for step in shape.form.steps:
        if not step.acts or step.path == pivot:
            continue
        before, after = step.path in shape.ancestors[pivot], pivot in shape.ancestors[step.path]
        if step.undo is not None and not before:
            where = "comes after" if after else "runs beside"
            yield Fault(
                code="AM1061",
                message=f"step {step.path!r} has an undo but {where} the pivot {pivot!r}: nothing is undone after it",
                do=f"let {pivot!r} wait for it, after=[{step.path}]; or take its undo away and say after={pivot}",
                step=step.path,
            )
        elif step.undo is None and not before and not after and not step.irreversible:
            yield Fault(
                code="AM1062",
                message=f"step {step.path!r} has no undo and does not wait for the pivot {pivot!r}",
                do=f"say after={pivot}; or declare @{step.path}.undo and let {pivot!r} wait for it",
                step=step.path,
            )


def pivot_has_no_undo(shape: Shape) -> Iterator[Fault]:
    """AM1063."""
    for step in shape.pivots:
        if step.undo is not None and not step.irreversible:
            yield Fault(
                code="AM1063",
                message=f"step {step.path!r} is the pivot and has an undo, which could never run",
                do="take pivot=True or the undo away",
                step=step.path,
                role="undo",
            )
