"""What a picture says of a step: briefly in its box, as a sentence for who cannot see it."""

from dataclasses import dataclass
from typing import Final, assert_never

from amends.coordinator.definition.condition_text import condition_text
from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.form import Argument, DefinitionForm, RetryForm, StepForm, UndoForm

LETTERS_MAX: Final = 34
ALONE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The lines in a step's box and in its undo's, and the sentences that say the same in full."""

    step: tuple[str, ...]
    undo: tuple[str, ...]
    """Empty for a step without one."""
    says: str
    undo_says: str


def card_of(step: StepForm) -> Card:
    """The name first, in both."""
    marks = marks_of(step)
    said = " ".join([f"{step.kind} at {step.dependency}" if step.dependency else step.kind, *_after(step)])
    when = (f"when {condition_text(step.when)}",) if step.when is not None else ()
    sure = _joined("verified" if step.verify else "", "lookup" if step.lookup else "")
    tries = _attempts(step.retry, step) if step.wait is None and not step.repeats else ""
    waits = waiting_of(step) or repeating_of(step)
    kind = f"{step.kind} → {step.dependency}" if step.dependency else step.kind
    lines = [f"{symbol_of(step)} {step.path}", kind, *when, *waits, sure, tries, _joined(*marks)]
    undo = step.undo
    return Card(
        step=tuple(_short(line) for line in lines if line),
        undo=tuple(_short(line) for line in _undo_lines(undo) if line) if undo else (),
        says=f"{step.path}: {_joined(said, *when, *waits, *marks, sure, tries).replace(' · ', ', ')}",
        undo_says=f"{undo_name(undo)} of {step.path}, {_evidence(undo)}" if undo else "",
    )


def trigger_lines(form: DefinitionForm) -> tuple[str, ...]:
    """What starts a run, for its box."""
    trigger = form.trigger
    lines = (trigger.topic, f"trigger · {trigger.model}") if trigger.topic else ("called", f"with · {trigger.model}")
    return tuple(_short(line) for line in (*lines, *shared_of(form)))


def shared_of(form: DefinitionForm) -> tuple[str, ...]:
    """What its runs shut each other out by, and whose data they are sealed for."""
    locks = tuple(f"locks {lock.name} by trigger.{lock.field}" for lock in form.locks)
    return locks if form.subject is None else (*locks, f"sealed for trigger.{form.subject}")


def start_of(form: DefinitionForm) -> str:
    """How its runs begin; a saga without a topic is only a part of others."""
    return f"starts on {form.trigger.topic}" if form.trigger.topic else f"is called with a {form.trigger.model}"


def symbol_of(step: StepForm) -> str:
    """A pivot, a step that changes the world, or one that does not."""
    return "◆" if step.pivot else "●" if step.acts else "○"


def marks_of(step: StepForm) -> tuple[str, ...]:
    """What is to be known of it before anything else."""
    marks = (
        "pivot" if step.pivot else "",
        "irreversible" if step.irreversible else "",
        "class C" if step.class_c else "",
    )
    return tuple(each for each in marks if each)


def waiting_of(step: StepForm) -> tuple[str, ...]:
    """What a step that waits is waiting for, and what follows when it does not come."""
    if step.wait is None:
        return ()
    given = "".join(argument_text(each) for each in step.handler.arguments.values())
    lasts = text_of_ms(step.handler.timeout_ms)
    match step.wait.awaits:
        case "message":
            return (f"for {step.wait.message_type} of {given}", f"within {lasts}, else {step.wait.on_timeout}")
        case "instant":
            return (f"until {given}",)
        case "pause":
            return (f"for {lasts}",)
    assert_never(step.wait.awaits)


def repeating_of(step: StepForm) -> tuple[str, ...]:
    """What a step repeats others for, or until when."""
    if step.each is not None:
        items = argument_text(step.handler.arguments["items"])
        by = f" by {step.each.key}" if step.each.key else ""
        without = "" if step.each.policy == "all" else ", without those that fail"
        return (f"each of {items}{by}", f"{step.each.concurrency} at once{without}")
    if step.loop is not None:
        waits = f", every {text_of_ms(step.loop.every_ms)}" if step.loop.every_ms else ""
        then = "fail" if step.loop.on_max == "fail" else "go on"
        return (f"until {condition_text(step.loop.until)}", f"{step.loop.rounds_max} rounds{waits}, then {then}")
    return ()


def argument_text(argument: Argument) -> str:
    """Where a value is taken from, as it would be written: `charge.id`."""
    return ".".join(each for each in (argument.step or argument.source, argument.field) if each)


def undo_name(undo: UndoForm) -> str:
    """An undo reverses, a follow-up stands in for one."""
    return "follow-up" if undo.follow_up else "undo"


def _undo_lines(undo: UndoForm) -> tuple[str, ...]:
    evidence = "verified by read-back" if undo.verify else "by the reply alone"
    return (f"↩ {undo_name(undo)}", evidence, _attempts(undo.retry, None))


def _evidence(undo: UndoForm) -> str:
    return "verified by read-back" if undo.verify else "the participant's reply is the only evidence"


def _attempts(retry: RetryForm, step: StepForm | None) -> str:
    timeout = f"timeout {text_of_ms(step.handler.timeout_ms)}" if step is not None else ""
    return _joined(f"{retry.attempts} attempts" if retry.attempts > ALONE else "1 attempt", timeout)


def _after(step: StepForm) -> tuple[str, ...]:
    return (f"after {', '.join(step.after)}",) if step.after else ()


def _joined(*parts: str) -> str:
    return " · ".join(each for each in parts if each)


def _short(line: str) -> str:
    return line if len(line) <= LETTERS_MAX else f"{line[: LETTERS_MAX - 1]}…"
