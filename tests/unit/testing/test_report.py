"""What a rehearsal found, as people read it: on a terminal, and elsewhere."""

from amends.compensations.judging import Finding
from amends.compensations.scenarios import StepFacts
from amends.coordinator.testing.report import Rehearsal, text_of

TAKE = StepFacts(path="take_the_book_off_the_shelf", kind="action", handler="take", undo="take.undo")
PRICE = StepFacts(path="price", kind="read", handler="price")
FOUND = Finding(
    kind="not_restored",
    step=TAKE.path,
    handler="take.undo",
    message="the run is compensated, and the world is not as it was before",
    when=f"every reply of {TAKE.path} is lost after it acted, and nobody is there to say so",
    scenarios=43,
)
REHEARSAL = Rehearsal(
    saga="loan", version=1, triggers=1, scenarios=71, steps=(TAKE, PRICE), findings=(FOUND,),
    places={"take.undo": ("careless.py", 34)},
)  # fmt: skip


def test_a_finding_is_marked_once_and_told_in_lines_that_programs_can_read() -> None:
    assert text_of(REHEARSAL).splitlines() == [
        "loan v1: 71 scenarios",
        "  ✖ take_the_book_off_the_shelf  1 finding",
        "  · price                        changes nothing",
        "",
        f"careless.py:34: error not_restored: {FOUND.message}",
        f"    when {FOUND.when} (and in 42 other scenarios)",
        "",
        "✖ 1 finding, 0 warnings",
    ]


def test_on_a_terminal_what_is_long_goes_on_below_and_nothing_is_lost() -> None:
    folded = text_of(REHEARSAL, width=60)
    assert max(map(len, folded.splitlines())) <= 60
    assert folded.split() == text_of(REHEARSAL).split()
    assert str(REHEARSAL) == text_of(REHEARSAL)
