"""Events in a few words each, so that a test reads like the story it tells."""

from amends.schemas import events as e
from amends.schemas.events import Event


def told(event: Event) -> str:  # noqa: C901, PLR0912  one line for each type
    """The event in a few words: `request charge`, `charge in doubt (timeout)`, `undo of charge verified`."""
    match event:
        case e.StepRequested() | e.UndoRequested():
            return f"request {_what(event)}" + (" again" if event.same_request else "")
        case e.StepSucceeded() | e.UndoSucceeded():
            return f"{_what(event)} succeeded"
        case e.StepFailed() | e.UndoFailed():
            return f"{_what(event)} failed ({event.kind})"
        case e.StepInDoubt():
            return f"{_what(event)} in doubt ({event.reason})" + (", running" if event.attempt_running else "")
        case e.StepSettled():
            return f"{_what(event)} settled: {event.state} by {event.by}"
        case e.StepSkipped():
            return f"{event.path} skipped ({event.because})"
        case e.LocksRequested() | e.LocksTaken():
            return f"{'wait for' if isinstance(event, e.LocksRequested) else 'take'} {', '.join(event.keys)}"
        case e.LockReleased():
            return f"{event.key} taken away"
        case e.FanOutPlanned():
            return f"plan {event.path} for {', '.join(event.keys) or 'nothing'}"
        case e.FanOutEnded():
            without = f" without {', '.join(map(str, event.failed))}" if event.failed else ""
            return f"{event.path} ended{without}"
        case e.RoundPlanned():
            return f"round {event.round} of {event.path}"
        case e.LoopEnded():
            return f"{event.path} ended after {event.rounds}" + ("" if event.met else ", not met")
        case e.RerunStarted():
            return f"rerun: {event.reason}"
        case e.WaitStarted():
            return f"wait {event.path}"
        case e.MessageReceived():
            return f"message {event.message_id} for {event.path}"
        case e.StepPending():
            return f"{_what(event)} pending"
        case e.AnswerReceived():
            return f"answer for {_what(event)}: {event.answer}"
        case e.StepVerified() | e.UndoVerified():
            return f"{_what(event)} verified by {event.by}"
        case e.RetryScheduled():
            return f"ask about {_what(event)} later" if event.role in {"verify", "lookup"} else f"retry {_what(event)}"
        case e.GenerationRaised():
            return f"new key for {_what(event)}"
        case e.DrainStarted():
            return f"drain ({event.cause})"
        case e.CompensationStarted():
            return "compensate " + (", ".join(event.undo_list) or "nothing")
        case e.SagaParked():
            return f"parked {event.phase}: {event.step} ({event.kind})"
        case e.ExpectationChecked():
            return f"{event.path} {'held' if event.held else f'not held ({event.message})'}"
        case e.VerificationPlanned() | e.VerificationRequested() | e.OutcomeAmended():
            return _verification(event)
        case e.ParkingResolved():
            return f"resolved {event.step}: {event.resolution}"
        case e.SavepointChosen():
            return f"undo to {event.step}"
        case e.SavepointReached():
            return f"forward from {event.step}"
        case e.RunResumed():
            return f"resumed ({event.why})" + (" alone" if event.alone else "")
        case e.LateReplyRecorded():
            return f"late: {_what(event)} {event.answer}"
        case e.LimitReached():
            return f"limit: {event.limit}"
        case e.EvidenceRecorded():
            return f"evidence of {_what(event)}"
        case e.CheckpointRecorded():
            return f"checkpoint {event.name}"
        case e.PermissionDenied():
            return f"denied to {_what(event)}"
        case e.SagaStarted() | e.SagaCompleted() | e.SagaCompensated() | e.SagaKilled():
            return type(event).__name__.removeprefix("Saga").lower()


def _verification(event: e.VerificationPlanned | e.VerificationRequested | e.OutcomeAmended) -> str:
    what = f"undo of {event.path}" if event.direction == "undo" else event.path
    if isinstance(event, e.OutcomeAmended):
        return f"{what} {'verified' if event.held else f'not verified ({event.message})'} after the end"
    return f"{'verify' if isinstance(event, e.VerificationPlanned) else 'ask about'} {what} later"


def _what(event: Event) -> str:
    undo = getattr(event, "direction", None) == "undo"
    undo = undo or isinstance(event, e.UndoRequested | e.UndoSucceeded | e.UndoFailed | e.UndoVerified)
    path = str(getattr(event, "path", ""))
    return f"undo of {path}" if undo else path
