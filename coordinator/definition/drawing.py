"""A definition drawn: text for terminals, Mermaid for documents. Pure: a form goes in, text comes out."""

from collections.abc import Iterator, Mapping

from amends.coordinator.definition.card import (
    repeating_of,
    shared_of,
    start_of,
    symbol_of,
    trigger_lines,
    undo_name,
    waiting_of,
)
from amends.coordinator.definition.condition_text import condition_text
from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.edges import undo_edges
from amends.coordinator.definition.flattening import flattened, repeated, said_after
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, StepForm
from amends.coordinator.definition.picture import groups_of


def as_text(form: DefinitionForm) -> str:
    """Steps in order, what each waits for, how it is undone, and where the pivot stands."""
    within, form = repeated(form), flattened(form)
    deadline = text_of_ms(form.deadline_ms)
    lines = [f"{form.name} v{form.version} · {start_of(form)} · deadline {deadline}{_budget(form)}"]
    lines += [f"  {each}" for each in shared_of(form)]
    width = max((len(step.path) for step in form.steps), default=0)
    pivot = next((step for step in form.steps if step.pivot), None)
    followed = _followed(form)
    for step in form.steps:
        to = f" → {step.dependency}" if step.dependency else ""
        befores = said_after(step, within)
        after = f"  after {', '.join(befores)}" if befores else ""
        lines.append(f"  {symbol_of(step)} {step.path:<{width}}  {step.kind}{to}{_marks(step)}{after}")
        if step.when is not None:
            lines.append(f"    {'':<{width}}  when {condition_text(step.when)}")
        if step.wait is not None or step.repeats:
            lines.append(f"    {'':<{width}}  {', '.join(waiting_of(step) or repeating_of(step))}")
        if step.undo is not None:
            lines.append(f"    {'':<{width}}  ↩ {_undo(step)}{_then(followed[step.path])}")
    if pivot is not None:
        lines.append(f"  ◆ {pivot.path} is the pivot: once it is done, nothing is undone.")
    class_c = ", ".join(step.path for step in form.steps if step.class_c)
    if class_c:
        lines.append(f"  Class C: nothing can settle a lost reply of {class_c}, so a person is asked.")
    return "\n".join(lines) + "\n"


def as_mermaid(form: DefinitionForm) -> str:
    """A Mermaid flowchart: the pivot is a hexagon, solid arrows are the order.

    Dotted arrows lead from a step to its undo, and from an undo to the one that comes after it.
    """
    within, form = repeated(form), flattened(form)
    ids = {step.path: f"s{index}" for index, step in enumerate(form.steps)}
    begins = "<br/>".join(_escaped(line) for line in (trigger_lines(form)[0], *shared_of(form)))
    lines = ["flowchart TD", f'    trigger(["{begins}"])']
    lines.extend(f"    {line}" for line in _nodes(form, ids))
    for step in form.steps:
        when = f'|"{_escaped(condition_text(step.when))}"|' if step.when is not None else ""
        befores = [ids[each] for each in said_after(step, within)] or ["trigger"]
        lines.extend(f"    {before} -->{when} {ids[step.path]}" for before in befores)
    for step in form.steps:
        if step.undo is not None:
            kind = undo_name(step.undo)
            lines.append(f'    {ids[step.path]} -.-> {ids[step.path]}u>"↩ {kind} of {_escaped(step.path)}"]')
    lines.extend(f"    {ids[later]}u -.->|then| {ids[earlier]}u" for later, earlier in undo_edges(form))
    return "\n".join(lines) + "\n"


def _nodes(form: DefinitionForm, ids: Mapping[str, str], group: str = "") -> Iterator[str]:
    """The steps; those of a saga that is called in a frame of its name."""
    groups = groups_of(ids)
    for member in groups[group]:
        if member in groups:
            yield f'subgraph {ids[next(path for path in ids if path.startswith(member))]}g["{_escaped(member[:-1])}"]'
            yield from (f"    {line}" for line in _nodes(form, ids, member))
            yield "end"
        else:
            yield f"{ids[member]}{_node(form.step(member))}"


def _node(step: StepForm) -> str:
    left, right = ("{{", "}}") if step.pivot else ("[", "]") if step.acts else ("(", ")")
    label = "<br/>".join(
        _escaped(each) for each in (step.path, f"{step.kind}{_marks(step)}", *waiting_of(step), *repeating_of(step))
    )
    return f'{left}"{label}"{right}'


def _marks(step: StepForm) -> str:
    marks = [
        "pivot" if step.pivot else "",
        "irreversible" if step.irreversible else "",
        _read_back(step.verify, "verified") if step.verify else "",
        "class C" if step.class_c else "",
    ]
    said = ", ".join(each for each in marks if each)
    return f" ({said})" if said else ""


def _undo(step: StepForm) -> str:
    assert step.undo is not None
    evidence = "the participant's reply is the only evidence"
    if step.undo.verify:
        evidence = _read_back(step.undo.verify, "verified by read-back")
    return f"{undo_name(step.undo)}, {evidence}"


def _read_back(verify: HandlerForm, said: str) -> str:
    return f"{said} {text_of_ms(verify.verify_after_ms)} later" if verify.verify_after_ms else said


def _followed(form: DefinitionForm) -> dict[str, list[str]]:
    """The undos that come next after each step's."""
    found: dict[str, list[str]] = {step.path: [] for step in form.steps}
    for later, earlier in undo_edges(form):
        found[later].append(earlier)
    return found


def _then(followed: list[str]) -> str:
    return f"; then ↩ {', '.join(followed)}" if followed else ""


def _budget(form: DefinitionForm) -> str:
    budget = form.budget
    caps = (
        f"{budget.usd} USD" if budget.usd else "",
        text_of_ms(budget.wall_ms) if budget.wall_ms else "",
        f"{budget.attempts} attempts" if budget.attempts else "",
        f"{budget.entries} entries" if budget.entries else "",
    )
    said = ", ".join(each for each in caps if each)
    return f" · budget {said}" if said else ""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
