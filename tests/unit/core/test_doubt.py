"""Doubt, exhaustively (rule 8): every promise a participant can make, each way, and every fate of the lost request."""

from itertools import product
from typing import get_args

import pytest

from tests.unit.core.doubting import Doubt, Key, Lands, Phase, Settling

EVERY = [
    Doubt(*row)
    for row in product(get_args(Phase), (False, True), (False, True), get_args(Key), (False, True), get_args(Lands))
]


def ways_of(doubt: Doubt) -> list[str]:
    """Rule 8, word for word: what is done about the doubt, in order."""
    sent_again = doubt.key == "open" and not (doubt.phase == "drain" and doubt.waits)
    if doubt.phase == "drain" and doubt.tombstones:
        return ["tombstone"]
    if doubt.reader and doubt.lands == "at once":
        return ["present"]
    if sent_again:
        return ["again"]
    if doubt.reader and doubt.lands == "late":
        return ["present"]
    if doubt.reader:
        return ["absent"] if doubt.phase == "drain" else ["absent", "again"]
    return ["parked"]


@pytest.mark.parametrize("doubt", EVERY, ids=str)
def test_doubt_is_settled_by_what_the_participant_promises(doubt: Doubt) -> None:
    settling = Settling.of(doubt)
    settling.play()  # The invariants are checked on the way, at the end against the participant's own ledger.
    assert settling.ways == ways_of(doubt)
    ends = {"forward": "completed", "drain": "compensated", "undo": "compensated"}
    assert settling.run.status == ("parked" if "parked" in settling.ways else ends[doubt.phase])
    keys = {(request.direction, request.key) for _, request in settling.world.requests}
    assert len(keys) == len({direction for direction, _ in keys}), "what is sent again keeps its key"
