"""A condition as it would be written."""

from amends.coordinator.definition.expression import (
    AllOf,
    AnyOf,
    Compare,
    Expression,
    Negate,
    Number,
    OneOf,
    Reference,
    Value,
)


def condition_text(expression: Expression) -> str:
    """For people: `assess.verdict == 'refund' and not trigger.vip`."""
    match expression:
        case Value(value=value):
            return repr(value)
        case Number(text=text):
            return text
        case Reference(step=step, field=field):
            return ".".join(each for each in (step or "trigger", field) if each)
        case Compare(left=left, how=how, right=right):
            return f"{condition_text(left)} {how} {condition_text(right)}"
        case OneOf(left=left, values=values):
            return f"{condition_text(left)} one of {', '.join(map(condition_text, values))}"
        case AllOf(parts=parts):
            return " and ".join(_inner(each) for each in parts)
        case AnyOf(parts=parts):
            return " or ".join(_inner(each) for each in parts)
        case Negate(part=part):
            return f"not {_inner(part)}"


def _inner(part: Expression) -> str:
    text = condition_text(part)
    return f"({text})" if isinstance(part, AllOf | AnyOf) else text
