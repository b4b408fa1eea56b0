"""What a definition says about handlers that may be pending: their hint, and how long an answer may take."""

from amends.coordinator.definition.declared import DeclaredHandler, DeclaredStep
from amends.coordinator.definition.findings import Finding, finding
from amends.coordinator.definition.form import PendingForm
from amends.coordinator.definition.hints import Unresolved
from amends.coordinator.definition.places import place_of_parameter


def pending_form(
    step: DeclaredStep, handler: DeclaredHandler, within_ms: int | None, findings: list[Finding]
) -> PendingForm | None:
    """The form of what was declared of an action or an undo, with everything found wrong noted."""

    def note(code: str, message: str, *, do: str) -> None:
        at = place_of_parameter(handler.function, "return") if handler.spot is None else handler.place
        findings.append(finding(code, message, do=do, at=at, saga=step.draft.name))

    try:
        may_pend = handler.may_pend()
    except Unresolved:
        return None  # noted where the hint is read
    if not may_pend:
        if within_ms is not None:
            what = f"{handler.label} says pending_within, and its hint does not say that it may be pending"
            note("AM1086", what, do="let it return `… | Pending`, or take pending_within away")
        return None
    if step.kind != "action":
        what = f"{handler.label} is a {step.kind} and may be pending: only what acts is answered later"
        note("AM1086", what, do=f"make it an action, or wait for the message with {step.draft.name}.wait(…)")
        return None
    if within_ms is None:
        what = f"{handler.label} may be pending, and does not say how long its answer may take"
        note("AM1085", what, do='say pending_within="2h": without an answer by then the effect is in doubt')
        return None
    return PendingForm(within_ms=within_ms)
