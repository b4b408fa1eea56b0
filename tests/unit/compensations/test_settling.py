"""The settling table (rule 8): its rows by name, then what holds in every row there can be."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Final, get_args

import pytest

from amends.compensations.settling import (
    Answer,
    Doubtful,
    Move,
    settle_forward,
    settle_in_drain,
    settle_undo,
)

Table = Callable[[Doubtful], Move]

NOTHING: Final = Doubtful(
    running=False,
    ended=False,
    reader=False,
    answer="none",
    absence_counts=False,
    key_open=False,
    tombstones=False,
    attempts_left=True,
    waits=False,
    time_left=True,
)
"""A participant that promises nothing, right after the reply was lost."""

KEY = replace(NOTHING, key_open=True)
ASKED = replace(NOTHING, reader=True)
PRESENT = replace(ASKED, answer="present")
ABSENT = replace(ASKED, answer="absent", absence_counts=True)
ABSENT_SO_FAR = replace(ASKED, answer="absent")
SILENT = replace(ASKED, answer="unanswered", absence_counts=True)
TOMBSTONES = replace(NOTHING, tombstones=True)


@pytest.mark.parametrize(
    ("doubt", "move"),
    [
        pytest.param(NOTHING, "park", id="nothing can settle it: a person decides"),
        pytest.param(TOMBSTONES, "park", id="tombstones help only who undoes"),
        pytest.param(KEY, "resend", id="the participant knows the key: the same request again"),
        pytest.param(replace(KEY, waits=True), "resend", id="settle=wait concerns the drain only"),
        pytest.param(ASKED, "ask", id="the lookup is asked first"),
        pytest.param(replace(ASKED, key_open=True), "ask", id="the lookup is asked before anything is sent again"),
        pytest.param(PRESENT, "accept", id="found: that is the result"),
        pytest.param(replace(PRESENT, attempts_left=False, time_left=False), "accept", id="found counts at any time"),
        pytest.param(ABSENT, "resend", id="not found and cannot land any more: the same request"),
        pytest.param(ABSENT_SO_FAR, "ask_again", id="not found but may still land: asked again"),
        pytest.param(replace(ABSENT_SO_FAR, key_open=True), "resend", id="not found yet, but the key makes it safe"),
        pytest.param(SILENT, "ask_again", id="a lookup that does not answer is asked again"),
        pytest.param(replace(SILENT, key_open=True), "resend", id="a silent lookup does not hold up who knows the key"),
        pytest.param(replace(SILENT, time_left=False), "park", id="silent until the time is up: parked"),
        pytest.param(replace(KEY, time_left=False), "park", id="no answer until the time is up: parked"),
        pytest.param(replace(NOTHING, ended=True), "fail", id="it raised and nobody can tell: given up, then undone"),
        pytest.param(replace(KEY, ended=True), "resend", id="it raised: the policy's next attempt under the same key"),
        pytest.param(replace(ASKED, ended=True), "ask", id="it raised: the lookup knows"),
        pytest.param(replace(ABSENT, ended=True), "resend", id="it raised before anything happened: the same request"),
        pytest.param(replace(SILENT, ended=True), "ask_again", id="it raised, and the lookup does not answer yet"),
        pytest.param(replace(KEY, attempts_left=False), "fail", id="attempts are out: the drain settles it by key"),
        pytest.param(replace(SILENT, attempts_left=False), "fail", id="attempts are out: the drain asks on"),
        pytest.param(replace(TOMBSTONES, attempts_left=False), "park", id="attempts are out and nothing can settle it"),
        pytest.param(replace(KEY, ended=True, attempts_left=False), "fail", id="it raised each time: given up"),
        pytest.param(replace(KEY, running=True), "wait", id="an attempt that runs is waited for"),
        pytest.param(replace(KEY, running=True, time_left=False), "park", id="an attempt that runs on and on"),
    ],
)
def test_forward(doubt: Doubtful, move: Move) -> None:
    assert settle_forward(doubt) == move


@pytest.mark.parametrize(
    ("doubt", "move"),
    [
        pytest.param(NOTHING, "park", id="nothing can settle it: a person decides"),
        pytest.param(TOMBSTONES, "undo", id="the undo also kills a late request"),
        pytest.param(replace(ASKED, tombstones=True, key_open=True), "undo", id="tombstones come before everything"),
        pytest.param(replace(TOMBSTONES, time_left=False), "undo", id="the undo may be sent at any time"),
        pytest.param(PRESENT, "accept", id="found: it is undone"),
        pytest.param(replace(PRESENT, key_open=True), "accept", id="found comes before sending again"),
        pytest.param(KEY, "resend", id="the same request until the answer is definite, then undone"),
        pytest.param(replace(KEY, attempts_left=False), "resend", id="attempts do not count here, only time"),
        pytest.param(replace(KEY, waits=True), "park", id="settle=wait without a lookup: a person decides"),
        pytest.param(replace(ASKED, key_open=True), "ask", id="the lookup is asked before anything is sent again"),
        pytest.param(replace(ABSENT, key_open=True), "resend", id="a key comes before an absence"),
        pytest.param(replace(ABSENT, key_open=True, waits=True), "absent", id="settle=wait believes the lookup"),
        pytest.param(replace(ABSENT, key_open=True, ended=True), "absent", id="nothing runs, nothing there: absent"),
        pytest.param(replace(SILENT, key_open=True, waits=True), "ask_again", id="settle=wait asks on"),
        pytest.param(ABSENT, "absent", id="not found and cannot land any more: nothing to undo"),
        pytest.param(replace(ABSENT, time_left=False), "absent", id="what is known by now counts after the time, too"),
        pytest.param(ABSENT_SO_FAR, "ask_again", id="not found but may still land: asked again"),
        pytest.param(SILENT, "ask_again", id="a lookup that does not answer is asked again"),
        pytest.param(replace(SILENT, time_left=False), "park", id="silent until the time is up: parked"),
        pytest.param(replace(KEY, time_left=False), "park", id="no definite answer until the time is up: parked"),
        pytest.param(replace(NOTHING, ended=True), "ended", id="it raised and nobody can tell: its own undo first"),
        pytest.param(replace(KEY, ended=True), "ended", id="it raised: its undo needs no second request"),
        pytest.param(replace(NOTHING, ended=True, time_left=False), "ended", id="it raised, however long ago"),
        pytest.param(replace(SILENT, ended=True), "ask_again", id="it raised: who can look is asked on"),
        pytest.param(replace(TOMBSTONES, running=True, time_left=False), "wait", id="nothing while an attempt runs"),
    ],
)
def test_in_the_drain(doubt: Doubtful, move: Move) -> None:
    assert settle_in_drain(doubt) == move


@pytest.mark.parametrize(
    ("doubt", "move"),
    [
        pytest.param(NOTHING, "park", id="nothing can settle it: a person decides"),
        pytest.param(KEY, "resend", id="the participant knows the key: the same undo again"),
        pytest.param(ASKED, "ask", id="the read-back is asked first"),
        pytest.param(PRESENT, "accept", id="read back: it is undone"),
        pytest.param(replace(PRESENT, attempts_left=False, time_left=False), "accept", id="undone is undone"),
        pytest.param(ABSENT, "resend", id="not undone and cannot be any more: the same undo again"),
        pytest.param(ABSENT_SO_FAR, "ask_again", id="not undone so far: asked again"),
        pytest.param(SILENT, "ask_again", id="a read-back that does not answer is asked again"),
        pytest.param(replace(SILENT, key_open=True), "resend", id="a silent read-back does not hold up a known key"),
        pytest.param(replace(KEY, attempts_left=False), "park", id="attempts are out: a person decides"),
        pytest.param(replace(KEY, time_left=False), "park", id="the time is up: a person decides"),
        pytest.param(replace(KEY, ended=True), "resend", id="it raised: the same undo under the same key"),
        pytest.param(replace(NOTHING, ended=True), "park", id="it raised and nobody can tell: never sent twice"),
        pytest.param(replace(KEY, running=True), "wait", id="an attempt that runs is waited for"),
        pytest.param(replace(KEY, running=True, time_left=False), "park", id="an attempt that runs on and on"),
    ],
)
def test_of_an_undo(doubt: Doubtful, move: Move) -> None:
    assert settle_undo(doubt) == move


def every_doubt() -> Iterator[Doubtful]:
    """Every combination that can be: an attempt that runs has not ended, and only a reader answers."""
    flags = [name for name in Doubtful.__dataclass_fields__ if name != "answer"]
    for values in product((False, True), repeat=len(flags)):
        known = dict(zip(flags, values, strict=True))
        if known["running"] and known["ended"]:
            continue
        for answer in get_args(Answer) if known["reader"] else ("none",):
            yield Doubtful(answer=answer, **known)


EVERY: Final = tuple(every_doubt())
TABLES: Final = {"forward": settle_forward, "drain": settle_in_drain, "undo": settle_undo}
PARK_OR_MOVE: Final = frozenset({"accept", "absent", "resend", "undo", "ended", "fail", "ask", "ask_again"})


def believed(doubt: Doubtful) -> bool:
    return doubt.answer == "absent" and doubt.absence_counts


@pytest.mark.parametrize(
    ("move", "evidence"),
    [
        pytest.param("accept", lambda doubt: doubt.answer == "present", id="accepted only what a reader found"),
        pytest.param("absent", believed, id="absent only what a reader did not find when nothing could land any more"),
        pytest.param("resend", lambda doubt: doubt.key_open or believed(doubt), id="sent again only where it is safe"),
        pytest.param("undo", lambda doubt: doubt.tombstones, id="undone in doubt only where that kills late requests"),
        pytest.param("ended", lambda doubt: doubt.ended, id="undone unknown only when nothing can land any more"),
        pytest.param("ask", lambda doubt: doubt.reader and doubt.answer == "none", id="asked only who can answer"),
        pytest.param("ask_again", lambda doubt: doubt.reader and doubt.time_left, id="asked again only in time"),
        pytest.param("wait", lambda doubt: doubt.running, id="waited only for what runs"),
        pytest.param(
            "fail",
            lambda doubt: not doubt.running and (doubt.ended or doubt.key_open or doubt.reader),
            id="given up only what the drain can settle",
        ),
    ],
)
@pytest.mark.parametrize("table", TABLES)
def test_no_move_is_a_guess(table: str, move: Move, evidence: Callable[[Doubtful], bool]) -> None:
    assert [doubt for doubt in EVERY if TABLES[table](doubt) == move and not evidence(doubt)] == []


@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_decided_while_an_attempt_runs(table: str) -> None:
    moves = {TABLES[table](doubt) for doubt in EVERY if doubt.running}
    assert moves <= {"wait", "park"}


@pytest.mark.parametrize("table", TABLES)
def test_an_attempt_that_returned_is_not_waited_for(table: str) -> None:
    assert {TABLES[table](doubt) for doubt in EVERY if not doubt.running} <= PARK_OR_MOVE | {"park"}


def test_moves_belong_to_their_direction() -> None:
    moves = {name: {table(doubt) for doubt in EVERY} for name, table in TABLES.items()}
    assert moves == {
        "forward": {"wait", "ask", "ask_again", "accept", "resend", "fail", "park"},
        "drain": {"wait", "ask", "ask_again", "accept", "absent", "resend", "undo", "ended", "park"},
        "undo": {"wait", "ask", "ask_again", "accept", "resend", "park"},
    }


@pytest.mark.parametrize("table", TABLES)
def test_nobody_is_called_while_there_is_evidence_time_and_a_way(table: str) -> None:
    def has_a_way(doubt: Doubtful) -> bool:
        if doubt.answer == "present" or (doubt.reader and doubt.answer == "none"):
            return True
        way = doubt.reader or (doubt.key_open and not (table == "drain" and doubt.waits))
        return way and doubt.time_left and (doubt.attempts_left or table != "undo")

    called = [doubt for doubt in EVERY if not doubt.running and TABLES[table](doubt) == "park"]
    assert [doubt for doubt in called if has_a_way(doubt)] == []
