"""What a rehearsal found: as an object to assert on, as text for people, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from amends.compensations.judging import Finding
from amends.compensations.scenarios import StepFacts
from amends.coordinator.reading.folding import fitting

DIFFERENCES_SHOWN: Final = 5
_NO_ACTION: Final = {"wait": "waits", "for_each": "repeats others", "loop": "repeats others"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The whole of it. `ok` where there is no finding but warnings; `str` is the report for people."""

    saga: str
    version: int
    triggers: int
    scenarios: int
    steps: tuple[StepFacts, ...]
    findings: tuple[Finding, ...]
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    undone: Mapping[str, int] = field(default_factory=dict)
    """In how many scenarios the undo of a step really ran."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether every undo brings the world back."""
        return not self.errors

    def of(self, step: str) -> tuple[Finding, ...]:
        """The findings of one step."""
        return tuple(each for each in self.findings if each.step == step)

    def place(self, handler: str) -> str:
        """File and line of a handler; empty where it has none."""
        file, line = self.places.get(handler, ("", 0))
        return f"{file}:{line}" if file else ""

    def __str__(self) -> str:
        return text_of(self)


def text_of(rehearsal: Rehearsal, *, width: int | None = None) -> str:
    """The report: a line for each step, then each finding. With a `width`, a terminal's, what is longer is folded."""
    lines = [f"{rehearsal.saga} v{rehearsal.version}: {_counted(rehearsal.scenarios, 'scenario')}"]
    longest = max((len(step.path) for step in rehearsal.steps), default=0)
    for step in rehearsal.steps:
        start = f"  {_mark(rehearsal, step)} {step.path.ljust(longest)}  "
        lines += fitting(_verdict(rehearsal, step), first=start, rest=" " * len(start), width=width)
    for finding in rehearsal.findings:
        lines += ["", *finding_lines(rehearsal, finding, width=width)]
    errors, warnings = len(rehearsal.errors), len(rehearsal.warnings)
    if errors or warnings:
        lines += ["", f"{'✖' if errors else '✔'} {_counted(errors, 'finding')}, {_counted(warnings, 'warning')}"]
    else:
        lines += ["", "✔ in every scenario the world was what it should be"]
    return "\n".join(lines)


def finding_lines(rehearsal: Rehearsal, finding: Finding, *, width: int | None = None) -> list[str]:
    """One finding for people."""
    place = rehearsal.place(finding.handler)
    said = f"{f'{place}: ' if place else ''}{finding.severity} {finding.kind}: {finding.message}"
    lines = fitting(said, first="", rest="  ", width=width)
    more = f" (and in {_counted(finding.scenarios - 1, 'other scenario')})" if finding.scenarios > 1 else ""
    if finding.when:
        lines += fitting(f"when {finding.when}{more}", first="    ", rest="      ", width=width)
    for each in finding.carried:
        lines += fitting(f"carried out by {each}", first="    ", rest="      ", width=width)
    shown = finding.differences[:DIFFERENCES_SHOWN]
    for difference in shown:
        lines += fitting(str(difference), first="    ", rest="      ", width=width)
    if len(finding.differences) > len(shown):
        lines.append(f"    and {_counted(len(finding.differences) - len(shown), 'other place')}")
    return lines


def facts_of_report(rehearsal: Rehearsal) -> dict[str, Any]:
    """The whole of it for programs."""
    return {
        "saga": rehearsal.saga,
        "version": rehearsal.version,
        "ok": rehearsal.ok,
        "triggers": rehearsal.triggers,
        "scenarios": rehearsal.scenarios,
        "steps": [_step_facts(rehearsal, step) for step in rehearsal.steps],
        "findings": [_finding_facts(rehearsal, finding) for finding in rehearsal.findings],
    }


def _step_facts(rehearsal: Rehearsal, step: StepFacts) -> dict[str, Any]:
    file, line = rehearsal.places.get(step.undo or step.handler, (None, None))
    return {
        "path": step.path,
        "kind": step.kind,
        "undo": step.undo,
        "verdict": _word(rehearsal, step),
        "undone_in": rehearsal.undone.get(step.path, 0),
        "file": file,
        "line": line,
    }


def _finding_facts(rehearsal: Rehearsal, finding: Finding) -> dict[str, Any]:
    file, line = rehearsal.places.get(finding.handler, (None, None))
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "step": finding.step or None,
        "handler": finding.handler or None,
        "file": file,
        "line": line,
        "message": finding.message,
        "when": finding.when,
        "scenarios": finding.scenarios,
        "carried_out_by": list(finding.carried),
        "differences": [
            {"path": each.path, "before": each.before, "after": each.after} for each in finding.differences
        ],
    }


def _mark(rehearsal: Rehearsal, step: StepFacts) -> str:
    return {"restores": "✔", "findings": "✖", "never_undone": "!"}.get(_word(rehearsal, step), "·")


def _word(rehearsal: Rehearsal, step: StepFacts) -> str:
    """The verdict on one step as one word."""
    if any(finding.severity == "error" for finding in rehearsal.of(step.path)):
        return "findings"
    if step.undo is None:
        return "nothing_to_undo"
    return "restores" if rehearsal.undone.get(step.path) else "never_undone"


def _verdict(rehearsal: Rehearsal, step: StepFacts) -> str:
    what = "its follow-up" if step.follow_up else "its undo"
    match _word(rehearsal, step):
        case "findings":
            return _counted(sum(each.severity == "error" for each in rehearsal.of(step.path)), "finding")
        case "restores":
            said = "makes amends" if step.follow_up else "brings the world back"
            where, times = rehearsal.place(step.undo or ""), _counted(rehearsal.undone[step.path], "scenario")
            return f"{what} {said}: {where}, in {times}"
        case "never_undone":
            return f"{what} never ran: no trigger leads there"
        case _:
            return _without_undo(step)


def _without_undo(step: StepFacts) -> str:
    if step.pivot:
        return "the pivot: nothing is undone behind it"
    if step.past_pivot and step.acts:
        return "behind the pivot: it must succeed in the end"
    return _NO_ACTION.get(step.kind, "changes nothing") if not step.acts else "cannot be undone"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
