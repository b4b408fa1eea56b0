"""What a run in some state says it waits for, must undo and may try again, word by word."""

from typing import Any

import pytest

from amends.coordinator.cli.explaining_text import retries_text, undo_text, waits_text
from amends.schemas.instants import SECOND
from tests.simulation.definitions import action, pivot, saga
from tests.simulation.run import Run
from tests.unit.reading.test_explaining import told

SAID = [
    pytest.param(
        ("ok:reserve",),
        {},
        """
  waits for
    charge   the reply to attempt 1, since 14:00:00, until 14:00:01 (in 1.0 s);
             then it is in doubt
    the run  its deadline at 15:00:00 (in 1 h); then it turns back

  would be undone if it turned back now, in this order
    · charge   read back by charge.undo.verify; if it happened, which is not
               known yet
    · reserve  read back by reserve.undo.verify

  may be tried again
    charge  yes, 1 of 3 attempts used: up to 2 more if it fails, unless for
            good; if its reply is lost, a person decides (class C)
""",
        id="a class C step under way",
    ),
    pytest.param(
        ("unavailable:reserve",),
        {},
        """
  waits for
    reserve  attempt 2 at 14:00:00 (in 0.23 s)
    the run  its deadline at 15:00:00 (in 1 h); then it turns back

  may be tried again
    reserve  yes, 1 of 3 attempts used: as a new request
""",
        id="a retry that has its instant",
    ),
    pytest.param(
        ("unavailable:reserve", "passes:5000", "unavailable:reserve", "passes:9000"),
        {},
        """
  waits for
    reserve  the reply to attempt 3, since 14:00:14, until 14:00:15 (in 1.0 s);
             then it is in doubt
    the run  its deadline at 15:00:00 (in 59 min 46 s); then it turns back

  would be undone if it turned back now, in this order
    · reserve  read back by reserve.undo.verify; if it happened, which is not
               known yet

  may be tried again
    reserve  no, 3 of 3 attempts used: this attempt is the last; if it fails,
             the run turns back; if its reply is lost, the same request under
             the same key
""",
        id="the last attempt",
    ),
    pytest.param(
        ("ok:reserve", "unknown:charge"),
        {"lookup": True},
        """
  waits for
    charge   charge.lookup to say whether it happened, since 14:00:00, until
             14:05:00 (in 5 min); then a person decides
    the run  its deadline at 15:00:00 (in 1 h); then it turns back

  would be undone if it turned back now, in this order
    · charge   read back by charge.undo.verify; if it happened, which is not
               known yet
    · reserve  read back by reserve.undo.verify

  may be tried again
    charge  no, 1 of 3 attempts used: in doubt; charge.lookup is asked whether
            it happened
""",
        id="doubt that a lookup is asked about",
    ),
    pytest.param(
        ("ok:reserve", "times_out:charge"),
        {},
        """
  waits for
    charge   the end of attempt 1, which is overdue, since 14:00:00, until
             14:05:01 (in 5 min); then a person decides
    the run  its deadline at 15:00:00 (in 59 min 59 s); then it turns back

  would be undone if it turned back now, in this order
    · charge   read back by charge.undo.verify; if it happened, which is not
               known yet
    · reserve  read back by reserve.undo.verify

  may be tried again
    charge  no, 1 of 3 attempts used: its attempt has not returned
""",
        id="an attempt past its time",
    ),
    pytest.param(
        ("ok:reserve", "unknown:charge"),
        {},
        """
  waits for
    charge  a person's decision, since 14:00:00

  would be undone if it turned back now, in this order
    · charge   read back by charge.undo.verify; if it happened, which is not
               known yet
    · reserve  read back by reserve.undo.verify

  may be tried again
    charge  by a person, 1 of 3 attempts used: in doubt, and its participant
            promises nothing that could settle it (class C)
""",
        id="class C in doubt, parked",
    ),
    pytest.param(
        ("unknown:reserve",),
        {},
        """
  waits for
    reserve  attempt 2 at 14:00:00 (in 0.23 s)
    the run  its deadline at 15:00:00 (in 1 h); then it turns back

  would be undone if it turned back now, in this order
    · reserve  read back by reserve.undo.verify; if it happened, which is not
               known yet

  may be tried again
    reserve  yes, 1 of 3 attempts used: the same request under the same key
""",
        id="doubt that the key settles",
    ),
    pytest.param(
        ("ok:reserve", "ok:charge"),
        {"verify": True},
        """
  waits for
    charge   charge.verify to say that it is done, since 14:00:00, until
             14:00:01 (in 1.0 s); then it is in doubt
    the run  its deadline at 15:00:00 (in 1 h); then it turns back

  would be undone if it turned back now, in this order
    · charge   read back by charge.undo.verify
    · reserve  read back by reserve.undo.verify

  may be tried again
    charge  no, 1 of 3 attempts used: its reply says done; the world is read
            back
""",
        id="a read-back",
    ),
    pytest.param(
        ("ok:reserve", "refused:charge"),
        {},
        """
  waits for
    ↩ reserve  the reply to attempt 1, since 14:00:00, until 14:00:01 (in
               1.0 s); then it is in doubt

  must be undone, in this order
    ▸ reserve  under way; read back by reserve.undo.verify

  may be tried again
    charge     no, 1 of 3 attempts used: the run has turned back
    ↩ reserve  yes, 1 of 5 attempts used: up to 4 more if it fails, unless for
               good; if its reply is lost, reserve.undo.verify is asked first
""",
        id="an undo under way",
    ),
    pytest.param(
        ("ok:reserve", "refused:charge", "refused:undo of reserve"),
        {},
        """
  waits for
    reserve  a person's decision, since 14:00:00

  must be undone, in this order
    ✖ reserve  failed; read back by reserve.undo.verify

  may be tried again
    charge     by a person, 1 of 3 attempts used: the run has turned back; a
               person may send it forward again
    ↩ reserve  by a person, 1 of 5 attempts used: its failure is final: the
               participant will say the same again
""",
        id="a failed undo, parked",
    ),
    pytest.param(
        ("ok:reserve", "cancel"),
        {},
        """
  waits for
    charge  the reply to attempt 1, since 14:00:00, until 14:01:01 (in 1 min
            1 s); then a person decides

  will be undone once all that was sent is settled, in this order
    · charge   read back by charge.undo.verify; if it happened, which is not
               known yet
    · reserve  read back by reserve.undo.verify

  may be tried again
    charge  no, 1 of 3 attempts used: the run has turned back
""",
        id="the drain",
    ),
    pytest.param(
        ("ok:reserve", "ok:charge", "ok:ship", "refused:mail"),
        {},
        """
  waits for
    mail  a person's decision, since 14:00:00

  its pivot is passed: nothing is undone any more

  may be tried again
    mail  by a person, 1 of 3 attempts used: its failure is final: the
          participant will say the same again; behind the pivot it must succeed
""",
        id="a failure behind the pivot, parked",
    ),
    pytest.param(
        ("pends:reserve",),
        {},
        """
  waits for
    reserve  an answer of K-1, since 14:00:00, until 14:00:10 (in 10.0 s); then
             it is in doubt
    the run  its deadline at 15:00:00 (in 1 h); then it turns back

  would be undone if it turned back now, in this order
    · reserve  read back by reserve.undo.verify; if it happened, which is not
               known yet

  may be tried again
    reserve  no, 1 of 3 attempts used: its participant has taken it on; without
             its answer, the same request under the same key
""",
        id="an answer that is awaited",
    ),
    pytest.param(
        ("ok:reserve", "ok:charge", "refused:ship", "refused:undo of charge", "undo_to:reserve"),
        {},
        """
  waits for
    ↩ charge  the reply to attempt 2, since 14:00:00, until 14:00:01 (in 1.0 s);
              then it is in doubt
    the run   its deadline at 15:00:00 (in 1 h); then all of it is undone

  must be undone, in this order; then it goes forward from reserve
    ▸ charge  under way; read back by charge.undo.verify

  may be tried again
    ship      no, 1 of 3 attempts used: the run has turned back
    ↩ charge  yes, 1 of 5 attempts used: up to 4 more if it fails, unless for
              good; if its reply is lost, charge.undo.verify is asked first
""",
        id="on the way to a savepoint",
    ),
]


def run_of(happened: tuple[str, ...], charge: dict[str, Any]) -> Run:
    """`reserve` deduplicates by key, `charge` promises what the case says; `ship` is the pivot."""
    steps = (action("reserve", key=True), action("charge", **charge), pivot("ship"), action("mail", undo=False))
    run = Run.of(saga(*steps))
    for each in happened:
        what, *about = each.split(":")
        getattr(run, what)(*(int(word) if word.isdigit() else word for word in about))
    return run


@pytest.mark.parametrize(("happened", "charge", "said"), SAID)
def test_a_run_says_what_it_waits_for_must_undo_and_may_try_again(
    happened: tuple[str, ...], charge: dict[str, Any], said: str
) -> None:
    run = run_of(happened, charge)
    explanation = told(run.plan, run.get(), (), run.now)
    lines = [*waits_text(explanation), *undo_text(explanation), *retries_text(explanation)]
    assert "\n".join(lines) + "\n" == said
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("after_s", "said"),
    [
        pytest.param(59, "charge  a person's decision, since 14:00:00", id="the clock says it"),
        pytest.param(60, "charge  a person's decision, since 14:00:00, 1 min ago", id="from a minute on also its age"),
    ],
)
def test_what_is_waited_for_says_its_age_where_the_clock_alone_does_not(after_s: int, said: str) -> None:
    run = run_of(("ok:reserve", "unknown:charge"), {})
    lines = waits_text(told(run.plan, run.get(), (), run.now + after_s * SECOND))
    assert [line.strip() for line in lines if "charge" in line] == [said]
