"""From how a rehearsed run ended to what is wrong with its saga, as a table."""

from typing import Any

import pytest

from amends.compensations.faults import Fault, all_said
from amends.compensations.judging import Ending, Flag, Park, is_expected, judge
from amends.compensations.scenarios import Call, StepFacts
from amends.compensations.worlds import Difference

STEPS = {
    step.path: step
    for step in (
        StepFacts(
            path="take",
            kind="action",
            handler="take",
            undo="take.undo",
            undo_verify="take.undo.verify",
            lookup="take.find",
        ),
        StepFacts(path="mail", kind="action", handler="mail", undo="mail.undo", follow_up=True),
        StepFacts(path="pay", kind="action", handler="pay", pivot=True),
        StepFacts(path="ship", kind="action", handler="ship", past_pivot=True, refuses=True),
        StepFacts(path="book", kind="action", handler="book", past_pivot=True),
        StepFacts(path="bill", kind="result", handler="bill", past_pivot=True),
        StepFacts(path="sums", kind="expect", handler="sums", past_pivot=True),
    )
}
STOCK = Difference(path="stock.free", before="10", after="8")
LETTER = Difference(path="letters.1", before=None, after='"sorry"')


def call(path: str, role: Any = "step", **more: Any) -> Call:
    undo = role == "undo" or more.pop("of_undo", False)
    handler = {"step": path, "undo": f"{path}.undo", "verify": f"{path}.undo.verify", "lookup": f"{path}.find"}[role]
    given: dict[str, Any] = {"direction": "undo" if undo else "forward", "nth": 1, "made": True, **more}
    return Call(handler=handler, path=path, role=role, **given)


def fault(kind: Any, path: str = "take", **more: Any) -> Fault:
    undo = more.get("direction") == "undo"
    return Fault(kind=kind, handler=f"{path}.undo" if undo else path, path=path, **more)


def park(path: str, direction: Any = "forward", kind: str = "refused", why: str = "no") -> Park:
    return Park(path=path, direction=direction, kind=kind, why=why)


def ending(
    status: str,
    *calls: Call,
    parked: tuple[Park, ...] = (),
    before: Any = (),
    faultless: Any = (),
    flags: tuple[Flag, ...] = (),
    left_out: tuple[str, ...] = (),
) -> Ending:
    return Ending(
        status=status,
        parked=parked,
        calls=calls,
        from_before=before,
        from_faultless=faultless,
        flags=flags,
        left_out=frozenset(left_out),
    )


TAKEN, GIVEN_BACK = call("take", changed=("stock.free",)), call("take", "undo", changed=("stock.free",))
MAILED = call("mail", changed=("letters.0",))
REFUSED = (fault("refused"),)

CASES = [
    pytest.param((), ending("completed"), [], id="a run that completes as it should says nothing"),
    pytest.param(REFUSED, ending("compensated", TAKEN, GIVEN_BACK), [], id="nor does one that is undone"),
    pytest.param(
        (),
        ending("completed", TAKEN, faultless=None, before=(STOCK,)),
        [],
        id="without a faultless end there is nothing to compare with",
    ),
    pytest.param(
        REFUSED,
        ending("compensated", TAKEN, GIVEN_BACK, before=(STOCK,)),
        [("not_restored", "take.undo", "error")],
        id="what a step left is its undo's to mend",
    ),
    pytest.param(
        REFUSED,
        ending("compensated", before=(STOCK,)),
        [("not_restored", "take.undo", "error")],
        id="what nobody is seen to have done is asked of the step that failed",
    ),
    pytest.param(
        (fault("lost_after"),),
        ending("completed", TAKEN, TAKEN, faultless=(STOCK,)),
        [("not_the_same", "take", "error")],
        id="an effect that came twice",
    ),
    pytest.param(
        (fault("refused", "take[1]"),),
        ending("completed", TAKEN, faultless=(STOCK,), left_out=("take[1]",)),
        [],
        id="an item that is left out has not done what it would have done",
    ),
    pytest.param(
        (fault("refused", "take[1]"),),
        ending("completed", TAKEN, faultless=(STOCK, LETTER), left_out=("take[1]",)),
        [("not_the_same", "take", "error")],
        id="an item that is left out has done something all the same",
    ),
    pytest.param(
        (fault("claimed", direction="undo"),),
        ending(
            "compensated",
            TAKEN,
            call("take", "undo", made=False),
            call("take", "verify", of_undo=True),
            before=(STOCK,),
        ),
        [("verify_blind", "take.undo.verify", "error")],
        id="a read-back believed an undo that never ran",
    ),
    pytest.param(
        (fault("lost_before"),),
        ending("completed", call("take", made=False), call("take", "lookup"), faultless=(STOCK,)),
        [("verify_blind", "take.find", "error")],
        id="a lookup found what never happened",
    ),
    pytest.param(
        REFUSED,
        ending("compensated", MAILED, call("mail", "undo", changed=("letters.1",)), before=(LETTER,)),
        [],
        id="letters and their apologies may stay",
    ),
    pytest.param(
        REFUSED,
        ending("compensated", MAILED, call("mail", "undo"), before=()),
        [("follow_up_idle", "mail.undo", "error")],
        id="a follow-up must do something",
    ),
    pytest.param(
        REFUSED,
        ending("parked", TAKEN, parked=(park("take", "undo"),)),
        [("parks", "take.undo", "error")],
        id="an undo that fails without a reason",
    ),
    pytest.param(
        (fault("lost_before"),),
        ending("parked", parked=(park("take", kind="in_doubt"),)),
        [("unsettled", "take", "warning")],
        id="a doubt that nothing can settle is a person's",
    ),
    pytest.param(
        (fault("raises_before"),),
        ending("parked", call("take", "undo"), parked=(park("take", "undo", kind="in_doubt", why="KeyError"),)),
        [("parks", "take.undo", "error")],
        id="an undo that raises is no doubt of the step's",
    ),
    pytest.param(
        (fault("refused", "ship"),),
        ending("completed", parked=(park("ship"),)),
        [("no_amends", "pay", "error")],
        id="a step behind the pivot that refuses by itself",
    ),
    pytest.param(
        (fault("refused", "book"),),
        ending("completed", parked=(park("book"),)),
        [("no_amends", "pay", "warning")],
        id="a step behind the pivot that never refuses by itself",
    ),
    pytest.param(
        (fault("refused", "bill"),),
        ending("completed", parked=(park("bill"),)),
        [],
        id="a result that never refuses by itself",
    ),
    pytest.param(
        (),
        ending("parked", parked=(park("ship"),)),
        [("no_amends", "pay", "error")],
        id="a trigger that is refused behind the pivot",
    ),
    pytest.param(
        (fault("unavailable", "ship"),),
        ending("completed", parked=(park("ship", kind="unavailable"),)),
        [],
        id="behind the pivot a participant may be away",
    ),
    pytest.param(
        (),
        ending("parked", parked=(park("take", kind="in_doubt"),)),
        [("parks", "take", "error")],
        id="a run that parks though nothing fails",
    ),
    pytest.param((), ending("stuck"), [("parks", "", "error")], id="a run that never ends"),
    pytest.param(
        (),
        ending("completed", TAKEN, flags=(Flag(path="sums"),)),
        [("flagged", "sums", "error")],
        id="what is expected of a run that nobody broke does not hold",
    ),
    pytest.param(
        (Fault(kind="died_appended", version=3),),
        ending("completed", TAKEN, flags=(Flag(path="sums", message="1 of 2"),)),
        [("flagged", "sums", "error")],
        id="a run comes through a crash, and is flagged",
    ),
    pytest.param(
        REFUSED,
        ending("compensated", TAKEN, GIVEN_BACK, flags=(Flag(path="take", direction="undo"),)),
        [("flagged", "take.undo.verify", "error")],
        id="an undo that brought the world back is read back otherwise",
    ),
    pytest.param(
        (fault("refused", "sums"),),
        ending("completed", TAKEN, flags=(Flag(path="sums"),)),
        [],
        id="what was failed itself flags for cause",
    ),
    pytest.param(
        (fault("lost_after"),),
        ending("completed", TAKEN, TAKEN, faultless=(STOCK,), flags=(Flag(path="sums"),)),
        [("not_the_same", "take", "error")],
        id="where the world is another it is flagged for cause",
    ),
    pytest.param(
        (fault("claimed"),),
        ending("completed", call("take", made=False), faultless=(STOCK,), flags=(Flag(path="take"), Flag(path="sums"))),
        [],
        id="a step that lied is told by the read-back after the end",
    ),
    pytest.param(
        (fault("claimed"),),
        ending("completed", call("take", made=False), faultless=(STOCK,)),
        [("not_the_same", "take", "error")],
        id="a step that lied, and nobody says so",
    ),
    pytest.param(
        (fault("answered_refused", "ship"),),
        ending("parked", parked=(park("ship"),)),
        [("no_amends", "pay", "error")],
        id="a participant behind the pivot refuses by its reply",
    ),
]


@pytest.mark.parametrize(("faults", "ended", "found"), CASES)
def test_an_ending_leads_to_findings(
    faults: tuple[Fault, ...], ended: Ending, found: list[tuple[str, str, str]]
) -> None:
    assert [(each.kind, each.handler, each.severity) for each in judge(faults, ended, STEPS)] == found


def test_a_finding_names_what_carries_out_the_commands_of_its_handler() -> None:
    undone = call("take", "undo", carried=("bank, on 'repay': bank.py:7",))
    (finding,) = judge(REFUSED, ending("compensated", TAKEN, undone, before=(STOCK,)), STEPS)
    assert finding.carried == ("bank, on 'repay': bank.py:7",)


@pytest.mark.parametrize(("refuses", "severity"), [(True, "error"), (False, "warning")])
def test_a_participant_behind_the_pivot_that_may_refuse_weighs_as_a_handler_that_does(
    *, refuses: bool, severity: str
) -> None:
    booked = call("book", commands=1, may_refuse=refuses)
    ended = ending("parked", booked, parked=(park("book"),))
    (finding,) = judge((fault("answered_refused", "book"),), ended, STEPS)
    assert (finding.kind, finding.severity) == ("no_amends", severity)


@pytest.mark.parametrize(
    ("faults", "where", "whether"),
    [
        pytest.param((fault("unavailable", direction="undo"),), park("take", "undo"), True, id="its own undo is away"),
        pytest.param((fault("raises_before"),), park("take", "undo"), False, id="a step's fault is not its undo's"),
        pytest.param((fault("refused"),), park("mail"), False, id="nor another step's"),
        pytest.param((fault("lost_before"),), park("take"), False, id="one lost reply is no reason to give up"),
        pytest.param((fault("lost_before_always"),), park("take"), True, id="replies that are always lost are"),
        pytest.param((fault("died_after"),), park("take"), False, id="a crash is no reason to park"),
        pytest.param((fault("reply_late"),), park("take"), True, id="replies that do not come in time are"),
        pytest.param((fault("reply_lost"),), park("take"), False, id="one reply lost on the bus is none"),
    ],
)
def test_a_run_may_park_for_as_long_as_its_own_fault_lasts(
    faults: tuple[Fault, ...], where: Park, *, whether: bool
) -> None:
    assert is_expected(faults, where) is whether


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        pytest.param((), "nothing fails", id="none"),
        pytest.param((fault("refused"),), "take refuses", id="one"),
        pytest.param(
            (fault("turned_back"), fault("lost_after", direction="undo")),
            "the run is cancelled while take acts, and the reply of take.undo is lost after it acted",
            id="two",
        ),
        pytest.param((fault("refused", nth=3),), "take (call 3) refuses", id="a later call"),
        pytest.param(
            (Fault(kind="died_appended", version=7),),
            "the coordinator dies right after entry 7 is appended",
            id="an entry",
        ),
    ],
)
def test_faults_are_told_in_words(faults: tuple[Fault, ...], said: str) -> None:
    assert all_said(faults) == said
