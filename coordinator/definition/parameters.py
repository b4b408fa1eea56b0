"""Where each parameter of a handler takes its value from, and the rules about parameters, hints and types."""

import inspect
from dataclasses import dataclass

from amends.coordinator.context import Context
from amends.coordinator.definition.assignable import assignable
from amends.coordinator.definition.declared import DeclaredHandler, DeclaredStep
from amends.coordinator.definition.fields import NoSuchField, follow, name_of_type, or_none, type_of_source
from amends.coordinator.definition.findings import Finding, finding, nearest
from amends.coordinator.definition.form import Argument
from amends.coordinator.definition.hints import Unresolved
from amends.coordinator.definition.places import Place, place_of_parameter
from amends.coordinator.definition.references import Condition, Reference, Target, target_of
from amends.coordinator.definition.steps import Called, function_name

_NAMED = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
UNKNOWN = object()
"""The hint of a parameter that has none that resolves; a finding says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter that is filled at run time, and the type its value is read as."""

    name: str
    argument: Argument
    hint: object


class ParameterReader:
    """Reads the parameters of one handler, noting every broken rule."""

    def __init__(self, step: DeclaredStep, handler: DeclaredHandler, findings: list[Finding]) -> None:
        self.step = step
        self.handler = handler
        self.findings = findings
        self.hints = self._hints()

    def read(self) -> tuple[Parameter, ...]:
        """The parameters to fill, in their order."""
        found = (self._parameter(each) for each in self.handler.signature.parameters.values())
        return tuple(each for each in found if each is not None)

    def result_hint(self) -> object:
        """The type of what the handler returns; None where it is not used or not known."""
        role, hints = self.handler.role, self.hints
        if hints is None or role == "undo":
            return None
        if "return" not in hints:
            self._note(
                "AM1035",
                f"{self.handler.label} has no hint for its result",
                do="write `-> None` if it returns nothing",
                parameter="return",
            )
            return None
        if role != "step" or self.step.kind == "expect":
            self._check_answer(hints["return"])
        return hints["return"]

    def _parameter(self, parameter: inspect.Parameter) -> Parameter | None:
        name, default = parameter.name, parameter.default
        if parameter.kind not in _NAMED:
            self._note(
                "AM1033",
                f"parameter {name!r} of {self.handler.label} cannot be given by name",
                do="write plain parameters, without *, ** and /",
                parameter=name,
            )
            return None
        if isinstance(default, Reference):
            return self._referring(name, target_of(default))
        if isinstance(default, Condition | Called):
            what = "a condition" if isinstance(default, Condition) else f"{default!r} itself"
            do = (
                f"take what it returned: {function_name(default)}.result"
                if isinstance(default, Called)
                else "take the value"
            )
            self._note("AM1032", f"parameter {name!r} of {self.handler.label} is given {what}", do=do, parameter=name)
            return None
        if default is not inspect.Parameter.empty:
            return None  # a constant of the function's own
        return self._without_default(name)

    def _without_default(self, name: str) -> Parameter | None:
        hint = self._hint(name, required=name != "ctx")
        if name == "ctx":
            if hint not in {UNKNOWN, object} and not assignable(Context, hint):
                self._mismatch(name, "ctx", Context, hint)
            return Parameter(name=name, argument=Argument(source="context"), hint=Context)
        if name == "trigger":
            model = self.step.draft.topic.model
            if hint is not UNKNOWN and not assignable(model, hint):
                self._mismatch(name, "the trigger", model, hint)
            return Parameter(name=name, argument=Argument(source="trigger"), hint=hint)
        self._note(
            "AM1032",
            f"parameter {name!r} of {self.handler.label} has no default, so nothing says where its value comes from",
            do=self._source_for(name, hint),
            parameter=name,
        )
        return None

    def _source_for(self, name: str, hint: object) -> str:
        if hint is Context:
            return "call it ctx"
        if hint is self.step.draft.topic.model:
            return "call it trigger"
        if name == "item":
            return "item is what for_each gives, and this step has none"
        for step in self.step.draft.steps:
            returned = (step.handler.hints().get("return", UNKNOWN)) if _resolves(step) else UNKNOWN
            gives = step is not self.step and step.kind not in {"result", "expect"}
            if gives and (step.name == name or returned == hint != UNKNOWN):
                return f"write {name} = {step.name}.result"
        return f"give it a reference or a constant, or call it ctx or trigger ({nearest(name, ('ctx', 'trigger'))})"

    def _referring(self, name: str, target: Target) -> Parameter | None:
        place = place_of_parameter(self.handler.function, name)
        if target.draft is not self.step.draft:
            self._note(
                "AM1020",
                f"parameter {name!r} of {self.handler.label} refers to {target.text()} of saga {target.draft.name!r}",
                do=f"refer to steps of {self.step.draft.name!r}; another saga's results are not here",
                parameter=name,
            )
            return None
        hint = self._hint(name, required=True)
        try:
            keys, given = follow(type_of_source(target), target.names)
        except NoSuchField as error:
            self.findings.append(
                finding(
                    "AM1030",
                    f"{target.text()}: {error}",
                    do=error.hint,
                    at=target.spot.place(),
                    saga=self.step.draft.name,
                )
            )
            return None
        except Unresolved:
            keys, given = target.names, None  # noted at the step that has the hint
        else:
            given = or_none(given) if target.maybe else given
            if hint is not UNKNOWN and not assignable(given, hint):
                self._mismatch(name, target.text(), given, hint, place)
        return Parameter(name=name, argument=argument_of(target, keys), hint=hint)

    def _check_answer(self, hint: object) -> None:
        role, label = self.handler.role, self.handler.label
        if self.step.kind == "expect":
            if not assignable(hint, bool):
                what = f"{label} says what is expected and returns {name_of_type(hint)}"
                self._note("AM1041", what, do="let it return bool", parameter="return")
            return
        if self.handler.may_pend():
            what = f"{label} is the {role} of {self.step.name!r} and may be pending: a question is answered at once"
            self._note("AM1086", what, do="let it return its answer, and nothing else", parameter="return")
            return
        asked: object = bool
        if role == "lookup":
            try:
                result = self.step.result_type()
            except Unresolved:
                return
            asked = bool if result in {None, type(None)} else or_none(result)
        if not assignable(hint, asked):
            self._note(
                "AM1041",
                f"{label} is the {role} of {self.step.name!r} and returns {name_of_type(hint)}",
                do=f"let it return {name_of_type(asked)}",
                parameter="return",
            )

    def _mismatch(self, name: str, source: str, given: object, asked: object, place: Place | None = None) -> None:
        maybe = "; take .result if it cannot be None" if source.endswith(".maybe") else ""
        self._note(
            "AM1031",
            f"{self.handler.label} wants {name_of_type(asked)} for {name!r}, but {source} is {name_of_type(given)}",
            do=f"write {name}: {name_of_type(given)}{maybe}",
            parameter=name,
            place=place,
        )

    def _hint(self, name: str, *, required: bool) -> object:
        if self.hints is None:
            return UNKNOWN
        if name not in self.hints and required:
            self._note(
                "AM1035",
                f"parameter {name!r} of {self.handler.label} has no type hint",
                do="write its type",
                parameter=name,
            )
        return self.hints.get(name, UNKNOWN)

    def _hints(self) -> dict[str, object] | None:
        try:
            return self.handler.hints()
        except Unresolved as error:
            self._note(
                "AM1034",
                f"the hint of {error.parameter!r} of {self.handler.label} does not resolve: {error.why}",
                do="import the name where the module runs, not under TYPE_CHECKING, or define it before first use",
                parameter=error.parameter,
            )
            return None

    def _note(self, code: str, message: str, *, do: str, parameter: str, place: Place | None = None) -> None:
        at = place or place_of_parameter(self.handler.function, parameter)
        self.findings.append(finding(code, message, do=do, at=at, saga=self.step.draft.name))


def argument_of(target: Target, keys: tuple[str, ...]) -> Argument:
    """A reference as the intermediate form has it."""
    if target.step is None:
        return Argument(source="trigger", field=".".join(keys))
    return Argument(source="maybe" if target.maybe else "result", step=target.step.path, field=".".join(keys))


def _resolves(step: DeclaredStep) -> bool:
    try:
        step.handler.hints()
    except Unresolved:
        return False
    return True
