"""Definitions in a line each: `saga(action("reserve"), action("charge", key=True), pivot("ship"))`.

Steps follow each other in the order they are written unless `after` says otherwise.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec.structs import replace

from amends.coordinator.definition.expression import Expression
from amends.coordinator.definition.form import (
    Argument,
    BudgetForm,
    Certainty,
    DefinitionForm,
    EachForm,
    HandlerForm,
    LockForm,
    LoopForm,
    PendingForm,
    RetryForm,
    StepForm,
    TriggerForm,
    UndoForm,
    WaitForm,
)

TIMEOUT_MS: Final = 1_000
SETTLE_WITHIN_MS: Final = 300_000
CONTEXT: Final = Argument(source="context")
TRIGGER: Final = Argument(source="trigger")
ORDER: Final = Argument(source="trigger", field="order")
_FOLLOWS: Final = ("the former step",)


def action(
    path: str,
    after: tuple[str, ...] = _FOLLOWS,
    *,
    takes: tuple[str, ...] = (),
    when: Expression | None = None,
    verify: bool = False,
    lookup: bool = False,
    key: bool = False,
    window_ms: int | None = None,
    tombstones: bool = False,
    settle_ms: int = 0,
    settle: Literal["resend", "wait"] = "resend",
    settle_within_ms: int = SETTLE_WITHIN_MS,
    attempts: int = 3,
    undo: bool = True,
    undo_verify: bool = True,
    undo_attempts: int = 5,
    undo_takes_unknown: bool = True,
    within_ms: int = 1_000,
    drain_within_ms: int = 60_000,
    pending_ms: int | None = None,
    undo_pending_ms: int | None = None,
) -> StepForm:
    """A step that acts, with its undo. `takes` names steps whose result it cannot do without."""
    certainty = Certainty(
        deduplicates=key,
        window_ms=window_ms,
        tombstones=tombstones,
        settle_ms=settle_ms,
        settle=settle,
        settle_within_ms=settle_within_ms,
    )
    return StepForm(
        path=path,
        kind="action",
        handler=_handler(path, takes=takes),
        after=(*after, *(each for each in takes if each not in after)) if after != _FOLLOWS else (*_FOLLOWS, *takes),
        when=when,
        verify=_handler(f"{path}.verify", within_ms=within_ms) if verify else None,
        lookup=_handler(f"{path}.lookup") if lookup else None,
        undo=UndoForm(
            handler=_handler(f"{path}.undo", own=path, own_known=not undo_takes_unknown),
            verify=_handler(f"{path}.undo.verify", within_ms=within_ms) if undo_verify else None,
            retry=_retry(undo_attempts),
            certainty=certainty,
            takes_unknown=undo_takes_unknown,
            pending=_pending(undo_pending_ms),
        )
        if undo
        else None,
        pending=_pending(pending_ms),
        retry=_retry(attempts),
        certainty=certainty,
        drain_within_ms=drain_within_ms,
    )


def read_back_later(step: StepForm, *, after_ms: int = 0, undo_after_ms: int = 0) -> StepForm:
    """The same step with read-backs that are asked so long after, and not before the end; 0 leaves one as it is."""
    if after_ms:
        verify = step.verify or _handler(f"{step.path}.verify", within_ms=1_000)
        step = replace(step, verify=replace(verify, verify_after_ms=after_ms))
    if undo_after_ms and step.undo is not None:
        verify = step.undo.verify or _handler(f"{step.path}.undo.verify", within_ms=1_000)
        step = replace(step, undo=replace(step.undo, verify=replace(verify, verify_after_ms=undo_after_ms)))
    return step


def pivot(
    path: str,
    after: tuple[str, ...] = _FOLLOWS,
    *,
    verify: bool = False,
    lookup: bool = False,
    key: bool = False,
    settle_ms: int = 0,
    attempts: int = 3,
    when: Expression | None = None,
    drain_within_ms: int = 60_000,
    pending_ms: int | None = None,
) -> StepForm:
    """The step behind which the run only goes forward."""
    step = action(
        path,
        after,
        verify=verify,
        lookup=lookup,
        key=key,
        settle_ms=settle_ms,
        attempts=attempts,
        when=when,
        undo=False,
        drain_within_ms=drain_within_ms,
        pending_ms=pending_ms,
    )
    return replace(step, pivot=True, irreversible=True)


def retriable(path: str, after: tuple[str, ...] = _FOLLOWS, *, key: bool = True, attempts: int = 3) -> StepForm:
    """A step behind the pivot: it has no undo."""
    return action(path, after, key=key, attempts=attempts, undo=False)


def for_each(
    path: str,
    *steps: StepForm,
    items: Argument,
    after: tuple[str, ...] = _FOLLOWS,
    returns: str | None = None,
    key: str = "",
    concurrency: int = 10,
    items_max: int = 100,
    policy: Literal["all", "collect"] = "all",
    when: Expression | None = None,
) -> StepForm:
    """A step that does others for every item. Theirs follow each other as those of a saga do."""
    handler = HandlerForm(name=path, arguments={"items": items}, timeout_ms=TIMEOUT_MS)
    each = EachForm(
        steps=_in_order(steps),
        returns=returns or steps[-1].path,
        key=key,
        concurrency=concurrency,
        items_max=items_max,
        policy=policy,
    )
    return StepForm(path=path, kind="for_each", handler=handler, after=after, each=each, when=when)


def loop(
    path: str,
    *steps: StepForm,
    until: Expression,
    after: tuple[str, ...] = _FOLLOWS,
    rounds_max: int = 3,
    every_ms: int = 0,
    on_max: Literal["fail", "go_on"] = "fail",
) -> StepForm:
    """A step that does others again and again."""
    form = LoopForm(
        steps=_in_order(steps),
        returns=steps[-1].path,
        until=until,
        rounds_max=rounds_max,
        every_ms=every_ms,
        on_max=on_max,
    )
    handler = HandlerForm(name=path, arguments={}, timeout_ms=TIMEOUT_MS)
    return StepForm(path=path, kind="loop", handler=handler, after=after, loop=form)


def read(
    path: str,
    after: tuple[str, ...] = _FOLLOWS,
    *,
    takes: tuple[str, ...] = (),
    when: Expression | None = None,
    attempts: int = 3,
) -> StepForm:
    """A step that changes nothing."""
    step = action(path, after, takes=takes, when=when, attempts=attempts, undo=False)
    return replace(step, kind="read")


def wait(
    path: str,
    after: tuple[str, ...] = _FOLLOWS,
    *,
    key: Argument = ORDER,
    timeout_ms: int = 10_000,
    on_timeout: Literal["fail", "skip", "park"] = "fail",
    when: Expression | None = None,
) -> StepForm:
    """A step that waits for a message of type `Arrival`."""
    step = read(path, after, takes=(key.step,) if key.step is not None else (), when=when)
    handler = HandlerForm(name=path, arguments={"correlation": key}, timeout_ms=timeout_ms)
    awaited = WaitForm(awaits="message", message_type="Arrival", on_timeout=on_timeout)
    return replace(step, kind="wait", handler=handler, wait=awaited)


def pause(path: str, after: tuple[str, ...] = _FOLLOWS, *, lasts_ms: int = 10_000) -> StepForm:
    """A step that lets time pass."""
    handler = HandlerForm(name=path, arguments={}, timeout_ms=lasts_ms)
    return replace(read(path, after), kind="wait", handler=handler, wait=WaitForm(awaits="pause"))


def until(path: str, after: tuple[str, ...] = _FOLLOWS, *, field: str = "ship_at") -> StepForm:
    """A step that waits for the instant in a field of the trigger."""
    handler = HandlerForm(name=path, arguments={"until": Argument(source="trigger", field=field)}, timeout_ms=1_000)
    return replace(read(path, after), kind="wait", handler=handler, wait=WaitForm(awaits="instant"))


def expect(path: str, after: tuple[str, ...] = _FOLLOWS, *, takes: tuple[str, ...] = (), attempts: int = 3) -> StepForm:
    """What `@saga.expect` makes: a read that is asked once everything is done."""
    return replace(read(path, after, takes=takes, attempts=attempts), kind="expect")


def result(path: str = "outcome") -> StepForm:
    """What `@saga.result` makes: a read that comes last."""
    return replace(read(path), kind="result")


def saga(
    *steps: StepForm,
    deadline_ms: int = 3_600_000,
    wall_ms: int | None = None,
    attempts: int | None = None,
    entries: int | None = None,
    locks: tuple[str, ...] = (),
) -> DefinitionForm:
    """A definition of these steps."""
    return DefinitionForm(
        name="order",
        version=1,
        trigger=TriggerForm(topic="orders", model="Order", idempotency_key="id", business_key="order"),
        steps=_in_order(steps),
        deadline_ms=deadline_ms,
        budget=BudgetForm(wall_ms=wall_ms, attempts=attempts, entries=entries),
        locks=tuple(LockForm(name=name, field=name) for name in locks),
    )


def _in_order(steps: Iterable[StepForm]) -> tuple[StepForm, ...]:
    placed: list[StepForm] = []
    for step in steps:
        follows = (placed[-1].path,) if placed else ()
        after = {each for each in step.after if each not in _FOLLOWS}
        after.update(follows if _FOLLOWS[0] in step.after else ())
        placed.append(replace(step, after=tuple(sorted(after))))
    return tuple(placed)


def _pending(within_ms: int | None) -> PendingForm | None:
    return None if within_ms is None else PendingForm(within_ms=within_ms)


def _retry(attempts: int) -> RetryForm:
    return RetryForm(attempts=attempts, wait_ms=200, factor=2, jitter_percent=20, wait_max_ms=5_000)


def _handler(
    name: str, *, takes: tuple[str, ...] = (), within_ms: int = 0, own: str | None = None, own_known: bool = False
) -> HandlerForm:
    arguments: Mapping[str, Argument] = {
        "ctx": CONTEXT,
        "trigger": TRIGGER,
        **{each: Argument(source="result", step=each) for each in takes},
        **({"own": Argument(source="result" if own_known else "maybe", step=own)} if own is not None else {}),
    }
    return HandlerForm(name=name, arguments=dict(arguments), timeout_ms=TIMEOUT_MS, within_ms=within_ms)
