"""From declared calls to steps of the caller, with everything found wrong on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec.structs import replace

from amends.coordinator.definition.assignable import assignable
from amends.coordinator.definition.calling import DeclaredCall, DeclaredEach, DeclaredLoop
from amends.coordinator.definition.conditions import ConditionReader
from amends.coordinator.definition.declared import TIMEOUT_MS, DeclaredStep, Draft, Waited
from amends.coordinator.definition.expression import (
    AllOf,
    Compare,
    Expression,
    Reference,
    Value,
    references,
    with_references,
)
from amends.coordinator.definition.fields import (
    NoSuchField,
    follow,
    name_of_type,
    or_none,
    type_of_source,
    without_none,
)
from amends.coordinator.definition.findings import DefinitionError, Finding, finding
from amends.coordinator.definition.form import (
    ITEM,
    Argument,
    DefinitionForm,
    EachForm,
    HandlerForm,
    LoopForm,
    StepForm,
)
from amends.coordinator.definition.hints import Unresolved
from amends.coordinator.definition.including import include, last_of, path_under
from amends.coordinator.definition.parameters import argument_of
from amends.coordinator.definition.references import Reference as ReferenceTo
from amends.coordinator.definition.references import target_of
from amends.coordinator.definition.rules.shape import may_be_skipped

if TYPE_CHECKING:
    from amends.coordinator.definition.closing import ClosedSaga


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledSaga:
    """A saga that is called, whole, and the call."""

    call: DeclaredCall
    saga: "ClosedSaga"


class CallBuilder:
    """Builds the calls of one draft, noting every broken rule."""

    def __init__(self, draft: Draft, findings: list[Finding]) -> None:
        self.draft = draft
        self.findings = findings
        found = (self._called(call) for call in draft.calls)
        self.called: Mapping[str, CalledSaga] = {each.call.name: each for each in found if each is not None}

    @property
    def whole(self) -> bool:
        """Whether every call can be included: else nothing can be said of the graph."""
        return len(self.called) == len(self.draft.calls)

    def paths_of(self, waited: Waited, waiting: DeclaredStep | DeclaredCall) -> tuple[str, ...]:
        """The steps after which what is waited for is over."""
        if isinstance(waited, str):
            called = self.called.get(waited)
            if called is None or called.call.repeat is not None:
                return (waited,)
            return last_of(called.saga.form, waited)
        if waited.draft is not self.draft:
            what = "step" if isinstance(waiting, DeclaredStep) else "call"
            self._note(
                "AM1020",
                f"{what} {waiting.name!r} waits for {waited.name!r} of saga {waited.draft.name!r}",
                do=f"wait for steps of {self.draft.name!r}",
                at=waiting,
            )
            return ()
        return self.paths_of(waited.name, waiting)

    def steps(self, own: Sequence[StepForm]) -> list[StepForm]:
        """The saga's own steps and all that its calls include, in the order in which they were declared."""
        found = list(own)
        for called in self.called.values():
            found.extend(self._included(called, found))
        return found

    def _called(self, call: DeclaredCall) -> CalledSaga | None:
        try:
            return CalledSaga(call=call, saga=call.called.examined())
        except DefinitionError as error:
            first = error.findings[0]
            why = f"call {call.name!r} is of saga {call.called.name!r}, which cannot be called: {first.message}"
            self._note("AM1010", first.message if first.code == "AM1010" else why, do=first.hint, at=call)
            return None

    def _included(self, called: CalledSaga, others: Sequence[StepForm]) -> tuple[StepForm, ...]:
        call, form = called.call, called.saga.form
        trigger = self._trigger(call)
        when = ConditionReader(call, self.findings).read(call.when) if call.when is not None else None
        waited = {path for each in call.after for path in self.paths_of(each, call)}
        waited.update(each.step for each in (references(when) if when else ()) if each.step)
        if trigger.step is not None:
            waited.add(trigger.step)
            if trigger.step in may_be_skipped({step.path: step for step in others}):
                when = _and_known(when, trigger.step)
        after = tuple(sorted(waited))
        if call.repeat is None:
            return include(form, call.name, trigger=trigger, after=after, when=when)
        return (self._repeated(call, call.repeat, form, given=trigger, after=after, when=when),)

    def _repeated(
        self,
        call: DeclaredCall,
        repeat: DeclaredEach | DeclaredLoop,
        form: DefinitionForm,
        *,
        given: Argument,
        after: tuple[str, ...],
        when: Expression | None,
    ) -> StepForm:
        """A step that does all that is called for every item, or in every round."""
        one = Argument(source="result", step=call.name + ITEM)
        steps = include(self._without_expectations(call, form), call.name, trigger=one, after=(), when=None)
        returns = call.returned_path
        if isinstance(repeat, DeclaredEach):
            arguments = {"items": given}
            each = EachForm(
                steps=steps,
                returns=returns,
                key=self._key(call, repeat.key),
                concurrency=repeat.concurrency,
                items_max=repeat.items_max,
                policy=repeat.policy,
            )
            handler = HandlerForm(name=call.name, arguments=arguments, timeout_ms=TIMEOUT_MS)
            return StepForm(path=call.name, kind="for_each", handler=handler, after=after, when=when, each=each)
        until = ConditionReader(call, self.findings, about=call.called._draft).read(repeat.until)  # noqa: SLF001  one front end
        loop = LoopForm(
            steps=steps,
            returns=returns,
            until=with_references(until, lambda each: _under(call.name, each)),
            rounds_max=repeat.rounds_max,
            every_ms=repeat.every_ms,
            on_max=repeat.on_max,
            carry=repeat.carry,
        )
        handler = HandlerForm(name=call.name, arguments={"first": given}, timeout_ms=TIMEOUT_MS)
        return StepForm(path=call.name, kind="loop", handler=handler, after=after, when=when, loop=loop)

    def _without_expectations(self, call: DeclaredCall, form: DefinitionForm) -> DefinitionForm:
        """What is expected is asked once for all: of an item or a round it is not."""
        steps = tuple(step for step in form.steps if step.kind != "expect")
        for step in form.steps:
            if step.kind == "expect":
                what = f"what is expected by {step.path!r} of saga {form.name!r} is not asked where it is repeated"
                do = f"expect of {self.draft.name!r} what is to hold of all that {call.name!r} did"
                self._note("AM1111", f"{what}, by {call.name!r}", do=do, at=call)
        return replace(form, steps=steps)

    def _key(self, call: DeclaredCall, key: str) -> str:
        """The JSON way to what tells items apart."""
        try:
            keys, kind = follow(call.called.model, tuple(key.split(".")) if key else ())
        except NoSuchField as error:
            self._note("AM1030", f"for_each {call.name!r} has key={key!r}: {error}", do=error.hint, at=call)
            return key
        if without_none(kind)[0] not in {str, int, UUID}:
            what = f"key={key!r} of for_each {call.name!r} is {name_of_type(kind)}"
            do = "name a field that holds text or an integer, and differs from item to item"
            self._note("AM1013", f"{what}, which tells no items apart", do=do, at=call)
        return ".".join(keys)

    def _trigger(self, call: DeclaredCall) -> Argument:
        """Where the called saga finds what it takes for its trigger."""
        asked: Any = call.called.model
        if isinstance(call.repeat, DeclaredEach):
            asked = Sequence[asked]
        if not isinstance(call.trigger, ReferenceTo):
            self._mismatch(call, repr(call.trigger), "no reference")
            return Argument(source="trigger")
        target = target_of(call.trigger)
        if target.draft is not self.draft:
            self._note(
                "AM1020",
                f"call {call.name!r} refers to {target.text()} of saga {target.draft.name!r}",
                do=f"refer to steps of {self.draft.name!r}; another saga's results are not here",
                at=call,
            )
            return Argument(source="trigger")
        try:
            keys, given = follow(type_of_source(target), target.names)
        except NoSuchField as error:
            self._note("AM1030", f"{target.text()}: {error}", do=error.hint, at=call)
            return Argument(source="trigger")
        except Unresolved:
            return argument_of(target, target.names)  # noted at the step that has the hint
        given = or_none(given) if target.maybe else given
        if not assignable(given, asked):
            self._mismatch(call, target.text(), name_of_type(given))
        return argument_of(target, keys)

    def _mismatch(self, call: DeclaredCall, source: str, given: str) -> None:
        asked = name_of_type(call.called.model)
        what = "its trigger"
        if isinstance(call.repeat, DeclaredEach):
            asked, what = f"list[{asked}]", "its items"
        self._note(
            "AM1031",
            f"call {call.name!r} of saga {call.called.name!r} wants {asked} for {what}, but {source} is {given}",
            do=f"give it a reference to {asked}: the trigger, a field of it, or what a read step returns",
            at=call,
        )

    def _note(self, code: str, message: str, *, do: str, at: DeclaredStep | DeclaredCall) -> None:
        self.findings.append(finding(code, message, do=do, at=at.spot.place(), saga=self.draft.name))


def _under(name: str, reference: Reference) -> Reference:
    step = name + ITEM if reference.step is None else path_under(name, reference.step)
    return Reference(step=step, field=reference.field)


def _and_known(when: Expression | None, step: str) -> Expression:
    """Skip all that is called where the step that gives the trigger was skipped."""
    known = Compare(left=Reference(step=step, field=""), how="!=", right=Value(value=None))
    return known if when is None else AllOf(parts=(known, when))
