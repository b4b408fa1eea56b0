"""What `Http` sends, how often, and what it says about the effect, against a real server that fails in every way."""

import asyncio
from uuid import UUID, uuid4, uuid5

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from amends.connectors.http import Http
from amends.connectors.sending import EffectInPart
from amends.coordinator.attempt import Attempt, attempting
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.testing.attempts import attempt_at, new_saga_id, step_key
from amends.schemas.events import EvidenceRecorded
from tests.contract.connectors.books import BOOKS

KEYED = "Idempotency-Key"


class Done(BaseModel):
    id: str


@pytest.fixture
def thing() -> str:
    return f"t-{uuid4().hex[:8]}"


@pytest.fixture
def plain(http_url: str) -> Http:
    return Http("payments", base_url=http_url, timeout_s=0.5)


@pytest.fixture
def keyed(http_url: str) -> Http:
    return Http("payments", base_url=http_url, idempotency_header=KEYED, timeout_s=0.5)


def step(**changes: object) -> Attempt:
    return attempt_at(new_saga_id(), **changes)  # type: ignore[arg-type]


async def test_a_request_says_whose_it_is(keyed: Http, thing: str) -> None:
    saga_id = new_saga_id()
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with attempting(replace(attempt_at(saga_id, epoch=9), traceparent=traceparent)):
        await keyed.post(f"/dedup/{thing}/do?a=1", json={"n": 1}, params={"b": True, "c": None}, returns=Done)
    (request,) = await BOOKS.requests(thing)
    assert request["target"] == f"/dedup/{thing}/do?a=1&b=true"
    assert request["body"] == '{"n":1}'
    wanted = {
        "idempotency-key": step_key(saga_id),
        "amends-saga-id": saga_id,
        "amends-epoch": "9",
        "traceparent": traceparent,
        "content-type": "application/json",
    }
    assert wanted.items() <= request["headers"].items()
    assert "amends-undoes" not in request["headers"]


async def test_an_undo_names_the_key_it_undoes_and_a_part_has_a_key_of_its_own(keyed: Http, thing: str) -> None:
    saga_id = new_saga_id()
    with attempting(attempt_at(saga_id, role="undo", undo=True)) as attempt:
        await keyed.post(f"/dedup/{thing}/undo")
        await keyed.post(f"/dedup/{thing}/undo", json=2, part="second")
    first, second = (request["headers"] for request in await BOOKS.requests(thing))
    assert first["idempotency-key"] == attempt.idempotency_key
    assert first["amends-undoes"] == step_key(saga_id)
    assert second["idempotency-key"] == str(uuid5(UUID(attempt.idempotency_key), "second"))
    assert second["amends-undoes"] == str(uuid5(UUID(step_key(saga_id)), "second"))


async def test_a_reader_sends_no_key(keyed: Http, thing: str) -> None:
    with attempting(step(role="verify")):
        await keyed.get(f"/plain/{thing}/do", returns=Done)
        await keyed.post(f"/plain/{thing}/search", json={"q": 1}, acts=False)
    assert all("idempotency-key" not in request["headers"] for request in await BOOKS.requests(thing))


@pytest.mark.parametrize(
    ("status", "number", "verdict", "kind"),
    [
        pytest.param(400, 1, StepRefused, "refused", id="400 is a refusal"),
        pytest.param(401, 1, StepRefused, "permission_denied", id="401 is a refusal of permission"),
        pytest.param(403, 1, StepRefused, "permission_denied", id="403 is a refusal of permission"),
        pytest.param(404, 1, StepRefused, "refused", id="404 is a refusal unless missing= says otherwise"),
        pytest.param(409, 1, StepRefused, "refused", id="409 to the first request under a key is a refusal"),
        pytest.param(422, 1, StepRefused, "refused", id="422 to the first request under a key is a refusal"),
        pytest.param(402, 2, StepRefused, "refused", id="402 to a repetition is a refusal"),
        pytest.param(401, 2, StepUnknown, "in_doubt", id="401 to a repetition says nothing of the first request"),
        pytest.param(409, 2, StepUnknown, "in_doubt", id="409 to a repetition may mean that the first still runs"),
        pytest.param(422, 2, StepUnknown, "in_doubt", id="422 to a repetition may mean another body under the key"),
        pytest.param(408, 1, StepUnavailable, "unavailable", id="408 may pass"),
        pytest.param(425, 1, StepUnavailable, "unavailable", id="425 may pass"),
        pytest.param(429, 1, StepUnavailable, "unavailable", id="429 may pass"),
        pytest.param(302, 1, StepUnknown, "in_doubt", id="302 after an action is no answer"),
        pytest.param(303, 1, StepUnknown, "in_doubt", id="303 after an action is no answer"),
        pytest.param(308, 1, StepRefused, "refused", id="308 says that nothing was done here"),
        pytest.param(500, 1, StepUnknown, "in_doubt", id="500 leaves an action in doubt"),
        pytest.param(503, 1, StepUnknown, "in_doubt", id="503 leaves an action in doubt"),
    ],
)
async def test_what_a_status_says_of_an_action(  # noqa: PLR0917  a table's columns
    plain: Http, thing: str, status: int, number: int, verdict: type[Exception], kind: str
) -> None:
    await BOOKS.set_fault(thing, str(status))
    with attempting(step(number=number)) as attempt, pytest.raises(verdict) as caught:
        await plain.post(f"/plain/{thing}/do")
    assert getattr(caught.value, "kind", None) == kind
    assert f"POST /plain/{thing}/do was answered {status}" in str(caught.value)
    assert bool(attempt.acted) == (verdict is StepUnknown)
    assert len(await BOOKS.requests(thing)) == 1
    assert await BOOKS.applied(thing) == 0


@pytest.mark.parametrize(
    ("status", "verdict", "requests"),
    [
        pytest.param(404, StepRefused, 1, id="404 refuses a reader"),
        pytest.param(302, StepRefused, 1, id="a redirect is not followed"),
        pytest.param(429, StepUnavailable, 3, id="429 is asked again within the attempt"),
        pytest.param(500, StepUnavailable, 1, id="500 does not pass within seconds"),
        pytest.param(503, StepUnavailable, 3, id="503 is asked again within the attempt"),
    ],
)
async def test_what_a_status_says_to_a_reader(
    plain: Http, thing: str, status: int, verdict: type[Exception], requests: int
) -> None:
    await BOOKS.set_fault(thing, str(status))
    with attempting(step(role="lookup")), pytest.raises(verdict):
        await plain.get(f"/plain/{thing}/do")
    assert len(await BOOKS.requests(thing)) == requests


@pytest.mark.parametrize("status", [409, 422])
async def test_a_declared_final_word_is_one_even_to_a_repetition(http_url: str, thing: str, status: int) -> None:
    http = Http("payments", base_url=http_url, idempotency_header=KEYED, definite={status})
    await BOOKS.set_fault(thing, str(status))
    with attempting(step(number=2)), pytest.raises(StepRefused, match="as_asked"):
        await http.post(f"/dedup/{thing}/do")


@pytest.mark.parametrize("fault", ["lose", "reset", "error", "slow", "garbage", "shape", "large", "compressed", "cut"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_an_action_that_took_effect_is_never_called_a_failure_nor_sent_twice(
    http_url: str, thing: str, method: str, fault: str
) -> None:
    http = Http("payments", base_url=http_url, timeout_s=0.5, response_bytes_max=1_000)
    await BOOKS.set_fault(thing, fault)
    with attempting(step()) as attempt, pytest.raises(StepUnknown) as caught:
        await getattr(http, method)(f"/plain/{thing}/do", returns=Done)
    assert await BOOKS.applied(thing) == 1
    assert len(await BOOKS.requests(thing)) == 1
    assert attempt.acted
    assert "4111-1111" not in f"{caught.value!r} {caught.value.__cause__!r} {attempt.notes}"


@pytest.mark.parametrize("method", ["put", "delete"])
async def test_a_kept_connection_that_breaks_is_no_reason_to_act_twice(plain: Http, thing: str, method: str) -> None:
    with attempting(step()):
        await plain.get(f"/plain/{thing}-other/do")  # so that there is a kept connection
        await BOOKS.set_fault(thing, "reset")
        with pytest.raises(StepUnknown):
            await getattr(plain, method)(f"/plain/{thing}/do")
    assert await BOOKS.applied(thing) == 1


@pytest.mark.parametrize("fault", ["first-lose", "first-reset", "first-slow", "first-503", "first-504"])
async def test_a_participant_with_keys_is_asked_again_within_the_attempt(keyed: Http, thing: str, fault: str) -> None:
    await BOOKS.set_fault(thing, fault)
    with attempting(step()):
        assert await keyed.post(f"/dedup/{thing}/do", returns=Done) == Done(id=f"do-{thing}-1")
    first, second = await BOOKS.requests(thing)
    assert first["headers"]["idempotency-key"] == second["headers"]["idempotency-key"]
    assert await BOOKS.applied(thing) == 1


async def test_a_try_that_was_never_sent_takes_no_doubt_from_the_one_before(thing: str, http_url: str) -> None:
    http = Http("payments", base_url=http_url, idempotency_header=KEYED, timeout_s=5)
    saga_id, left = new_saga_id(), iter([10.0, 10.0, 0.0])
    attempt = replace(attempt_at(saga_id), lease_left_s=lambda: next(left))  # the lease ends between two tries
    await BOOKS.set_fault(thing, "lose")
    with attempting(attempt), pytest.raises(StepUnknown, match="lease"):
        await http.post(f"/dedup/{thing}/do")
    assert await BOOKS.applied(thing) == 1


async def test_a_longer_wait_than_seconds_is_left_to_the_saga(plain: Http, thing: str) -> None:
    await BOOKS.set_fault(thing, "429")
    with attempting(step()), pytest.raises(StepUnavailable) as caught:
        await plain.post(f"/plain/{thing}/do")
    assert caught.value.retry_after == 1


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:1", "http://no-such-host.invalid", "https://127.0.0.1:{port}"],
    ids=["nobody listens", "no such host", "no TLS there"],
)
async def test_what_never_left_is_known_to_be_without_effect(http_url: str, thing: str, base_url: str) -> None:
    http = Http("payments", base_url=base_url.format(port=http_url.rpartition(":")[2]), retries=0)
    with attempting(step()) as attempt, pytest.raises(StepUnavailable, match="was not sent"):
        await http.post(f"/plain/{thing}/do")
    assert not attempt.acted
    assert attempt.notes == []


@pytest.mark.parametrize(
    "path", ["do", "/../do", "/a/%2e%2E/do", "/a\\b", "/a b", "/a#b", "//x\n", "https://other.example/"]
)
async def test_a_path_never_leads_away_from_the_base_url(plain: Http, path: str) -> None:
    with attempting(step()), pytest.raises(StepRefused) as caught:
        await plain.post(path)
    assert caught.value.kind == "invalid_request"


async def test_what_cannot_be_written_is_refused_before_anything_is_sent(plain: Http, thing: str) -> None:
    with attempting(step()) as attempt:
        with pytest.raises(StepRefused, match="JSON cannot"):
            await plain.post(f"/plain/{thing}/do", json={"o": object()})
        with pytest.raises(StepRefused, match="control characters"):
            await plain.post(f"/plain/{thing}/do", headers={"X": "a\r\nY: b"})
    assert not attempt.acted
    assert await BOOKS.requests(thing) == []


async def test_a_reference_that_leads_nowhere_is_definite(thing: str) -> None:
    http = Http("payments", base_url="${env:AMENDS_TEST_NO_SUCH_VARIABLE}")
    with attempting(step()), pytest.raises(StepUnavailable, match="AM2002"):
        await http.post(f"/plain/{thing}/do")


async def test_missing_is_what_the_caller_says(keyed: Http, thing: str) -> None:
    with attempting(step(role="lookup")):
        assert await keyed.get(f"/keys/{thing}", returns=Done, missing=None) is None
        assert await keyed.get(f"/keys/{thing}", missing=False) is False
    await BOOKS.set_fault(thing, "410")
    with attempting(step()) as attempt:
        await keyed.delete(f"/plain/{thing}/do", missing=None)
    assert not attempt.acted


async def test_a_second_effect_under_one_key_is_stopped_before_it_is_sent(keyed: Http, thing: str) -> None:
    with attempting(step()):
        await keyed.post(f"/dedup/{thing}/do", json=1)
        await keyed.post(f"/dedup/{thing}/do", json=1)  # the same request is a repetition
        with pytest.raises(UsageError, match="second effect under one key") as caught:
            await keyed.post(f"/dedup/{thing}/do", json=2)
    assert caught.value.code == "AM2004"
    assert await BOOKS.applied(thing) == 1


async def test_after_an_effect_no_failure_of_a_later_call_is_called_definite(plain: Http, thing: str) -> None:
    await BOOKS.set_fault(thing, "422")
    with attempting(step()):
        await plain.post(f"/plain/{thing}-before/do")
        with pytest.raises(EffectInPart, match="was answered 422 as_asked; an earlier call"):
            await plain.post(f"/plain/{thing}/do")
        with pytest.raises(EffectInPart):
            await plain.get(f"/plain/{thing}/do")
        with pytest.raises(EffectInPart):
            await Http("stock", base_url="http://127.0.0.1:1", retries=0).post("/x")


async def test_evidence_names_what_was_done_and_no_query(http_url: str, thing: str) -> None:
    http = Http("payments", base_url=http_url, external_id="id")
    by_location = Http("payments", base_url=http_url)
    with attempting(step()) as attempt:
        await http.post(f"/plain/{thing}/do?token=hush", returns=Done)
        await http.get(f"/plain/{thing}/do")
        await by_location.post(f"/plain/{thing}/do")
    first, second, third = attempt.notes
    assert isinstance(third, EvidenceRecorded)
    assert third.external_id == f"/things/{thing}"
    assert isinstance(first, EvidenceRecorded)
    assert isinstance(second, EvidenceRecorded)
    assert (first.tool, first.action, first.resource) == ("payments", "POST", f"/plain/{thing}/do")
    assert (first.status, first.external_id) == ("201", f"do-{thing}-1")
    assert (second.action, second.external_id) == ("GET", None)


async def test_a_cancelled_call_leaves_its_doubt_behind(http_url: str, thing: str) -> None:
    http = Http("payments", base_url=http_url, timeout_s=20)
    await BOOKS.set_fault(thing, "slow")
    attempt = step()

    async def act() -> None:
        with attempting(attempt):
            await http.post(f"/plain/{thing}/do")

    task = asyncio.create_task(act())
    async with asyncio.timeout(10):
        while not await BOOKS.requests(thing):  # noqa: ASYNC110  the event is in another process
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempt.acted
    assert [note.status for note in attempt.notes if isinstance(note, EvidenceRecorded)] == ["lost"]


async def test_a_large_body_is_sent_whole(plain: Http, thing: str) -> None:
    with attempting(step()):
        await plain.post(f"/plain/{thing}/do", json="x" * 2_000_000)
        await plain.post(f"/plain/{thing}/do", form={"field": "ä b&c"})
    large, form = await BOOKS.requests(thing)
    assert len(large["body"]) == 2_000_002
    assert form["body"] == "field=%C3%A4+b%26c"
    assert form["headers"]["content-type"] == "application/x-www-form-urlencoded"
