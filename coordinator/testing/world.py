"""A world for tests: the real core, engine and memory store under a virtual clock, with scripted or real handlers.

Nothing here waits: time jumps to the next instant at which something is due.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from weakref import finalize

from pydantic import BaseModel

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.compatibility import handler_names
from amends.coordinator.definition.durations import Duration, milliseconds
from amends.coordinator.definition.saga import Saga
from amends.coordinator.errors import Fenced, KeyErased, RunExists
from amends.coordinator.ports.rows import Batch, LocalRecord, MessageRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.batching import OpenBatch, Writer
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.engine import Engine, EngineSettings
from amends.coordinator.runtime.inbound import AppendFailed, Arrived, Committed, Gained, Inbound, Item, Waiting
from amends.coordinator.runtime.message_intake import MessageIntake
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.post import post_of
from amends.coordinator.testing.replies import Reply, fails
from amends.coordinator.testing.script import Script, replies_of
from amends.coordinator.testing.stand_in import StandIn
from amends.schemas.decoding import Writers
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from amends.schemas.message import MESSAGES, Answer
from amends.schemas.record import Record

TURNS_MAX = 100_000
LEASE_MS = 10_000
MESSAGES_KEPT_MS: Final = 604_800_000
_WRITERS: Final = Writers(ours=(MESSAGES.avro,))


@dataclass(slots=True)
class Appending:
    """Appends at once, on the caller's thread."""

    store: Store
    arrived: list[Inbound]

    def write(self, batch: OpenBatch, rows: Batch, *, at_once: bool) -> None:
        del at_once
        try:
            self.store.append(rows)
        except (Fenced, KeyErased, RunExists) as error:
            self.arrived.append(AppendFailed(batch=batch, error=error))
        else:
            self.arrived.append(Committed(batch=batch))


class World:
    """One installation: a store, a clock, a worker that can crash.

    `replies` maps handler names (`charge`, `charge.undo`, `charge.verify`) to one reply or several in order.
    """

    def __init__(
        self,
        store: Store,
        *sagas: Saga[Any] | ClosedSaga,
        clock: Clock,
        replies: Mapping[str, Reply | Iterable[Reply]] | None = None,
        namespace: str = "test",
        script: Script | None = None,
        stand_ins: Iterable[StandIn] = (),
    ) -> None:
        self.store = store
        self.clock = clock
        self.sagas = tuple(saga if isinstance(saga, ClosedSaga) else saga.close() for saga in sagas)
        self.script = script or Script(clock, defaultdict(deque))
        self.stand_ins = tuple(stand_ins)
        self._ending = finalize(self, _end, self.stand_ins)
        self._lead_to_stand_ins()
        self.script.replies = {name: replies_of(name, given) for name, given in (replies or {}).items()}
        self._waits = any(
            step.wait is not None or step.may_pend or step.delays
            for saga in self.sagas
            for step in saga.form.every_step()
        )
        self._refuse_unknown(self.script.replies)
        self._namespace = namespace
        self._offset = 0
        self._arrived: list[Inbound] = []
        self._granted: set[str] = set()
        if self.script.post is not None:
            self.script.post.deliver = self._delivered
        catalogue = Catalogue(sagas=self.sagas, stored=store.definition)
        for row in catalogue.rows(clock.now):
            store.put_definition(row)
        self.engine = self._worker()

    def publish(self, trigger: BaseModel | Mapping[str, object], *, topic: str | None = None) -> None:
        """A trigger onto the bus of this world; the topic of the first saga unless one is named."""
        value = trigger.model_dump_json() if isinstance(trigger, BaseModel) else json.dumps(trigger)
        name = topic or self.sagas[0].form.trigger.topic
        self.store.publish([LocalRecord(topic=name, key=None, value=value.encode(), headers=(), at=self.clock.now)])
        record = Record(topic=name, partition=0, offset=self._offset, value=value.encode())
        self._offset += 1
        self._arrived.append(Arrived(records=[record]))

    def fail(self, handler: str, *replies: Reply) -> None:
        """Let a handler (`charge`, `charge.undo`) fail: the next calls are answered so, each once; by default refused.

        What comes after them is what it would have been: the scripted replies, or the user's own function.
        """
        self._refuse_unknown([handler])
        self.script.failing[handler].extend(replies_of(handler, replies or (fails(),)))

    def send(
        self,
        message_type: str,
        key: str | int,
        body: BaseModel | object = None,
        *,
        message_id: str | None = None,
        kept_s: int = 7 * 24 * 3600,
        answer: Answer | None = None,
        reason: str | None = None,
    ) -> None:
        """A message from outside, for whatever waits for this type and key, or will within the time it is kept.

        With an `answer` it is for what is pending under this key, whatever its type.
        """
        content = body.model_dump_json() if isinstance(body, BaseModel) else json.dumps(body)
        row = MessageRow(
            message_id=message_id or f"message-{len(self.store.messages(limit=TURNS_MAX)) + 1}",
            correlation_key=str(key),
            type=message_type,
            answer=answer,
            reason=reason,
            body=content,
            topic="messages",
            received_at=self.clock.now,
            expires_at=self.clock.now + kept_s * SECOND,
            actor="test",
        )
        self.store.put_messages([row])
        self.take_inbox()

    def run(self, *, until: Instant | None = None, within: Duration | None = None) -> None:
        """Go on until nothing is left to do but to wait; or until an instant, or so long, waiting as well.

        Raises `RuntimeError` if that never comes.
        """
        if within is not None:
            until = self.clock.now + milliseconds(within) * MILLISECOND
        for _ in range(TURNS_MAX):
            self._turn()
            if self._waits and not self.engine.inbox_held:
                self._take_messages()
            if self._arrived or self.script.arrived or self._is_granted():
                continue
            dues = (due for due in (self.engine.next_due(), self.script.next_due()) if due is not None)
            due = min(dues, default=None)
            rests = self.engine.idle and self.script.next_due() is None and not (self._waits and until is not None)
            if rests or due is None or (until is not None and due > until):
                if until is not None:
                    self.clock.now = max(self.clock.now, until)
                return
            self.clock.now = max(self.clock.now, due)
        raise RuntimeError(f"the world does not come to rest within {TURNS_MAX} turns")

    def crash(self) -> None:
        """The worker dies where it stands; another one takes over at once, knowing only the store.

        A trigger that was published and not yet taken by `run` is gone with it: publish it again, as a topic would.
        """
        self.script.forget()
        self._arrived.clear()
        self._granted.clear()
        self.clock.now += 1 * SECOND
        self.engine = self._worker()

    def take_inbox(self) -> None:
        """Let the worker see what was put into the inbox."""
        for shard in self.engine.shards:
            self._arrived.append(Waiting(rows=self.store.inbox(shard), moment=self.engine.inbox_moment))

    def _take_messages(self) -> None:
        """Of those that came early, what the waits that began with the last turn have taken."""
        for shard in self.engine.shards:
            if rows := self.store.inbox(shard):
                self._arrived.append(Waiting(rows=rows, moment=self.engine.inbox_moment))

    def _is_granted(self) -> bool:
        """Whether the store has told a run that its locks are its own; the worker hears of each once."""
        if not any(saga.form.locks for saga in self.sagas):
            return False
        found = [row for shard in self.engine.shards for row in self.store.inbox(shard)]
        new = [row for row in found if row.message_id.startswith("locks:") and row.message_id not in self._granted]
        if new:
            self._granted.update(row.message_id for row in new)
            self._arrived.append(Waiting(rows=new, moment=self.engine.inbox_moment))
        return bool(new)

    def offer(self, item: Item) -> None:
        """A message straight to the engine."""
        self._arrived.append(item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the stand-ins hold; at the latest it is done when the world is gone."""
        self._ending()

    def snapshot(self) -> dict[str, object]:
        """What is in the stand-ins now, by name."""
        return {each.name: each.snapshot() for each in self.stand_ins}

    def _lead_to_stand_ins(self) -> None:
        """Nothing but them is reached by a connector, where there are any."""
        if self.stand_ins:
            self.script.places = {each.name: each.begin() for each in self.stand_ins}
            self.script.post = post_of(self.clock, self.stand_ins)

    def _delivered(self, record: Record) -> None:
        """A participant's reply, as the worker takes it from its topic."""
        intake = MessageIntake(store=self.store, clock=self.clock, kept_ms=MESSAGES_KEPT_MS, writers=_WRITERS)
        intake.take([record])
        self.take_inbox()

    def _refuse_unknown(self, handlers: Iterable[str]) -> None:
        named = {name for saga in self.sagas for name in handler_names(saga.form)}
        if unknown := sorted(set(handlers) - named):
            raise ValueError(f"no handler is called {', '.join(unknown)}; there is {', '.join(sorted(named))}")

    def _writer(self) -> Writer:
        return Appending(self.store, self._arrived)

    def _turn(self) -> None:
        self.script.come_up()
        arrived = [*self._arrived, *self.script.arrived]
        self._arrived.clear()
        self.script.arrived.clear()
        self.engine.work_off(arrived, self.clock.now)

    def _worker(self) -> Engine:
        catalogue = Catalogue(sagas=self.sagas, stored=self.store.definition)
        leases = self.store.claim("worker", f"worker-{id(object())}", lease_ms=LEASE_MS, limit=1_000)
        if not leases:
            self.clock.now += LEASE_MS * MILLISECOND + 1
            leases = self.store.claim("worker", "successor", lease_ms=LEASE_MS, limit=1_000)
        epochs = {lease.shard: lease.epoch for lease in leases}
        engine = Engine(
            store=self.store,
            writer=self._writer(),
            catalogue=catalogue,
            dispatch=Dispatch(
                catalogue=catalogue,
                hands=self.script,
                clock=self.clock,
                epoch_of=lambda shard: epochs.get(shard, 0),
                lease_left_s=lambda _shard, _epoch: 3600.0,
                commands=self.script.post.opened if self.script.post is not None else None,
            ),
            settings=EngineSettings(namespace=self._namespace, build="test"),
            consumed=lambda _offsets: None,
            fenced=lambda _shards: None,
        )
        self._arrived.append(Gained(leases=leases))
        return engine


def _end(stand_ins: tuple[StandIn, ...]) -> None:
    for each in stand_ins:
        each.end()
