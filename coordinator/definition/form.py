"""The intermediate form of a saga definition: frozen, JSON, content-hashed.

All front ends produce it; the coordinator stores, checks, draws and runs it. It is data only: conditions are
expressions (`expression.py`), handlers are names. `graph_hash` covers what decides a run's course, never schemas,
docstrings or code (rule 14).

The steps of a called saga stand in the form under its name, `ship/reserve`. What is repeated stands in it once, within
the step that repeats it; a run has it as `notify[2]` (`../core/unfolding.py`).
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from amends.coordinator.definition.expression import Expression
from amends.schemas.canonical import encode, sha256_hex

StepKind = Literal["action", "read", "result", "wait", "for_each", "loop", "expect"]
ArgumentSource = Literal["context", "trigger", "result", "maybe"]

FORM_VERSION = 1
CONTEXT, TRIGGER = "context", "trigger"
ITEM = "[]"
"""After the path of a step that repeats others: what one copy of them is about."""
CORRELATION, UNTIL = "correlation", "until"
"""The arguments of a wait: where its key, or its instant, is taken from."""


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """Where a handler's parameter comes from. `field` is the dotted way into the value, empty for the whole of it."""

    source: ArgumentSource
    step: str | None = None
    field: str = ""


class RetryForm(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how patiently. `attempts` counts the first one; jitter is a share of the wait, in percent."""

    attempts: int = 3
    wait_ms: int = 200
    factor: int = 2
    jitter_percent: int = 20
    wait_max_ms: int = 30_000


class HandlerForm(msgspec.Struct, frozen=True, kw_only=True):
    """One handler by its role. `name` is the registered name, for instance `reserve`, `reserve.undo.verify`."""

    name: str
    arguments: dict[str, Argument]
    timeout_ms: int
    within_ms: int = 0
    """For read-backs: how long a `False` is asked again (`verify_within`)."""
    verify_after_ms: int = 0
    """For read-backs: 0 is at once, before anything that depends on it; else so long after, when the run has ended."""


class PendingForm(msgspec.Struct, frozen=True, kw_only=True):
    """A handler may return before it is done, and a message answers for it within this time; else it is in doubt."""

    within_ms: int


class Certainty(msgspec.Struct, frozen=True, kw_only=True):
    """What a participant promises about doubt (rule 8). Nothing at all is class C."""

    deduplicates: bool = False
    """It answers a repeated key without acting twice."""
    window_ms: int | None = None
    """For how long it does; None is for ever."""
    tombstones: bool = False
    """An undo it receives first makes it refuse the late request."""
    settle_ms: int = 0
    """The longest a request that was sent may still take effect."""
    settle: Literal["resend", "wait"] = "resend"
    settle_within_ms: int = 300_000


class UndoForm(msgspec.Struct, frozen=True, kw_only=True):
    """The one action that reverses a step, or the follow-up that stands in for it."""

    handler: HandlerForm
    verify: HandlerForm | None
    """None: the participant's reply is the only evidence, as the definition says by `verify="reply"`."""
    retry: RetryForm
    certainty: Certainty
    follow_up: bool = False
    takes_unknown: bool = True
    """False: the handler needs the step's result, so a step that ended without one parks instead (rule 8)."""
    pending: PendingForm | None = None


class WaitForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a step of kind `wait` waits for. Its `handler` is nobody's function: it holds key or instant, and timeout.

    A `message` is found by the argument `correlation` and comes within `timeout_ms`; an `instant` is the argument
    `until`; a `pause` lasts `timeout_ms`.
    """

    awaits: Literal["message", "instant", "pause"]
    message_type: str | None = None
    on_timeout: Literal["fail", "skip", "park"] = "fail"


class EachForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a step of kind `for_each` does with every item of the list that is its argument `items`.

    Its `steps` stand in the run once for each item, `ship/book` as `ship[2]/book`; a single one has the path of the
    step itself. In them the pseudo step `ship[]` is the item.
    """

    steps: tuple["StepForm", ...]
    returns: str | None
    """The one of them whose result stands in the list that is this step's result; None without one."""
    key: str = ""
    """The dotted way to what names an item; empty where the item itself does."""
    concurrency: int = 10
    items_max: int = 1_000
    policy: Literal["all", "collect"] = "all"


class LoopForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a step of kind `loop` repeats, round by round, `poll` as `poll[0]`, until a condition over a round holds.

    In `steps` the pseudo step `poll[]` is what a round begins with: its argument `first`, and where rounds `carry`,
    for each but the first what the one before returned.
    """

    steps: tuple["StepForm", ...]
    returns: str | None
    """The one of them whose last result is this step's."""
    until: Expression
    rounds_max: int
    every_ms: int = 0
    """Between the end of a round and the next one's start."""
    on_max: Literal["fail", "go_on"] = "fail"
    carry: bool = False


class StepForm(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the graph."""

    path: str
    kind: StepKind
    handler: HandlerForm
    after: tuple[str, ...]
    """Every step this one waits for: declared ones and those it takes a result from, sorted."""
    when: Expression | None = None
    """The step is skipped unless this holds."""
    verify: HandlerForm | None = None
    lookup: HandlerForm | None = None
    undo: UndoForm | None = None
    pivot: bool = False
    irreversible: bool = False
    dependency: str | None = None
    retry: RetryForm = RetryForm()
    certainty: Certainty = Certainty()
    drain_within_ms: int = 60_000
    unsafe: str | None = None
    """The reason given for using a class C participant; silences `check`, changes nothing else."""
    wait: WaitForm | None = None
    each: EachForm | None = None
    loop: LoopForm | None = None
    pending: PendingForm | None = None

    @property
    def acts(self) -> bool:
        """Whether it changes the world, and so can be in doubt."""
        return self.kind == "action"

    @property
    def repeats(self) -> bool:
        """Whether it does nothing itself but repeats others, by items or in rounds."""
        return self.each is not None or self.loop is not None

    @property
    def may_pend(self) -> bool:
        """Whether its action, or its undo, may be pending until a message answers for it."""
        return self.pending is not None or (self.undo is not None and self.undo.pending is not None)

    @property
    def delays(self) -> bool:
        """Whether it, or its undo, is read back only after the run has ended."""
        undo = self.undo.verify if self.undo is not None else None
        return any(each is not None and each.verify_after_ms > 0 for each in (self.verify, undo))

    @property
    def class_c(self) -> bool:
        """Whether its participant can settle no doubt: it has neither key window, nor tombstones, nor lookup."""
        promised = self.certainty
        return self.acts and not (promised.deduplicates or promised.tombstones or self.lookup)


class TriggerForm(msgspec.Struct, frozen=True, kw_only=True):
    """What starts a run. Paths are dotted names in the decoded data."""

    topic: str
    model: str
    idempotency_key: str | None
    business_key: str | None
    volatile: tuple[str, ...] = ()
    cloudevents_type: str | None = None
    size_bytes_max: int = 1_000_000
    dedup_for_ms: int | None = None


class LockForm(msgspec.Struct, frozen=True, kw_only=True):
    """What runs shut each other out by: the value of a field of the trigger, under a name that sagas may share."""

    name: str
    field: str
    """A dotted name in the trigger."""


class BudgetForm(msgspec.Struct, frozen=True, kw_only=True):
    """Caps of one run; money is a decimal string."""

    usd: str | None = None
    wall_ms: int | None = None
    attempts: int | None = None
    entries: int | None = None


class DefinitionForm(msgspec.Struct, frozen=True, kw_only=True):
    """A whole saga definition. `steps` is in an order in which every step comes after those it waits for."""

    form_version: int = FORM_VERSION
    name: str
    version: int
    trigger: TriggerForm
    steps: tuple[StepForm, ...]
    deadline_ms: int
    budget: BudgetForm = BudgetForm()
    entries_max: int = 10_000
    payload_bytes_max: int = 8_000_000
    subject: str | None = None
    """Whose data a run holds: a dotted name in the trigger. All its payloads are sealed under that subject's key."""
    seal_result: bool = False
    """Whether they stay sealed where the run's outcome is published."""
    locks: tuple[LockForm, ...] = ()
    """By name."""

    def every_step(self) -> Iterator[StepForm]:
        """All steps, with those that others repeat."""
        yield from _with_repeated(self.steps)

    def step(self, path: str) -> StepForm:
        """The step of this path; raises `KeyError` for one the definition does not have."""
        for step in self.steps:
            if step.path == path:
                return step
        raise KeyError(path)


def _with_repeated(steps: tuple[StepForm, ...]) -> Iterator[StepForm]:
    for step in steps:
        yield step
        if step.each is not None:
            yield from _with_repeated(step.each.steps)
        if step.loop is not None:
            yield from _with_repeated(step.loop.steps)


class HandlerSchemas(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler reads and writes, as JSON Schemas: stored beside the form, outside its hash (rule 14)."""

    parameters: dict[str, msgspec.Raw]
    result: msgspec.Raw
    """JSON `null` for a handler whose result is not used."""


class StoredDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What the table `definitions` holds under the form's hash."""

    form: DefinitionForm
    schemas: dict[str, HandlerSchemas]
    trigger_schema: msgspec.Raw
    topics: tuple[str, ...] = ()
    """On which its participants get commands and answer."""


_ADDED_LATER: Final[dict[str, object]] = {
    "wait": None,
    "each": None,
    "loop": None,
    "pending": None,
    "verify_after_ms": 0,
    "subject": None,
    "seal_result": False,
    "locks": (),
}
"""Fields that the form has had since its first release, with what they hold where nobody uses them.

Each is left out of the hash there: a definition that says nothing new keeps its hash, so its open runs go on with it.
The names are those of no other field.
"""


def graph_hash(form: DefinitionForm) -> str:
    """Lower-case hex SHA-256 of the form's canonical JSON, without the fields of `_ADDED_LATER` that say nothing."""
    return sha256_hex(encode(_without_unused(msgspec.to_builtins(form))))


def _without_unused(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: _without_unused(inner)
            for name, inner in value.items()
            if name not in _ADDED_LATER or inner != _ADDED_LATER[name]
        }
    return [_without_unused(inner) for inner in value] if isinstance(value, list | tuple) else value


_stored_decoder = msgspec.json.Decoder(StoredDefinition)


def read_stored(data: bytes) -> StoredDefinition:
    """Decode a stored definition. Raises `msgspec.ValidationError` with the path of what does not fit."""
    return _stored_decoder.decode(data)
