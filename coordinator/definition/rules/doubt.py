"""The rule about participants that cannot settle doubt (class C)."""

from collections.abc import Iterator

from amends.coordinator.definition.rules.shape import Fault, Shape


def can_settle_doubt(shape: Shape) -> Iterator[Fault]:
    """AM1080."""
    for step in shape.form.steps:
        if step.class_c and step.unsafe is None:
            yield Fault(
                code="AM1080",
                message=f"nothing settles a doubt of action {step.path!r} (class C): a crash in mid-attempt parks it",
                do=f'declare idempotent=True, tombstones=True or @{step.path}.lookup; or accept it: unsafe="reason"',
                step=step.path,
            )
