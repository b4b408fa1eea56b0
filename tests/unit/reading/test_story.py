"""A run as a narrative for people, held against the contract's whole story byte for byte."""

import msgspec

from amends.coordinator.core.plan import plan_of
from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.reading.history import history
from amends.coordinator.reading.story import story
from amends.schemas import events as e
from amends.schemas.entry import decode
from tests.replay.recording import read
from tests.unit.reading.stories import (
    DAY,
    LATER,
    History,
    again,
    draining,
    evidence,
    failed,
    refund_plan,
    requested,
    started,
    succeeded,
    undo_requested,
    undo_succeeded,
    undo_verified,
    waiting_plan,
)

COMPENSATED = """\
refund v3 · order A-12 · ↩ compensated in 6.4 s
  14:02:07.110  trigger          billing.refund-requested 3@118, request R-77
  14:02:07.118  reverse_charge   ✔ 0.31 s   payments → rev_77            evidence 4.0
  14:02:07.440  restock          ✔ 0.12 s   inventory                     evidence 5.0
  14:02:07.561  notify           ✖ unavailable, 3 attempts: mail 503
  14:02:13.120    ↩ restock         ✔ undone, verified
  14:02:13.300    ↩ reverse_charge  ✔ undone, verified
  The world is as it was before: 2 of 2 effects undone and verified, nothing left.
"""


def forward() -> History:
    """The contract's run up to the last attempt of `notify`."""
    run = History()
    run.entry("14:02:07.110", started(), cause="trigger")
    run.entry("14:02:07.118", requested("reverse_charge"))
    run.entry("14:02:07.428", succeeded("reverse_charge", "rev_77", readback=True))
    verified = e.StepVerified(path="reverse_charge", by="readback")
    run.entry("14:02:07.440", evidence("reverse_charge", "payments", "verify"), verified, requested("restock"))
    run.entry("14:02:07.561", evidence("restock", "inventory"), succeeded("restock"), requested("notify"))
    run.entry("14:02:08.010", failed("notify", attempt=1), *again("notify", attempt=1, due_at="14:02:09.000"))
    run.entry("14:02:09.000", requested("notify", attempt=2))
    run.entry("14:02:09.450", failed("notify", attempt=2), *again("notify", attempt=2, due_at="14:02:12.700"))
    run.entry("14:02:12.700", requested("notify", attempt=3))
    return run


def turned_back() -> History:
    run = forward()
    undo = draining("notify", attempt=3, undo=("restock", "reverse_charge"))
    run.entry("14:02:13.120", failed("notify", attempt=3), *undo, undo_requested("restock"))
    return run


def compensated() -> History:
    run = turned_back()
    run.entry("14:02:13.210", undo_succeeded("restock"))
    run.entry("14:02:13.300", undo_verified("restock"), undo_requested("reverse_charge"))
    run.entry("14:02:13.405", undo_succeeded("reverse_charge"))
    run.entry("14:02:13.510", undo_verified("reverse_charge"), e.SagaCompensated())
    return run


def parked() -> History:
    run = turned_back()
    refused = e.UndoFailed(path="restock", attempt=1, kind="refused", message="the shelf is gone", retriable=False)
    why = e.SagaParked(phase="undo", step="restock", kind="refused", why="the shelf is gone")
    run.entry("14:02:13.210", refused, why)
    return run


def test_the_story_of_a_compensated_run_is_the_contract_s_byte_for_byte() -> None:
    assert story(compensated().moments(), refund_plan()) == COMPENSATED


def test_a_follow_up_is_no_undo_and_the_world_is_not_said_to_be_as_it_was() -> None:
    form = refund_plan().form
    steps = tuple(
        msgspec.structs.replace(step, undo=msgspec.structs.replace(step.undo, follow_up=True))
        if step.path == "restock" and step.undo is not None
        else step
        for step in form.steps
    )
    told = story(compensated().moments(), plan_of(msgspec.structs.replace(form, steps=steps))).splitlines()
    assert told[-3:] == [
        "  14:02:13.120    ↩ restock         ✔ followed up, verified",
        "  14:02:13.300    ↩ reverse_charge  ✔ undone, verified",
        "  Amends are made: 2 of 2 effects undone and verified; what stays was followed up: restock.",
    ]


def test_a_run_that_goes_on_says_what_is_under_way_and_when_it_goes_on() -> None:
    told = story(forward().moments()[:8], refund_plan()).splitlines()
    assert told[0] == "refund v3 · order A-12 · ▸ running for 2.3 s"
    assert told[4] == "  14:02:07.561  notify           ✖ unavailable, 2 attempts: mail 503 · again at 14:02:12.700"
    assert told[-1] == "  Not over yet: running."


def test_a_parked_run_says_what_is_left_and_who_decides() -> None:
    told = story(parked().moments(), refund_plan()).splitlines()
    assert told[0] == "refund v3 · order A-12 · ‖ parked"
    assert told[-5:] == [
        "  14:02:13.120    ↩ restock         ✖ refused: the shelf is gone",
        "  14:02:13.210  parked           ‖ at restock, refused: the shelf is gone",
        "  Parked at restock since 2026-11-21 14:02:13: the shelf is gone.",
        "  Left in the world: reverse_charge (done, not undone), restock (its undo failed: the shelf is gone).",
        "  A person decides: amends parked show 8f1c1a52-6d0e-5f7a-9a53-0d9b8c7e6f50",
    ]


def test_a_run_that_waits_is_called_waiting_and_says_for_what_and_until_when() -> None:
    run = History()
    waits = e.WaitStarted(
        path="paid", attempt=1, awaits="message", correlation="A-12", message_type="payment", due_at=LATER
    )
    run.entry("14:02:07.110", started(), waits, cause="trigger")
    told = story(run.moments(), waiting_plan()).splitlines()
    assert told[0] == "refund v3 · order A-12 · ⏸ waiting"
    assert told[-1] == "  Waits for message payment of A-12 until 2026-11-21 15:02:07, in paid."


def test_a_run_whose_handler_no_worker_has_is_called_waiting_too() -> None:
    told = story(forward().moments()[:1], refund_plan(), "reverse_charge").splitlines()
    assert told[0] == "refund v3 · order A-12 · ⏸ waiting"
    assert told[-1] == "  Waits for handler reverse_charge, which no worker has."


def test_a_person_s_decision_stands_in_the_story_with_name_and_reason() -> None:
    run = parked()
    skip = e.ParkingResolved(step="restock", resolution="skip", reason="we keep it", evidence=None)
    run.entry("14:05:00.000", skip, undo_requested("reverse_charge"), actor="ines", cause="resolve")
    run.entry("14:05:00.100", undo_succeeded("reverse_charge"))
    run.entry("14:05:00.200", undo_verified("reverse_charge"), e.SagaCompensated())
    told = story(run.moments(), refund_plan()).splitlines()
    assert "  14:05:00.000  resolved         ines decided for restock: leave it in the world (we keep it)" in told
    assert told[-1] == (
        "  1 of 2 effects undone and verified. Left in the world: restock (left by a person's decision)."
    )


def test_without_its_definition_a_story_still_tells_what_happened() -> None:
    told = story(compensated().moments(), None).splitlines()
    assert told[0] == "refund v3 · key A-12 · ↩ compensated in 6.4 s"
    assert told[2].split() == ["14:02:07.118", "reverse_charge", "✔", "0.31", "s", "→", "rev_77", "evidence", "4.0"]


def test_what_steps_said_and_where_they_acted_stands_in_columns() -> None:
    run = History()
    run.entry("14:02:07.110", started(), cause="trigger")
    run.entry("14:02:07.118", requested("reverse_charge"))
    charged = succeeded("reverse_charge", "rev_77"), requested("restock")
    run.entry("14:02:07.428", evidence("reverse_charge", "payments"), *charged)
    run.entry("14:02:07.432", evidence("restock", "inventory"), succeeded("restock"), requested("notify"))
    lines = story(run.moments(), refund_plan()).splitlines()
    assert [line[33:] for line in lines[2:4]] == [
        "✔ 0.31 s   payments → rev_77            evidence 3.0",
        "✔ 4 ms     inventory                     evidence 4.0",
    ]


def test_doubt_is_said_once() -> None:
    run = History()
    run.entry("14:02:07.110", started(), cause="trigger")
    run.entry("14:02:07.118", requested("reverse_charge"))
    doubt = e.StepInDoubt(
        path="reverse_charge",
        direction="forward",
        attempt=1,
        attempt_running=False,
        reason="in_doubt",
        message="no answer",
    )
    run.entry("14:02:07.200", doubt)
    parked = e.SagaParked(phase="forward", step="reverse_charge", kind="in_doubt", why="nothing can settle it")
    run.entry("14:02:07.300", parked)
    told = story(run.moments(), refund_plan())
    assert "? in doubt: no answer" in told
    assert "‖ at reverse_charge: nothing can settle it" in told


def test_an_effect_in_doubt_says_how_often_it_was_asked_and_when_it_is_again_until_the_run_parks() -> None:
    run = History()
    run.entry("14:02:07.110", started(), requested("reverse_charge"), cause="trigger")
    for attempt, at in enumerate(("14:02:07.200", "14:02:08.200", "14:02:09.200"), 1):
        doubt = e.StepInDoubt(
            path="reverse_charge",
            direction="forward",
            attempt=attempt,
            attempt_running=False,
            reason="in_doubt",
            message="no answer",
        )
        again = e.RetryScheduled(
            path="reverse_charge",
            direction="forward",
            role="step",
            attempt=attempt + 1,
            due_at=f"{DAY}14:02:12.000000Z",
        )
        run.entry(at, doubt, again)
        if attempt < 3:
            run.entry(at.replace(".200", ".900"), requested("reverse_charge", attempt=attempt + 1))
    told = story(run.moments(), refund_plan()).splitlines()
    assert told[2].endswith("? in doubt, 3 attempts: no answer · again at 14:02:12.000")
    run.entry("14:02:12.000", e.SagaParked(phase="forward", step="reverse_charge", kind="in_doubt", why="no answer"))
    told = story(run.moments(), refund_plan()).splitlines()
    assert told[2].endswith("? in doubt, 3 attempts: no answer")


def test_what_was_done_by_hand_is_not_called_verified() -> None:
    run = parked()
    by_hand = e.ParkingResolved(step="restock", resolution="done_by_hand", reason=None, evidence="ticket 4711")
    verified = e.UndoVerified(path="restock", by="person")
    run.entry("14:05:00.000", by_hand, verified, undo_requested("reverse_charge"), actor="ines", cause="resolve")
    run.entry("14:05:00.100", undo_succeeded("reverse_charge"))
    run.entry("14:05:00.200", undo_verified("reverse_charge"), e.SagaCompensated())
    assert story(run.moments(), refund_plan()).splitlines()[-1] == (
        "  The world is as it was before: 2 of 2 effects undone, of them 1 by hand, nothing left."
    )


def test_steps_of_what_is_repeated_say_where_they_are_carried_out() -> None:
    recorded = read("repeated")
    plan = plan_of(msgspec.json.decode(recorded.definition, type=DefinitionForm))
    told = story(list(history(recorded.entries, of=decode(recorded.entries[0]).saga_id)), plan).splitlines()
    assert [line.split()[-1] for line in told if "/ask " in line] == ["read", "read"]


def test_a_run_that_waits_for_its_locks_does_not_say_how_long_it_has_run() -> None:
    run = History()
    run.entry("14:02:07.110", started(), e.LocksRequested(keys=("order:A-12",)), cause="trigger")
    assert story(run.moments(), refund_plan()).splitlines()[0] == "refund v3 · order A-12 · ○ queued"


def test_on_a_narrow_terminal_what_is_long_goes_on_below_in_its_column() -> None:
    run = forward()
    run.entry(
        "14:02:13.000",
        e.StepFailed(path="notify", attempt=3, kind="unavailable", message=" ".join(["mail 503"] * 9), retriable=False),
    )
    told = story(run.moments(), refund_plan(), width=80).splitlines()
    assert told[2] == "  14:02:07.118  reverse_charge   ✔ 0.31 s   payments → rev_77   evidence 4.0"
    assert told[4:6] == [
        "  14:02:07.561  notify           ✖ unavailable, 3 attempts: mail 503 mail 503",
        "                                 mail 503 mail 503 mail 503 mail 503 mail 503",
    ]
    assert all(len(line) <= 80 for line in told)
    assert _words("\n".join(told)) == _words(story(run.moments(), refund_plan()))


def test_a_name_that_is_too_long_for_its_column_stands_alone() -> None:
    name = "parcels[12]/hand_over_to_the_carrier"
    run = History()
    run.entry("14:02:07.110", started(), cause="trigger")
    run.entry("14:02:07.118", requested(name))
    run.entry("14:02:07.428", evidence(name, "payments"), succeeded(name, "carrier-of-the-north-17-2026-11-21-A-12"))
    told = story(run.moments(), refund_plan(), width=80).splitlines()
    assert told[2:4] == [
        f"  14:02:07.118  {name}",
        "                          ✔ 0.31 s   → carrier-of-the-north-17-2026-11-21-A-12",
    ]
    assert told[4].strip() == "evidence 3.0"


def test_a_command_to_copy_is_never_broken() -> None:
    told = story(parked().moments(), refund_plan(), width=40).splitlines()
    assert told[-1] == "  A person decides: amends parked show 8f1c1a52-6d0e-5f7a-9a53-0d9b8c7e6f50"


def test_a_run_of_several_days_names_each_above_what_happened_on_it() -> None:
    run = History()
    tomorrow = "2026-11-22T09:00:00.000000Z"
    waits = e.WaitStarted(
        path="paid", attempt=1, awaits="message", correlation="A-12", message_type="payment", due_at=tomorrow
    )
    run.entry("14:02:07.110", started(), waits, cause="trigger")
    told = story(run.moments(), waiting_plan()).splitlines()
    assert told[2] == "  14:02:07.110  paid      … waits for message payment of A-12 until 2026-11-22 09:00:00"
    late = e.StepFailed(path="paid", attempt=1, kind="timeout", message="no payment", retriable=False)
    run.entry(tomorrow, late)
    run.entry(tomorrow, e.RunResumed(why="recovery", clean=False, alone=False))
    told = story(run.moments(), waiting_plan()).splitlines()
    assert told[1] == "  2026-11-21"
    assert told[4:6] == ["  2026-11-22", "  09:00:00.000  resumed   ▸ its worker died, another goes on"]


def test_a_request_that_was_withdrawn_is_not_said_to_have_failed() -> None:
    run = History()
    run.entry("14:02:07.110", started(), cause="trigger")
    run.entry("14:02:07.118", requested("reverse_charge"))
    withdrawn = e.StepFailed(
        path="reverse_charge", attempt=1, kind="withdrawn", message="not handed over in time", retriable=True
    )
    run.entry("14:02:07.300", withdrawn, *again("reverse_charge", attempt=1, due_at="14:02:07.500"))
    told = story(run.moments(), refund_plan()).splitlines()
    assert told[2].endswith("⊘ withdrawn: not handed over in time · again at 14:02:07.500")


def _words(text: str) -> list[str]:
    return text.split()
