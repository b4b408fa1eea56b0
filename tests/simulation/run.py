"""One saga run on the real core, without a store: entries are sealed, kept, and folded again after each decision."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from amends.coordinator.core.commands import Command, commands, next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.evolve import fold_entry, sealed
from amends.coordinator.core.messages import (
    CancelWished,
    Delivered,
    Done,
    Ended,
    Failed,
    KillWished,
    Message,
    No,
    NoAnswer,
    Note,
    Pends,
    ReadBack,
    Recovered,
    Replied,
    RerunOf,
    ResolutionWished,
    Said,
    SavepointWished,
    Start,
    Tick,
    Unknown,
    Yes,
)
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.state import Effect, State
from amends.coordinator.definition.form import DefinitionForm
from amends.schemas.canonical import digest, encode
from amends.schemas.entry import Draft, Entry, Inline, decode, seal
from amends.schemas.events import Digest, Event, Origin, Resolution
from amends.schemas.ids import Direction, saga_id_of
from amends.schemas.instants import MILLISECOND, Instant, instant_of, text_of
from amends.schemas.message import Answer as Verdict
from tests.simulation.telling import told

BEGIN: Final = instant_of("2026-11-21T14:00:00.000000Z")


class FoldDiffers(AssertionError):
    """Folding the entries gave another state than `decide` returned."""


@dataclass(slots=True, kw_only=True)
class Run:
    """Drives the core by hand. What a method returns is what was decided, told in a few words each."""

    plan: Plan
    request: str = "R-1"
    trigger: Any = None
    now: Instant = BEGIN
    entries: list[Entry] = field(default_factory=list)
    payloads: dict[Digest, bytes] = field(default_factory=dict)
    state: State | None = None
    on_entry: Callable[["Run", Entry, Message], None] | None = None

    @classmethod
    def of(cls, form: DefinitionForm, *, trigger: Any = None, missing: frozenset[str] = frozenset()) -> "Run":
        """A run of this definition that has just been started."""
        run = cls(plan=plan_of(form, missing=missing), trigger=trigger)
        run.start()
        return run

    # What happens to it

    def start(self, *, rerun: RerunOf | None = None) -> list[str]:
        """The trigger arrives, or a person has it carried out anew."""
        trigger = self.keep(self.trigger)
        generation = 0 if rerun is None else 1
        return self.tell(
            Start(
                namespace="default",
                saga=self.plan.form.name,
                saga_id=saga_id_of(
                    namespace="default",
                    saga=self.plan.form.name,
                    idempotency_key=self.request,
                    generation=generation,
                ),
                idempotency_key=self.request,
                business_key="A-12",
                generation=generation,
                origin=Origin(topic="orders", partition=0, offset=1),
                trigger=trigger,
                request_digest=trigger,
                shard=0,
                rerun=rerun,
            )
        )

    def ok(self, what: str, result: Any = "done", *, notes: tuple[Note, ...] = ()) -> list[str]:
        """The attempt succeeds. `what` is a path, or `undo of` one."""
        path, direction = _named(what)
        found = self.keep(result) if direction == "forward" else None
        return self.reply(what, Done(result=found, external_id=f"ext-{path}"), notes=notes)

    def refused(self, what: str, kind: str = "refused") -> list[str]:
        """A definite failure that will not get better."""
        return self.reply(what, Failed(kind=kind, message="no", retriable=False))

    def unavailable(self, what: str, *, retry_after_ms: int | None = None, kind: str = "unavailable") -> list[str]:
        """A definite failure that may get better."""
        return self.reply(what, Failed(kind=kind, message="later", retriable=True, retry_after_ms=retry_after_ms))

    def withdrawn(self, what: str) -> list[str]:
        """The runtime takes a request back that it has not handed over."""
        return self.unavailable(what, kind="withdrawn")

    def unknown(self, what: str) -> list[str]:
        """The attempt has returned, and what it sent may still land."""
        return self.reply(what, Unknown(kind="in_doubt", message="no reply"))

    def times_out(self, what: str) -> list[str]:
        """The timeout fires while the handler still runs."""
        self.now = max(self.now, self.command(what).timeout_at or 0)
        return self.reply(what, Unknown(kind="timeout", message="no reply in time", running=True))

    def receives(self, path: str, key: str, body: Any = "here", *, kind: str = "Arrival") -> list[str]:
        """A message is brought to what waits under this path."""
        content = self.keep(body)
        return self.tell(Delivered(path=path, message_id=f"m-{key}", correlation=key, message_type=kind, body=content))

    def pends(self, what: str, key: str = "K-1", *, within_ms: int = 10_000) -> list[str]:
        """The attempt has returned, and a message will answer for it."""
        path, _ = _named(what)
        return self.reply(what, Pends(correlation=key, within_ms=within_ms, external_id=f"taken-{path}"))

    def answers(self, what: str, key: str = "K-1", said: Verdict = "succeeded", result: Any = "done") -> list[str]:
        """A message answers for what is pending."""
        _, direction = _named(what)
        body = self.keep(result)
        reply: dict[Verdict, Done | Failed | Unknown] = {
            "succeeded": Done(result=body if direction == "forward" else None),
            "refused": Failed(kind="refused", message="no", retriable=False),
            "unavailable": Failed(kind="unavailable", message="later", retriable=True),
            "unknown": Unknown(kind="in_doubt", message="who knows"),
        }
        return self.delivered(what, Said(verdict=said, answer=reply[said]), key=key, body=body)

    def answers_wrongly(self, what: str, key: str = "K-1") -> list[str]:
        """It says that it has succeeded, and its content is no result."""
        said = Said(verdict="succeeded", answer=Ended(kind="invalid_result", message="no number"))
        return self.delivered(what, said, key=key, body=self.keep("nonsense"))

    def delivered(self, what: str, said: Said, *, key: str, body: Digest | None) -> list[str]:
        """A message that answers is brought."""
        path, direction = _named(what)
        message = Delivered(
            path=path,
            direction=direction,
            message_id=f"a-{key}",
            correlation=key,
            message_type="Answer",
            body=body,
            answer=said,
        )
        return self.tell(message)

    def raises(self, what: str) -> list[str]:
        """The handler raises something that says nothing about the effect."""
        return self.reply(what, Ended(kind="exception", message="ValueError"))

    def finds(self, what: str, result: Any = "found", *, notes: tuple[Note, ...] = ()) -> list[str]:
        """The open question is answered with yes."""
        return self.answer(what, Yes(result=self.keep(result), external_id=None), notes=notes)

    def denies(self, what: str) -> list[str]:
        """The open question is answered with no."""
        return self.answer(what, No())

    def cannot_say(self, what: str) -> list[str]:
        """The read-back or lookup fails."""
        return self.answer(what, NoAnswer(message="down"))

    def recovers(self, *, clean: bool = False) -> list[str]:
        """A new owner takes the run up."""
        return self.tell(Recovered(clean=clean))

    def cancel(self) -> list[str]:
        return self.tell(CancelWished(reason="changed their mind"))

    def kill(self) -> list[str]:
        return self.tell(KillWished(reason="enough"))

    def resolve(self, step: str, resolution: Resolution) -> list[str]:
        return self.tell(ResolutionWished(step=step, resolution=resolution, reason="because", evidence="ticket 7"))

    def undo_to(self, step: str) -> list[str]:
        """A person has the parked run undone as far as this step."""
        return self.tell(SavepointWished(step=step, reason="because"))

    def passes(self, ms: int) -> list[str]:
        """Time goes by, then the run is looked at."""
        self.now += ms * MILLISECOND
        return self.tell(Tick())

    def tick(self) -> list[str]:
        """Time goes by until the run has something to do by itself."""
        due = next_due(self.plan, self.get())
        assert due is not None, "the run waits for nothing but messages"
        self.now = max(self.now, due)
        return self.tell(Tick())

    # How it stands

    def get(self) -> State:
        assert self.state is not None, "the run has not started"
        return self.state

    @property
    def status(self) -> str:
        return self.get().status

    def effect(self, what: str) -> Effect:
        return self.get().effect(*_named(what))

    def wanted(self) -> tuple[Command, ...]:
        return commands(self.plan, self.get(), self.now)

    def doing(self) -> list[str]:
        """The handlers that should be running."""
        return [command.handler for command in self.wanted()]

    @property
    def story(self) -> list[str]:
        """All that was decided so far."""
        return [told(event) for entry in self.entries for event in entry.events]

    @property
    def events(self) -> list[Event]:
        return [event for entry in self.entries for event in entry.events]

    def command(self, what: str, *, asks: bool = False) -> Command:
        path, direction = _named(what)
        for command in self.wanted():
            if (command.path, command.direction) == (path, direction) and _asks(command) == asks:
                return command
        raise AssertionError(f"nothing runs for {what}: {self.doing()}")

    # The machinery

    def keep(self, value: Any) -> Digest:
        """Store a value as a payload."""
        text = encode(value)
        self.payloads[digest(text)] = text
        return digest(text)

    def reply(
        self,
        what: str,
        answer: Done | Failed | Unknown | Ended | Pends,
        *,
        attempt: int | None = None,
        notes: tuple[Note, ...] = (),
    ) -> list[str]:
        """A reply to the attempt that should be running, or to the one of that number."""
        path, direction = _named(what)
        number = self.command(what).number if attempt is None else attempt
        return self.tell(Replied(path=path, direction=direction, attempt=number, answer=answer, notes=notes))

    def answer(self, what: str, answer: Yes | No | NoAnswer, *, notes: tuple[Note, ...] = ()) -> list[str]:
        """An answer to the open question; time goes by until it is to be asked."""
        command = self.command(what, asks=True)
        self.now = max(self.now, command.not_before or 0)
        return self.tell(
            ReadBack(
                path=command.path,
                direction=command.direction,
                role=command.role,
                asked=command.number,
                answer=answer,
                notes=notes,
            )
        )

    def tell(self, message: Message) -> list[str]:
        """Decide, seal, keep, and hold the fold of what was sealed against the state that was decided."""
        now = self.now if self.state is None else max(self.now, self.state.at)
        events, state = decide(self.plan, self.state, message, now, self.payloads.__getitem__)
        if not events:
            assert state is self.state, "no events, so nothing has changed"
            return []
        entry = self._sealed(events, state, now, message)
        folded = fold_entry(self.state, entry)
        decided = sealed(state, version=entry.version, at=now, entry_hash=entry.hash)
        if encode(folded) != encode(decided):
            raise FoldDiffers(f"after {message}: {folded} is not {decided}")
        self.state = folded
        self.entries.append(entry)
        if self.on_entry is not None:
            self.on_entry(self, entry, message)
        return [told(event) for event in events]

    def _sealed(self, events: tuple[Event, ...], state: State, now: Instant, message: Message) -> Entry:
        draft = Draft(
            namespace=state.namespace,
            saga_id=state.saga_id,
            saga=state.saga,
            definition_version=state.definition_version,
            definition_hash=state.definition_hash,
            version=len(self.entries) + 1,
            at=text_of(now),
            cause=type(message).__name__,
            causation_id=None,
            correlation_id=None,
            actor="test",
            epoch=1,
            build="test",
            events=events,
            payloads={key: Inline(inline=text.decode()) for key, text in self.payloads.items()}
            if not self.entries
            else {},
            previous_hash=self.entries[-1].hash if self.entries else "",
        )
        data, _ = seal(draft)
        return decode(data)


def _named(what: str) -> tuple[str, Direction]:
    if what.startswith("undo of "):
        return what.removeprefix("undo of "), "undo"
    return what, "forward"


def _asks(command: Command) -> bool:
    return command.role in {"verify", "lookup"}
