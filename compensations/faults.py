"""What a rehearsal does to a run: one fault at one moment, in data and in words."""

from typing import Final, Literal, get_args

import msgspec

BusFault = Literal[
    "command_lost",
    "command_late",
    "command_repeated",
    "reply_lost",
    "reply_late",
    "reply_repeated",
    "answered_refused",
    "answered_unavailable",
]
"""What befalls a command that the bus has taken, or its reply."""
FaultKind = Literal[
    "refused",  # definite, no effect
    "unavailable",  # definite, no effect, in every attempt
    "unavailable_once",
    "lost_before",  # the request never arrived, and nobody knows
    "lost_after",  # it acted, and the reply is lost
    "lost_before_always",
    "lost_after_always",
    "lands_late",  # every request is lost; the first one acts when nobody counts on it any more
    "raises_before",  # an exception that says nothing, before it acts, in every attempt
    "raises_between",  # … between two of its requests, in every attempt
    "raises_after",  # … after it acted
    "claimed",  # it says that it is done, and did nothing
    "denied",  # a read-back says no, once
    "unread",  # a read-back fails, each time
    "unanswered",  # no message comes
    "command_lost",  # the bus takes a command, and it never arrives
    "command_late",  # every command arrives when nobody counts on it any more
    "command_repeated",  # it arrives twice, and once more at the end
    "reply_lost",  # the participant's reply never arrives
    "reply_late",  # every reply arrives when nobody counts on it any more
    "reply_repeated",  # it arrives twice, and once more at the end
    "answered_refused",  # the participant refuses, by its reply
    "answered_unavailable",  # … and by that of every attempt: not now
    "turned_back",  # a person cancels while it acts
    "died_before",  # the coordinator dies before it acts
    "died_between",  # … between two of its requests
    "died_after",  # … after it acted, before its reply is in the log
    "died_unappended",  # … before an entry is appended
    "died_appended",  # … right after
]

NOT_MADE: Final = frozenset(
    {
        "refused",
        "unavailable",
        "unavailable_once",
        "lost_before",
        "lost_before_always",
        "lands_late",
        "raises_before",
        "claimed",
        "died_before",
    }
)
"""Instead of the handler's call."""
ALWAYS: Final = frozenset(
    {
        "unavailable",
        "lost_before_always",
        "lands_late",
        "lost_after_always",
        "raises_before",
        "raises_between",
        "raises_after",
        "unread",
        "command_late",
        "reply_late",
        "answered_unavailable",
    }
)
"""In this call and all that follow it."""
DOUBTFUL: Final = frozenset(
    {
        "lost_before",
        "lost_after",
        "died_before",
        "died_between",
        "died_after",
        "claimed",
        "command_lost",
        "reply_lost",
    }
)
"""After one of them it is not known what was done, once."""
BUS_FAULTS: Final = frozenset(get_args(BusFault))
DEATHS: Final = frozenset({"died_before", "died_between", "died_after", "died_unappended", "died_appended"})


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong. A call is found by its handler and its number among that handler's calls."""

    kind: FaultKind
    handler: str = ""
    nth: int = 1
    path: str = ""
    direction: Literal["forward", "undo"] = "forward"
    request: int = 0
    """Of `died_between` and `raises_between`: after which of the handler's requests."""
    version: int = 0
    """Of `died_unappended` and `died_appended`: which entry."""

    def hits(self, handler: str, nth: int) -> bool:
        """Whether it happens to this call."""
        if self.handler != handler:
            return False
        return nth >= self.nth if self.kind in ALWAYS else nth == self.nth


_SAID: Final[dict[str, str]] = {
    "refused": "{name} refuses",
    "unavailable": "{name} is unavailable in every attempt",
    "unavailable_once": "{name} is unavailable at first",
    "lost_before": "the request of {name} is lost before it acts",
    "lost_after": "the reply of {name} is lost after it acted",
    "lost_before_always": "every request of {name} is lost before it acts",
    "lost_after_always": "every reply of {name} is lost after it acted",
    "lands_late": "every request of {name} is lost, and the first one acts as late as its participant allows",
    "raises_before": "{name} raises an exception before it acts, in every attempt",
    "raises_between": "{name} raises an exception after its request {request}, in every attempt",
    "raises_after": "{name} raises an exception after it acted, in every attempt",
    "claimed": "{name} says that it is done and did nothing",
    "denied": "{name} says no at first",
    "unread": "{name} fails each time",
    "unanswered": "{name} waits in vain",
    "command_lost": "the command of {name} is lost on its way",
    "command_late": "every command of {name} arrives late, when nobody counts on it any more",
    "command_repeated": "the command of {name} arrives again, at once and at the end",
    "reply_lost": "the reply to the command of {name} is lost on its way",
    "reply_late": "every reply to the command of {name} arrives late, when nobody counts on it any more",
    "reply_repeated": "the reply to the command of {name} arrives again, at once and at the end",
    "answered_refused": "the participant refuses the command of {name}",
    "answered_unavailable": "the participant answers every command of {name} that it is unavailable",
    "turned_back": "the run is cancelled while {name} acts",
    "died_before": "the coordinator dies before {name} acts",
    "died_between": "the coordinator dies after request {request} of {name}",
    "died_after": "the coordinator dies after {name} acted",
    "died_unappended": "the coordinator dies before entry {version} is appended",
    "died_appended": "the coordinator dies right after entry {version} is appended",
}


def said(fault: Fault) -> str:
    """The fault as the half of a sentence: "when …"."""
    number = f" (call {fault.nth})" if fault.nth > 1 else ""
    name = f"{fault.handler or fault.path}{number}"
    return _SAID[fault.kind].format(name=name, request=fault.request, version=fault.version)


def all_said(faults: tuple[Fault, ...]) -> str:
    """Several of them: "when …, and …"."""
    return ", and ".join(said(fault) for fault in faults) or "nothing fails"
