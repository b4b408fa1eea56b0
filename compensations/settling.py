"""Settling doubt (rule 8): what may be done about an effect whose reply was lost, as one table of facts to moves.

Nothing here guesses. Each move rests on what the participant promises (tombstones, deduplication by key, a lookup, the
longest time a sent request may still land) and on what has been seen. Sources: Garcia-Molina and Salem, Sagas, SIGMOD
1987; the practice notes of TCC systems on empty compensation, suspension and idempotence.
"""

from dataclasses import dataclass
from typing import Literal

Answer = Literal["none", "present", "absent", "unanswered"]
"""What the lookup (for an undo: its read-back) last said. `unanswered`: it was asked and failed."""

Move = Literal["wait", "ask", "ask_again", "accept", "absent", "resend", "undo", "ended", "fail", "park"]
"""What happens next.

`wait`: for the attempt to return. `ask`: the lookup now. `ask_again`: later, when its `absent` can be believed.
`accept`: the effect stands. `absent`: it does not and cannot any more. `resend`: the same request under the same key.
`undo`: send the undo, which also kills a late request. `ended`: undo without knowing what there is to undo.
`fail`: give the step up, which starts the drain. `park`: a person decides.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """Everything that counts about one effect in doubt, at one instant."""

    running: bool
    """The attempt's coroutine or thread has not returned."""
    ended: bool
    """The attempt has returned by itself, so nothing of it can land late; what it did is not known."""
    reader: bool
    """There is a lookup (for an undo: a read-back) to ask."""
    answer: Answer
    absence_counts: bool
    """The reader was asked when nothing could land any more, nor lag behind, so its `absent` can be believed."""
    key_open: bool
    """The participant deduplicates by our key and still remembers it."""
    tombstones: bool
    """It refuses a request whose undo came first, and the undo can be sent without knowing what there is to undo."""
    attempts_left: bool
    waits: bool
    """The definition prefers waiting to sending again (`settle="wait"`); so does a pivot with a lookup."""
    time_left: bool
    """`settle_within` has not passed."""


def settle_forward(doubt: Doubtful) -> Move:
    """A step in doubt while the run goes forward."""
    if doubt.running:
        return "wait" if doubt.time_left else "park"
    if doubt.answer == "present":
        return "accept"
    if doubt.reader and doubt.answer == "none":
        return "ask"
    if doubt.ended and not doubt.reader and not doubt.key_open:
        return "fail"
    if not doubt.attempts_left:
        return _given_up(doubt)
    if not doubt.time_left:
        return "park"
    if doubt.key_open or _absent(doubt):
        return "resend"
    if doubt.reader:
        return "ask_again"
    return "park"


def settle_in_drain(doubt: Doubtful) -> Move:
    """A step in doubt that is to be undone; nothing is undone before this ends."""
    if doubt.running:
        return "wait"
    if doubt.tombstones:
        return "undo"
    if doubt.answer == "present":
        return "accept"
    if doubt.reader and doubt.answer == "none":
        return "ask"
    if _absent(doubt) and (doubt.ended or doubt.waits or not doubt.key_open):
        return "absent"
    if doubt.ended and not doubt.reader:
        return "ended"
    if not doubt.time_left:
        return "park"
    if doubt.key_open and not doubt.waits:
        return "resend"
    if doubt.reader:
        return "ask_again"
    return "park"


def settle_undo(doubt: Doubtful) -> Move:
    """An undo in doubt. Its read-back is the reader: `present` means that the step is undone."""
    if doubt.running:
        return "wait" if doubt.time_left else "park"
    if doubt.answer == "present":
        return "accept"
    if doubt.reader and doubt.answer == "none":
        return "ask"
    if not doubt.time_left or not doubt.attempts_left:
        return "park"
    if doubt.key_open or _absent(doubt):
        return "resend"
    if doubt.reader:
        return "ask_again"
    return "park"


def _absent(doubt: Doubtful) -> bool:
    """Whether it did not happen and cannot any more: a `no` is believed only when nothing sent could still land."""
    return doubt.answer == "absent" and doubt.absence_counts


def _given_up(doubt: Doubtful) -> Move:
    """No attempt is left. With nothing that could ever settle the doubt, a person decides before anything is undone."""
    return "fail" if doubt.ended or doubt.key_open or doubt.reader else "park"
