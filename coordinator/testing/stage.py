"""One scenario on stage: the real engine, decide, store and dispatch, with one fault at one moment."""

from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast

import msgspec

from amends.compensations.faults import BUS_FAULTS, DEATHS, NOT_MADE, BusFault, Fault
from amends.compensations.scenarios import TOMBSTONED_MS, Call
from amends.compensations.worlds import World as Snapshot
from amends.compensations.worlds import differences
from amends.coordinator.attempt import Attempt, attempting
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.ports.rows import Batch, InboxRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime import answers
from amends.coordinator.runtime.batching import OpenBatch, Writer
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.work import Work
from amends.coordinator.testing.caller import Caller
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.facts import carrying
from amends.coordinator.testing.post import TRANSIT, Letter, Post, Sender
from amends.coordinator.testing.script import Script
from amends.coordinator.testing.world import Appending, World
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, Instant

ACTOR: Final = "rehearsal"
NO: Final = False


class CoordinatorDied(BaseException):
    """The coordinator dies here. No handler may catch it."""


class HandlerBroke(Exception):
    """The exception of a rehearsal, which says nothing about the effect."""


class RehearsedAttempt(Attempt, frozen=True, kw_only=True):
    """Counts the requests that act, and breaks after one of them where the scenario says so."""

    acting: list[bool] = msgspec.field(default_factory=list)
    fault: Fault | None = None
    refused: list[str] = msgspec.field(default_factory=list)
    """Connectors without a stand-in that were asked."""

    def before_send(self, *, tool: str, action: str, resource: str, acts: bool) -> None:
        if self.places is not None and tool not in self.places:
            self.refused.append(tool)
        super().before_send(tool=tool, action=action, resource=resource, acts=acts)
        if len(self.acting) == len(self.notes):  # A connector may ask again directly before the same request.
            self.acting.append(acts)

    def record(self, **evidence: Any) -> None:  # noqa: ANN401  what the attempt takes
        super().record(**evidence)
        if self.fault is None or not self.fault.request or self.requests != self.fault.request:
            return
        if self.fault.kind == "died_between":
            raise CoordinatorDied
        raise HandlerBroke("between two of its requests")

    @property
    def requests(self) -> int:
        """Those to act that have come back."""
        return sum(self.acting[: len(self.notes)])


@dataclass(slots=True)
class Faults:
    """The faults of one scenario, as long as they last."""

    active: list[Fault]
    counts: Counter[str] = field(default_factory=Counter)

    def next_call(self, handler: str) -> tuple[int, Fault | None]:
        """The number of this call, and what happens to it, not to what it sends."""
        self.counts[handler] += 1
        nth = self.counts[handler]
        return nth, next((each for each in self._hitting(handler, nth) if each.kind not in BUS_FAULTS), None)

    def on_the_bus(self, handler: str, nth: int) -> BusFault | None:
        """What happens to the command that this call sends."""
        kinds = (each.kind for each in self._hitting(handler, nth) if each.kind in BUS_FAULTS)
        return cast("BusFault | None", next(kinds, None))

    def _hitting(self, handler: str, nth: int) -> Iterator[Fault]:
        return (fault for fault in self.active if fault.hits(handler, nth))

    def die(self, kind: str, versions: Iterable[int]) -> None:
        """Raise `CoordinatorDied` where it is due."""
        due = [fault for fault in self.active if fault.kind == kind and fault.version in versions]
        if due:
            self.active.remove(due[0])
            raise CoordinatorDied

    def over(self) -> None:
        """From here on nothing fails."""
        self.active.clear()


@dataclass(slots=True)
class Hands(Script):
    """Calls the user's own handlers, or what the scenario puts in their place."""

    faults: Faults = field(default_factory=lambda: Faults([]))
    caller: Caller | None = None
    look: Callable[[], Snapshot] = dict
    turn_back: Callable[[SagaId], None] = lambda _: None
    results: dict[tuple[str, str], object] = field(default_factory=dict)
    """What steps returned in the course without faults, by path and handler: what a lying one says."""
    made: list[Call] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    """Connectors without a stand-in that were asked."""
    late_ms: Mapping[str, int] = field(default_factory=dict)
    """By handler: how late a request of it may act."""
    on_its_way: tuple[Instant, Work] | None = None
    """A request that acts late, and when."""

    def __post_init__(self) -> None:
        if self.post is not None:
            self.post.carry = self._carried

    def next_due(self) -> Instant | None:
        late = self.on_its_way[0] if self.on_its_way is not None else None
        carried = self.post.next_due() if self.post is not None else None
        return min((due for due in (late, carried) if due is not None), default=None)

    def come_up(self) -> None:
        """Let what is late act; nobody hears its reply. And let what is on the bus arrive."""
        if self.post is not None:
            self.post.come_up()
        if self.on_its_way is None or self.on_its_way[0] > self.clock.now:
            return
        assert self.caller is not None, "a rehearsal has a caller"
        (_, work), self.on_its_way = self.on_its_way, None
        before = self.look()
        call = self._note(work, 0, made=True)
        self._sends(work, 0)
        with suppress(Exception):  # Whatever it raises, its worker has stopped listening.
            self.caller.call(f"the handler {work.handler.name!r}", lambda: self._called(work))
        changed = tuple(each.path for each in differences(before, self.look()))
        self.made[-1] = msgspec.structs.replace(call, changed=changed)

    def forget(self) -> None:
        """The process died; what is on its way goes on."""
        self.arrived.clear()

    def submit(self, works: list[Work]) -> None:
        for work in works:
            self.calls.append((work.handler.name, work.saga_id))
            work.begun = True
            self.arrived.append(self._play(work))

    def content(self, answer: Callable[[str, str], object], message_type: str, key: str) -> object:
        """What a participant answers by a message, asked of the sandbox."""
        assert self.caller is not None, "a rehearsal has a caller"
        return self.caller.call("the sandbox's answer", lambda: answer(message_type, key))

    def _play(self, work: Work) -> Item:
        nth, fault = self.faults.next_call(work.handler.name)
        kind = fault.kind if fault is not None else None
        if fault is not None and kind in NOT_MADE | {"denied", "unread"}:
            self._note(work, nth, made=False)
            if kind in DEATHS:
                self._die(fault)
            if kind == "lands_late" and nth == fault.nth:
                self._put_on_its_way(work)
            return self._instead(work, fault.kind)
        item = self._performed(work, nth, fault)
        if fault is not None and kind == "died_after":
            self._die(fault)
        if kind == "turned_back":
            self.turn_back(work.saga_id)
        if kind in {"lost_after", "lost_after_always"}:
            return answers.raised(work, StepUnknown("the reply was lost"))
        if kind == "raises_after":
            return answers.raised(work, HandlerBroke("after it acted"))
        return item

    def _instead(self, work: Work, kind: str) -> Item:
        match kind:
            case "refused":
                return answers.raised(work, StepRefused("refused by the rehearsal"))
            case "unavailable" | "unavailable_once":
                return answers.raised(work, StepUnavailable("not reached, by the rehearsal"))
            case "lost_before" | "lost_before_always" | "lands_late":
                return answers.raised(work, StepUnknown("the request was lost"))
            case "claimed":
                if self.post is not None:
                    self.post.come_up(within=TRANSIT)  # A participant says so behind what was sent to it before.
                return answers.returned(work, self.results.get((work.identity.path, work.handler.name)))
            case "denied":
                return answers.returned(work, NO)
            case _:
                return answers.raised(work, HandlerBroke("before it acted"))

    def _put_on_its_way(self, work: Work) -> None:
        """It was sent in time, and so is taken for in time by whoever it reaches."""
        sent_at = self.clock.now
        own = {name: getattr(work.attempt, name) for name in Attempt.__struct_fields__}
        work.attempt = Attempt(**{**own, "places": self.places, "clock": lambda: sent_at})
        self.on_its_way = (sent_at + self.late_ms[work.handler.name] * MILLISECOND, work)

    def _die(self, fault: Fault) -> NoReturn:
        if fault in self.faults.active:
            self.faults.active.remove(fault)
        raise CoordinatorDied

    def _note(self, work: Work, nth: int, *, made: bool) -> Call:
        identity = work.identity
        call = Call(
            handler=work.handler.name,
            path=identity.path,
            direction=identity.direction,
            role=identity.role,
            nth=nth,
            made=made,
        )
        self.made.append(call)
        return call

    def _performed(self, work: Work, nth: int, fault: Fault | None) -> Item:
        """Call the user's function, and see what it changes."""
        assert self.caller is not None, "a rehearsal has a caller"
        attempt = _rehearsed(work.attempt, self.places, fault)
        work.attempt = attempt
        acts = work.identity.role in {"step", "undo"} and attempt.may_act
        before = self.look() if acts else {}
        call = self._note(work, nth, made=True)
        self._sends(work, nth)
        item: Item | None = None
        returned = False
        try:
            result = self.caller.call(f"the handler {work.handler.name!r}", lambda: self._called(work))
        except CoordinatorDied:
            pass  # noted below, then raised again
        except Exception as error:  # noqa: BLE001  whatever a handler raises is its reply
            item = answers.raised(work, error)
        else:
            if work.identity.direction == "forward":
                self.results.setdefault((work.identity.path, work.handler.name), result)
            item, returned = answers.returned(work, result), True
        changed = tuple(each.path for each in differences(before, self.look())) if acts else ()
        found = msgspec.structs.replace(call, returned=returned, requests=attempt.requests, changed=changed)
        self.made[-1] = self._posted(found)
        self.strangers.extend(attempt.refused)
        if item is None:
            assert fault is not None, "an attempt dies of its scenario's fault"
            self._die(fault)
        return item

    def _sends(self, work: Work, nth: int) -> None:
        """A handler is called now: who sends, and what befalls what it sends."""
        if self.post is None:
            return
        late_ms = self.late_ms.get(work.handler.name, TOMBSTONED_MS)
        fault = self.faults.on_the_bus(work.handler.name, nth)
        held_ms = late_ms if fault == "command_late" and late_ms < TOMBSTONED_MS else None
        self.post.sender = Sender(call=len(self.made) - 1, fault=fault, held_ms=held_ms)

    def _posted(self, call: Call) -> Call:
        """What a call has put on the bus; one whose command never arrives does nothing."""
        number = len(self.made) - 1
        if self.post is None or number not in self.post.sent:
            return call
        sent = self.post.sent[number]
        functions = ((whom.name, command, whom.carries_out(command)) for whom, command in sent)
        found = [carrying(name, command, function) for name, command, function in functions if function is not None]
        return msgspec.structs.replace(
            call,
            commands=len(sent),
            made=call.made and number not in self.post.lost,
            carried=tuple(words for words, _ in found),
            may_refuse=any(refuses for _, refuses in found),
        )

    def _carried(self, letter: Letter, take: Callable[[], Sequence[Outgoing]]) -> Sequence[Outgoing]:
        """A participant carries out a command: what it changes, the call changed that sent the command."""
        assert self.caller is not None, "a rehearsal has a caller"
        before = self.look()
        name = letter.to.name if letter.to is not None else ""
        replies = self.caller.call(f"the participant {name!r}", take)
        call = self.made[letter.sender.call]
        changed = (each.path for each in differences(before, self.look()))
        merged = tuple(dict.fromkeys((*call.changed, *changed)))
        self.made[letter.sender.call] = msgspec.structs.replace(call, changed=merged)
        return replies

    def _called(self, work: Work) -> object:
        assert self.caller is not None, "a rehearsal has a caller"
        with attempting(work.attempt):
            result = work.handler.function(**work.arguments())
            if work.handler.is_async:
                return self.caller.awaited(_awaited(result))
        return cast("object", result)


@dataclass(slots=True)
class _DyingAppend(Appending):
    """Appends, unless the coordinator dies at this entry."""

    faults: Faults = field(default_factory=lambda: Faults([]))

    def write(self, batch: OpenBatch, rows: Batch, *, at_once: bool) -> None:
        versions = [entry.version for append in rows.appends for entry in append.entries]
        self.faults.die("died_unappended", versions)
        Appending.write(self, batch, rows, at_once=at_once)  # `super()` does not know a class with slots
        self.faults.die("died_appended", versions)


class Stage(World):
    """A world in which a run is broken once, and goes on."""

    def __init__(self, store: Store, saga: ClosedSaga, *, clock: Clock, hands: Hands) -> None:
        self._hands = hands
        hands.turn_back = self._turn_back
        super().__init__(store, saga, clock=clock, script=hands)

    def _writer(self) -> Writer:
        return _DyingAppend(self.store, self._arrived, self._hands.faults)

    def _turn_back(self, saga_id: SagaId) -> None:
        self.wish(wishes.Cancel(actor=ACTOR, saga_id=saga_id, reason="rehearsed"))

    def wish(self, wish: wishes.Cancel | wishes.Resolve) -> None:
        """What a person wants of the run."""
        row = self.store.run(wish.saga_id)
        assert row is not None, "wishes are about a run that is there"
        message_id = f"{ACTOR}-{row.version}-{type(wish).__name__}"
        self.store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
        self.take_inbox()


def hands_of(
    clock: Clock,
    faults: tuple[Fault, ...],
    *,
    caller: Caller,
    places: Mapping[str, str | None],
    post: Post | None,
    look: Callable[[], Snapshot],
    late_ms: Mapping[str, int],
) -> Hands:
    """Hands for one scenario."""
    return Hands(
        clock,
        defaultdict(deque),
        faults=Faults([fault for fault in faults if fault.kind != "unanswered"]),
        caller=caller,
        places=places,
        post=post,
        look=look,
        late_ms=late_ms,
    )


def _rehearsed(attempt: Attempt, places: Mapping[str, str | None] | None, fault: Fault | None) -> RehearsedAttempt:
    own = {name: getattr(attempt, name) for name in Attempt.__struct_fields__}
    return RehearsedAttempt(**{**own, "places": places}, fault=fault)


async def _awaited(result: Awaitable[object]) -> object:
    return await result
