"""Intents: what a request carries into the log before its effect (rules 1 to 3)."""

from msgspec.structs import replace

from amends.coordinator.core.messages import RerunOf
from amends.coordinator.definition.form import Argument, StepForm
from amends.schemas import events as e
from amends.schemas.canonical import digest, encode
from amends.schemas.ids import effect_key_of
from tests.simulation.definitions import action, read, result, saga
from tests.simulation.run import Run


def test_an_effects_key_is_derived_from_run_path_direction_and_generation() -> None:
    run = Run.of(saga(action("a"), read("bad")))
    saga_id = run.get().saga_id
    run.unavailable("a")
    run.tick()
    run.ok("a")
    run.refused("bad")
    keys = [event.idempotency_key for event in run.events if isinstance(event, e.StepRequested | e.UndoRequested)]
    assert keys == [
        effect_key_of(saga_id=saga_id, path="a", direction="forward", generation=0),
        effect_key_of(saga_id=saga_id, path="a", direction="forward", generation=1),
        None,
        effect_key_of(saga_id=saga_id, path="a", direction="undo", generation=0),
    ]


def test_runs_of_other_requests_have_other_keys() -> None:
    one, other = Run.of(saga(action("a"))), Run(plan=Run.of(saga(action("a"))).plan, request="R-2")
    other.start()
    assert one.effect("a").key != other.effect("a").key


def test_a_rerun_begins_as_a_trigger_does_and_says_of_what_it_is_the_next_generation_and_why() -> None:
    first = Run.of(saga(action("a")))
    again = Run(plan=first.plan)
    former = first.get().saga_id
    assert again.start(rerun=RerunOf(former=former, reason="mended")) == ["started", "rerun: mended", "request a"]
    assert [event for event in again.events if isinstance(event, e.RerunStarted)] == [
        e.RerunStarted(former=former, reason="mended")
    ]
    assert again.get().generation == 1
    assert again.effect("a").key not in {None, first.effect("a").key}


def test_the_argument_digest_tells_which_values_a_handler_gets() -> None:
    step = action("a", takes=("look",))
    run = Run.of(saga(read("look"), step), trigger={"order": "A-12"})
    run.ok("look", {"price": 3})
    assert run.effect("a").arguments == digest(
        encode({"trigger": [run.get().trigger, ""], "look": [run.effect("look").result, ""]})
    )


def test_other_values_or_another_way_into_them_are_other_arguments() -> None:
    def arguments(trigger: object, step: StepForm) -> str | None:
        return Run.of(saga(step), trigger=trigger).effect("a").arguments

    plain = action("a")
    into = replace(
        plain,
        handler=replace(plain.handler, arguments={"trigger": Argument(source="trigger", field="order")}),
    )
    assert arguments({"order": 1}, plain) == arguments({"order": 1}, plain)
    assert len({arguments({"order": 1}, plain), arguments({"order": 2}, plain), arguments({"order": 1}, into)}) == 3


def test_the_context_is_no_argument() -> None:
    step = action("a")
    bare = replace(step, handler=replace(step.handler, arguments={"trigger": Argument(source="trigger")}))
    assert Run.of(saga(step)).effect("a").arguments == Run.of(saga(bare)).effect("a").arguments


def test_an_undo_gets_what_its_step_returned_or_that_nobody_knows() -> None:
    known, unknown = Run.of(saga(action("a"), read("bad"))), Run.of(saga(action("a"), read("bad")))
    known.ok("a")
    known.refused("bad")
    unknown.raises("a")

    def expected(run: Run, own: str | None) -> str:
        return digest(encode({"trigger": [run.get().trigger, ""], "own": [own, ""]}))

    assert known.effect("undo of a").arguments == expected(known, known.effect("a").result)
    assert unknown.effect("undo of a").arguments == expected(unknown, None)


def test_only_a_request_that_may_have_had_an_effect_is_the_same_request() -> None:
    run = Run.of(saga(action("a", key=True, attempts=9), read("bad")))
    run.unknown("a")
    run.tick()
    assert run.effect("a").same_request
    run.refused("a", kind="refused")
    run = Run.of(saga(action("a")))
    run.unavailable("a")
    run.tick()
    assert not run.effect("a").same_request, "a new key is a new request"


def test_a_read_never_repeats_a_request() -> None:
    run = Run.of(saga(read("look")))
    run.raises("look")
    run.tick()
    assert not run.effect("look").same_request


def test_the_trigger_is_recorded_with_its_origin_and_the_deadline() -> None:
    run = Run.of(saga(read("look"), result(), deadline_ms=60_000), trigger={"order": 1})
    event = run.events[0]
    assert isinstance(event, e.SagaStarted)
    state = run.get()
    assert (state.idempotency_key, state.business_key, state.generation) == ("R-1", "A-12", 0)
    assert state.trigger == event.trigger == digest(b'{"order":1}')
    assert event.origin == e.Origin(topic="orders", partition=0, offset=1) == state.origin
    assert event.deadline_at == "2026-11-21T14:01:00.000000Z"
    assert (state.started_at, state.running_since) == (run.now, run.now)
