"""Handlers of a simulated worker: what each sends to its participant, when, and what it answers, if anybody listens.

Some are coroutines, which end when they are told to; some are threads, which do not. The worker's death ends both.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.pending import Pending
from amends.coordinator.runtime import answers
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.work import Work
from amends.schemas.entry import EXTERNAL_BYTES
from amends.schemas.instants import MILLISECOND, Instant
from tests.simulation.simulation import Faults
from tests.simulation.workers.judge import Judged
from tests.simulation.world import Request, Verdict

if TYPE_CHECKING:
    from tests.simulation.workers.process import Process


@dataclass(slots=True, kw_only=True)
class Call:
    """A handler at work."""

    work: Work
    thread: bool
    over: bool = False
    """It has answered, or was cancelled: nothing more comes of it."""
    verdict: Verdict | None = None


class Calls:
    """Implements `Hands`."""

    def __init__(self, process: "Process", faults: Faults) -> None:
        self._process = process
        self._random = process.random
        self._faults = faults
        self._calls: dict[int, Call] = {}
        """By the identity of their work, which they keep from being another's."""

    def submit(self, works: list[Work]) -> None:
        for work in works:
            self._process.judge.begins(work)
            call = self._calls[id(work)] = Call(work=work, thread=self._percent(60))
            self._process.after(self._random.randrange(2_000), lambda call=call: self._begin(call))  # type: ignore[misc]

    def stop(self, work: Work) -> bool:
        call = self._calls.get(id(work))
        if call is None:
            return True  # Its time was up before it was handed over: it is withdrawn.
        if call.thread:
            return not work.begun
        if work.begun and not call.over:
            call.over = True
            self._process.after(self._random.randrange(2_000), lambda: self._put(call, asyncio.CancelledError()))
        return True

    behind = False

    def look_after(self) -> None:
        """Nothing here blocks."""

    def _begin(self, call: Call) -> None:
        work = call.work
        if work.told_to_stop():
            call.over = True
            self._process.put(answers.withdrawn(work))
            return
        work.begun = True
        if work.attempt.may_act and self._process.killed_by(work.saga_id):
            return
        if work.identity.role in {"verify", "lookup"}:
            asked_ms = self._random.randrange(1, 1_300 if self._percent(self._faults.slow) else 300)
            self._at(call, asked_ms, lambda: self._answer(call))
        elif work.attempt.may_act:
            self._act(call)
        else:
            self._read(call)

    def _act(self, call: Call) -> None:
        took_ms = self._random.randrange(1, 20_000 if self._percent(self._faults.slow) else 800)
        sent_ms = took_ms if self._percent(30) else self._random.randrange(took_ms + 1)
        kind, faults = self._random.randrange(100), self._faults
        if call.work.pending_ms is not None and self._percent(60):
            self._at(call, took_ms, lambda: self._pend(call))
        elif kind < faults.unavailable:
            self._at(call, took_ms, lambda: self._end(call, StepUnavailable("")))
        elif kind < faults.unavailable + faults.raises:
            if self._percent(50):
                self._at(call, sent_ms, lambda: self._send(call))
            self._at(call, took_ms, lambda: self._end(call, ValueError()))
        elif kind < faults.unavailable + faults.raises + faults.no_reply:
            self._at(call, sent_ms, lambda: self._send(call, late=True))
            self._at(call, took_ms, lambda: self._end(call, StepUnknown("")))
        else:
            self._at(call, sent_ms, lambda: self._send(call))
            self._at(call, took_ms, lambda: self._reply_of_participant(call))

    def _read(self, call: Call) -> None:
        if self._percent(self._faults.unavailable):
            error: Exception | None = StepUnavailable("")
        else:
            error = ValueError() if self._percent(self._faults.raises) else None
        took_ms = self._random.randrange(1, 900)
        plan = self._process.judge.plan
        value: object = self._percent(70) if plan.steps[call.work.identity.path].kind == "expect" else "read"
        self._at(call, took_ms, lambda: self._end(call, error) if error is not None else self._return(call, value))

    def _send(self, call: Call, *, late: bool = False) -> None:
        """What a connector does: look at the lease and the time, then send."""
        work = call.work
        if not self._may_send(call):
            return
        judged, request = self._judged(work), self._request(work)
        verdict = self._verdict()
        if not late:
            call.verdict = judged.world.deliver(request, self._process.now, verdict=verdict)
        elif self._percent(70):

            def land() -> None:
                judged.world.deliver(request, self._process.now, verdict=verdict)

            self._process.outside(self._lands_at(judged, request), land)

    def _may_send(self, call: Call) -> bool:
        work = call.work
        try:
            work.attempt.before_send(tool="test", action="act", resource=work.identity.path, acts=True)
        except StepUnavailable as error:
            if error.kind == "withdrawn":
                self._process.fired["a handler outlived its lease"] += 1
            self._end(call, error)
            return False
        self._process.judge.sends(work)
        return True

    def _pend(self, call: Call) -> None:
        """The participant takes the request, acts when it likes, and answers by a message, or never."""
        if not self._may_send(call):
            return
        work, process = call.work, self._process
        judged, request = self._judged(work), self._request(work)
        assert work.pending_ms is not None, "it may be pending"
        promised = judged.world.certainty(request.path, request.direction)
        knows = promised.deduplicates and promised.window_ms is None
        key = request.key if knows else f"{request.key}:{request.attempt}"
        given: Verdict = "unavailable" if self._percent(10) else self._verdict()
        answers = not self._percent(15)
        answers_us = self._random.randrange(1, 2 * work.pending_ms) * MILLISECOND

        def land() -> None:
            verdict = judged.world.deliver(request, process.now, verdict=given)
            if answers:
                process.outside(process.now + answers_us, lambda: process.answer(key, verdict, request.path))

        process.outside(self._lands_at(judged, request), land)
        process.fired["something was pending"] += 1
        self._return(call, Pending(correlation=key))

    def _verdict(self) -> Verdict:
        return "refused" if self._percent(self._faults.refused) else "done"

    def _lands_at(self, judged: Judged, request: Request) -> Instant:
        late_ms = self._random.randrange(judged.world.late_ms(request.path, request.direction) + 1)
        at = self._process.now + late_ms * MILLISECOND
        return judged.world.lands_at(request, at, key_used_at=judged.key_used_at.get(request.key))

    def _request(self, work: Work) -> Request:
        path, direction, _, number = work.identity
        attempt = work.attempt
        undoes = attempt.undoing.idempotency_key if attempt.undoing is not None else attempt.idempotency_key
        return Request(path, direction, number, attempt.idempotency_key, undoes)

    def _reply_of_participant(self, call: Call) -> None:
        if call.verdict == "refused":
            self._end(call, StepRefused(""))
        elif call.verdict == "unavailable":
            self._end(call, StepUnavailable(""))
        else:
            large = self._percent(self._process.large)  # Then it stands beside its entry.
            self._return(call, call.work.identity.path * (EXTERNAL_BYTES if large else 1))

    def _answer(self, call: Call) -> None:
        """A read-back or lookup looks at the world."""
        work = call.work
        path, direction, role, _ = work.identity
        if self._percent(self._faults.silent_reader):
            self._end(call, StepUnavailable("down"))
            return
        stands = self._judged(work).world.stands(path, self._request(work).undoes)
        yes = (stands if direction == "forward" else not stands) and not self._lags(work)
        self._return(call, yes if role == "verify" else "found" if yes else None)

    def _lags(self, work: Work) -> bool:
        """A read-back may be late, but not for longer than the definition allows it to be."""
        path, direction, role, _ = work.identity
        world = self._judged(work).world
        reader = world.plan.readback(path, direction) or world.plan.delayed(path, direction)
        if role != "verify" or reader is None:
            return False
        for_us = self._process.now - world.changed_at.get(path, 0)
        return for_us < reader.within_ms * MILLISECOND and self._percent(self._faults.lagging_reader)

    def _judged(self, work: Work) -> Judged:
        return self._process.judge.runs[work.saga_id]

    def _return(self, call: Call, value: object) -> None:
        call.over = True
        self._deliver(call, answers.returned(call.work, value))

    def _end(self, call: Call, error: BaseException) -> None:
        call.over = True
        self._put(call, error)

    def _put(self, call: Call, error: BaseException) -> None:
        self._deliver(call, answers.raised(call.work, error))

    def _deliver(self, call: Call, item: Item) -> None:
        self._process.put(item)

    def _at(self, call: Call, ms: int, happening: Callable[[], None]) -> None:
        def unless_over() -> None:
            if not call.over:
                happening()

        self._process.after(ms * MILLISECOND, unless_over)

    def _percent(self, chance: int) -> bool:
        return self._random.randrange(100) < chance
