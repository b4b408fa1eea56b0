"""The definitions this worker knows: the app's own, and those that open runs were started with (rule 14)."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.compatibility import fields_used, handler_names, handlers_of, may_serve, waits_of
from amends.coordinator.definition.expression import references
from amends.coordinator.definition.form import (
    DefinitionForm,
    HandlerSchemas,
    StoredDefinition,
    read_stored,
)
from amends.coordinator.definition.handler import Handler
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.rows import DefinitionRow
from amends.schemas.canonical import encode
from amends.schemas.decoding import Writers
from amends.schemas.instants import MILLISECOND, Instant
from amends.schemas.trigger import Acceptor, TopicSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One definition, ready: its plan and the handlers that fit it."""

    plan: Plan
    handlers: dict[str, Handler]
    closed: ClosedSaga | None
    reads_trigger: bool
    """Whether conditions or arguments take single fields of the trigger, so that its defaults must be filled in."""


@dataclass(slots=True, kw_only=True)
class Catalogue:
    """`stored` reads a definition by its hash."""

    sagas: tuple[ClosedSaga, ...]
    stored: Callable[[str], DefinitionRow | None]
    writers: Callable[[str], Writers] = lambda _topic: Writers()
    _known: dict[str, Known] = field(default_factory=dict)
    _newest: dict[str, Known] = field(default_factory=dict)

    def by_hash(self, digest: str) -> Known | None:
        """The definition of this hash; None if neither the app nor the store has it."""
        known = self._known.get(digest)
        if known is None:
            own = next((saga for saga in self.sagas if saga.hash == digest), None)
            stored = self._read(digest) or (own.stored if own is not None else None)
            if stored is None:
                return None
            known = self._known[digest] = self._fit(stored, own)
        return known

    def serves(self, saga: str) -> bool:
        """Whether the app has a definition of this saga, of any version."""
        return any(each.name == saga for each in self.sagas)

    def newest(self, saga: str) -> Known:
        """What new triggers of this saga run."""
        known = self._newest.get(saga)
        if known is None:
            closed = max((each for each in self.sagas if each.name == saga), key=lambda each: each.version)
            known = self.by_hash(closed.hash)
            assert known is not None, "the app's own definitions are known"
            self._newest[saga] = known
        return known

    def topics(self) -> dict[str, TopicSpec]:
        """Every trigger topic with what its definitions accept."""
        found: dict[str, list[Acceptor]] = {}
        for name in sorted({saga.name for saga in self.sagas}):
            closed = self.newest(name).closed
            assert closed is not None, "the newest is the app's own"
            found.setdefault(closed.form.trigger.topic, []).append(_acceptor(closed))
        return {
            topic: TopicSpec(topic=topic, acceptors=acceptors, writers=self.writers(topic))
            for topic, acceptors in found.items()
        }

    def dedup_for_us(self) -> dict[str, int]:
        """How long a request of each saga is remembered after its run ended; sagas that never forget are left out."""
        triggers = {saga.name: self.newest(saga.name).plan.form.trigger for saga in self.sagas}
        return {
            name: trigger.dedup_for_ms * MILLISECOND
            for name, trigger in triggers.items()
            if trigger.dedup_for_ms is not None
        }

    def rows(self, now: Instant) -> list[DefinitionRow]:
        """The app's definitions as the store keeps them."""
        return [
            DefinitionRow(hash=saga.hash, name=saga.name, version=saga.version, body=encode(saga.stored), stored_at=now)
            for saga in self.sagas
        ]

    def _read(self, digest: str) -> StoredDefinition | None:
        row = self.stored(digest)
        return None if row is None else read_stored(row.body)

    def _fit(self, stored: StoredDefinition, own: ClosedSaga | None) -> Known:
        """Find a handler of today for each that the definition names; what is missing makes its runs wait."""
        named, used = list(handler_names(stored.form)), fields_used(stored.form)
        candidates = (
            [own]
            if own is not None
            else sorted((saga for saga in self.sagas if saga.name == stored.form.name), key=lambda saga: -saga.version)
        )
        fitting = {
            name: found
            for name in (*named, *waits_of(stored.form))
            if (found := _fitting(candidates, name, stored.schemas.get(name), used.get(name, ()))) is not None
        }
        missing = frozenset(name for name in named if name not in fitting)
        return Known(
            plan=plan_of(stored.form, missing=missing),
            handlers=fitting,
            closed=own,
            reads_trigger=_reads_trigger(stored.form),
        )


def one_hash_per_version(sagas: Iterable[ClosedSaga], stored: Iterable[DefinitionRow]) -> None:
    """Refuse a version that the store knew first with another graph (rule 14). Raises `UsageError` (AM3001)."""
    first: dict[tuple[str, int], str] = {}
    for row in sorted(stored, key=lambda row: (row.stored_at, row.hash)):
        first.setdefault((row.name, row.version), row.hash)
    sagas = list(sagas)
    taken = {*first, *((saga.name, saga.version) for saga in sagas)}
    for saga in sagas:
        other = first.get((saga.name, saga.version))
        free = max((version for name, version in taken if name == saga.name), default=0) + 1
        if other is not None and other != saga.hash:
            raise UsageError(
                "AM3001",
                f"saga {saga.name!r} v{saga.version} has another graph than the one in the store"
                f" ({saga.hash[:12]} here, {other[:12]} there)",
                do=f"give the changed graph a new version, for instance version={free}",
            )


def _fitting(
    candidates: Iterable[ClosedSaga], name: str, schemas: HandlerSchemas | None, fields: Collection[str]
) -> Handler | None:
    for saga in candidates:
        handler, today = saga.handlers.get(name), saga.stored.schemas.get(name)
        if handler is None or today is None:
            continue
        if schemas is None or today == schemas or may_serve(schemas, today, fields):
            return handler
    return None


def _acceptor(closed: ClosedSaga) -> Acceptor:
    trigger = closed.form.trigger
    return Acceptor(
        saga=closed.name,
        validate=closed.trigger.adapter.validate_json,
        idempotency_key=trigger.idempotency_key,
        business_key=trigger.business_key,
        volatile=trigger.volatile,
        cloudevents_type=trigger.cloudevents_type,
        size_bytes_max=trigger.size_bytes_max,
    )


def _reads_trigger(form: DefinitionForm) -> bool:
    for step in form.every_step():
        if step.when is not None and any(reference.step is None for reference in references(step.when)):
            return True
    return any(
        argument.source == "trigger" and argument.field
        for step in form.every_step()
        for handler in handlers_of(step)
        for argument in handler.arguments.values()
    )
