"""`amends.connecting`: what a connector of a user's own may rely on; the conformance kit tries the rest."""

from collections.abc import Callable
from typing import Any

import pytest

from amends import StepRefused, StepUnavailable, StepUnknown, connecting
from amends.connecting import current_attempt, promise, sending, value_of
from amends.connectors.sending import EffectInPart
from amends.coordinator.attempt import CALLS_MAX, TEXT_CHARACTERS_MAX, Attempt, attempting
from amends.coordinator.errors import UsageError
from amends.coordinator.redaction import redact
from amends.schemas.canonical import encode
from amends.schemas.entry import ENTRY_BYTES_MAX, EXTERNAL_BYTES
from amends.schemas.events import EvidenceRecorded
from amends.testing import connector_kit


def attempt(**more: Any) -> Attempt:
    return connector_kit.attempt_at(connector_kit.new_saga_id(), **more)


def statuses(made: Attempt) -> list[str]:
    return [note.status for note in made.notes if isinstance(note, EvidenceRecorded)]


def send(error: BaseException | None = None, *, resource: str = "P-1", part: str | None = None) -> None:
    with sending("labels", action="put", resource=resource, part=part) as request:
        if error is not None:
            raise error
        request.status = "laid down"


REFUSED = StepRefused("no room", kind="full")
AWAY = StepUnavailable("closed")


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        pytest.param(REFUSED, "full", id="refused"),
        pytest.param(AWAY, "unavailable", id="unavailable"),
        pytest.param(StepUnknown("no answer"), "lost", id="unknown"),
        pytest.param(KeyError("x"), "lost", id="anything else"),
    ],
)
def test_what_the_block_raises_is_what_the_handler_sees_and_evidence_of_it_is_left(
    raised: Exception, status: str
) -> None:
    with attempting(attempt()) as made, pytest.raises(type(raised)) as caught:
        send(raised)
    assert caught.value is raised
    assert statuses(made) == [status]


@pytest.mark.parametrize("failure", [REFUSED, AWAY])
def test_after_an_effect_no_failure_of_a_later_call_is_definite(failure: Exception) -> None:
    with attempting(attempt()) as made:
        send()
        with pytest.raises(EffectInPart, match="an earlier call of this attempt, to labels"):
            send(failure, part="second")
    assert statuses(made) == ["laid down", getattr(failure, "kind", "")]


def test_after_a_definite_failure_the_same_may_be_tried_again() -> None:
    with attempting(attempt()) as made:
        with pytest.raises(StepUnavailable):
            send(AWAY)
        send()
    assert statuses(made) == ["unavailable", "laid down"]


def test_a_refusal_takes_no_doubt_from_a_try_before_it() -> None:
    with attempting(attempt()), pytest.raises(StepUnknown):
        send(StepUnknown("no answer"))
    with attempting(attempt()):
        with pytest.raises(StepUnknown):
            send(StepUnknown("no answer"))
        with pytest.raises(EffectInPart):
            send(REFUSED)


def test_a_second_effect_under_one_key_is_stopped_unless_it_is_named() -> None:
    with attempting(attempt()):
        send()
        send(part="second", resource="P-2")
        with pytest.raises(UsageError, match="second effect under one key") as caught:
            send(resource="P-3")
    assert caught.value.code == "AM2004"


def test_evidence_is_text_that_a_log_can_hold_whatever_a_connector_calls_things() -> None:
    odd: Any = 201
    with attempting(attempt()) as made, sending("labels", action="put\ud800", resource=odd) as request:
        request.status, request.external_id = odd, odd
    with attempting(made), sending("labels", action="look", resource="x" * 1_000_000, acts=False) as request:
        request.status = request.external_id = "y" * 1_000_000
    first, second = (note for note in made.notes if isinstance(note, EvidenceRecorded))
    assert (first.action, first.resource, first.status, first.external_id) == ("put?", "201", "201", "201")
    assert second.resource == "x" * TEXT_CHARACTERS_MAX
    assert second.status == second.external_id == "y" * TEXT_CHARACTERS_MAX


def test_an_attempt_makes_so_many_calls_and_no_more() -> None:
    with attempting(attempt()) as made:
        for part in range(CALLS_MAX):
            send(part=str(part))
        with pytest.raises(StepUnavailable, match=f"may make {CALLS_MAX} calls; nothing was sent"):
            made.before_send(tool="labels", action="put", resource="P-1", acts=True)
        with pytest.raises(EffectInPart, match="nothing was sent"):
            send(part="one more")
    assert len(made.notes) == CALLS_MAX


def _repeat(call: Callable[[], None], *, times: int) -> None:
    for _ in range(times):
        call()


def test_however_long_its_evidence_an_attempt_with_a_result_beside_it_fits_an_entry() -> None:
    long, made = "\U0001f600" * TEXT_CHARACTERS_MAX, attempt()

    def call() -> None:
        made.before_send(tool="labels", action=long, resource=long, acts=True)
        made.record(tool="labels", action=long, resource=long, status=long, external_id=long)

    with pytest.raises(StepUnavailable, match="bytes of evidence; nothing was sent"):
        _repeat(call, times=CALLS_MAX)
    assert 50 < len(made.notes) < CALLS_MAX
    assert len(encode(made.notes)) + 2 * EXTERNAL_BYTES < ENTRY_BYTES_MAX - 64 * 1024, "a result may be escaped"


def test_an_undo_and_its_read_back_know_what_is_undone() -> None:
    made = attempt(undo=True, role="undo")
    with attempting(made):
        for part in (None, "second"):
            with sending("labels", action="call off", resource="P-1", part=part) as undo:
                pass
            saga_id = made.saga_id
            with (
                attempting(connector_kit.attempt_at(saga_id)),
                sending("labels", action="put", resource="P-1", part=part) as step,
            ):
                assert (undo.undoes, step.undoes) == (step.key, None)


@pytest.mark.parametrize(("number", "repeated"), [(1, False), (2, True)])
def test_a_request_says_whether_its_key_was_used_before(number: int, *, repeated: bool) -> None:
    with attempting(attempt(number=number)), sending("labels", action="put", resource="P-1") as request:
        assert request.repeated is repeated
        assert 0 < request.time_left_s() <= 30


def test_outside_an_attempt_nothing_is_sent() -> None:
    with pytest.raises(UsageError, match="'labels' was used outside an attempt"):
        send()
    with pytest.raises(UsageError, match="outside an attempt"):
        current_attempt("labels")


def test_a_promise_is_said_in_the_words_of_the_other_connectors() -> None:
    promised = promise("labels", idempotent="24h", tombstones=True, settle_s=30)
    assert (promised.deduplicates, promised.window_ms, promised.tombstones, promised.settle_ms) == (
        True,
        86_400_000,
        True,
        30_000,
    )
    assert promise("labels") == connecting.Certainty()
    with pytest.raises(UsageError, match="'labels'"):
        promise("labels", idempotent="a day")


def test_a_secret_is_read_at_its_use_and_then_kept_out_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINTER_TOKEN", "t0p-of-the-label")
    assert value_of("Bearer ${env:PRINTER_TOKEN}", secret=True) == "Bearer t0p-of-the-label"
    assert redact("it said t0p-of-the-label") == "it said [redacted]"


def test_all_that_is_public_is_there() -> None:
    assert all(hasattr(connecting, name) for name in connecting.__all__)
