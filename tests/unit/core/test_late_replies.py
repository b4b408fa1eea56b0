"""After the end only late replies are recorded: they correct what is told of the world, and nothing else (rule 12)."""

import pytest

from amends.coordinator.core.messages import Answer, Done, Ended, Failed, Replied, ResolutionWished, Unknown
from amends.coordinator.core.people import resolutions
from amends.coordinator.core.savepoints import savepoints
from amends.coordinator.core.state import Phase
from amends.coordinator.definition.form import StepForm
from amends.schemas.events import LateReplyRecorded
from tests.simulation.definitions import action, pivot, read, saga
from tests.simulation.run import Run

REFUSED = Failed(kind="refused", message="no", retriable=False)
UNAVAILABLE = Failed(kind="unavailable", message="later", retriable=True)


def killed(*, undoing: bool = False, doubtful: bool = False, key: bool = False) -> Run:
    """A run killed while an attempt was open; `doubtful`: the second one under its key."""
    run = Run.of(saga(action("a", key=key), read("bad")))
    if undoing:
        run.ok("a")
        run.refused("bad")
    what = "undo of a" if undoing else "a"
    if doubtful:
        run.unknown(what)
        if not key:
            run.resolve("a", "retry")
        elif undoing:
            run.denies(what)
            run.tick()
        else:
            run.tick()
    run.kill()
    return run


def late(run: Run, answer: Answer, *, undo: bool = False, attempt: int | None = None) -> list[str]:
    what = "undo of a" if undo else "a"
    number = run.effect(what).attempt if attempt is None else attempt
    return run.tell(Replied(path="a", direction="undo" if undo else "forward", attempt=number, answer=answer))


@pytest.mark.parametrize(
    ("answer", "told", "phase", "message"),
    [
        pytest.param(Done(result="sha256:1"), "succeeded", "done", None, id="it did happen"),
        pytest.param(REFUSED, "failed", "failed", "no", id="it did not"),
        pytest.param(UNAVAILABLE, "failed", "failed", "later", id="it did not, nobody was there"),
        pytest.param(Unknown(kind="in_doubt", message="cut off"), "unknown", "ended", "cut off", id="nobody knows"),
        pytest.param(Ended(kind="exception", message="KeyError"), "unknown", "ended", "KeyError", id="it raised"),
    ],
)
@pytest.mark.parametrize("undo", [False, True], ids=["step", "undo"])
def test_a_late_reply_corrects_the_exposure(
    answer: Answer, told: str, phase: Phase, message: str | None, *, undo: bool
) -> None:
    run = killed(undoing=undo)
    assert late(run, answer, undo=undo) == [f"late: {'undo of a' if undo else 'a'} {told}"]
    assert run.effect("undo of a" if undo else "a").phase == phase
    event = run.events[-1]
    assert isinstance(event, LateReplyRecorded)
    assert (event.message, event.result) == (message, answer.result if isinstance(answer, Done) else None)
    assert run.status == "killed"
    assert late(run, answer, undo=undo) == [], "once"


def test_a_late_result_is_kept() -> None:
    run = killed()
    late(run, Done(result="sha256:1"))
    assert run.effect("a").result == "sha256:1"


def test_that_an_attempt_still_runs_says_nothing_yet() -> None:
    run = killed()
    assert late(run, Unknown(kind="timeout", message="", running=True)) == []
    assert late(run, REFUSED) == ["late: a failed"]


def test_a_late_failure_counts_only_if_it_speaks_for_all_requests_under_the_key() -> None:
    known, unknown = killed(doubtful=True, key=True), killed(doubtful=True)
    assert late(known, REFUSED) == ["late: a failed"]
    assert late(unknown, REFUSED) == ["late: a unknown"]
    nobody = killed(doubtful=True, key=True)
    assert late(nobody, UNAVAILABLE) == ["late: a unknown"]


def test_a_reply_to_an_earlier_attempt_says_nothing() -> None:
    assert late(killed(doubtful=True, key=True), Done(result="sha256:1"), attempt=1) == []


def test_nothing_else_follows_the_end() -> None:
    run = killed()
    assert run.cancel() == []
    assert run.recovers() == []
    assert run.passes(7_200_000) == []
    assert run.tell(ResolutionWished(step="a", resolution="retry")) == []


def test_a_completed_run_awaits_no_reply() -> None:
    run = Run.of(saga(action("a")))
    run.ok("a")
    assert late(run, Done(result="sha256:1")) == []


def left_in_doubt(left: StepForm) -> Run:
    """A run that is being undone; a person has left a step in doubt, which a late answer does not end."""
    run = Run.of(saga(action("a", ()), left))
    run.ok("a")
    run.pends(left.path)
    run.cancel()
    run.tick()
    assert run.resolve(left.path, "skip")[-1] == "request undo of a"
    assert run.answers(left.path, said="unknown") == [f"answer for {left.path}: unknown", f"late: {left.path} unknown"]
    run.refused("undo of a")
    assert run.status == "parked"
    return run


def test_a_pivot_of_which_a_late_answer_says_nothing_is_in_doubt_still() -> None:
    run = left_in_doubt(pivot("p", pending_ms=10_000))
    assert run.effect("p").doubt is not None
    assert "go_forward" not in resolutions(run.plan, run.get())
    assert savepoints(run.plan, run.get()) == ()


def test_a_step_of_which_a_late_answer_says_nothing_is_settled_when_the_run_goes_forward() -> None:
    run = left_in_doubt(action("b", (), pending_ms=10_000))
    assert run.resolve("a", "go_forward") == [
        "resolved a: go_forward",
        "new key for undo of a",
        "new key for undo of b",
        "parked forward: b (in_doubt)",
    ]
