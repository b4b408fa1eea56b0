"""The schema registry's client, against an HTTP server that speaks its protocol and can be made to fail."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from amends.connectors.kafka.registry import SchemaRegistry
from amends.coordinator.bootstrap import open_registry
from amends.coordinator.config import Settings, shown
from amends.coordinator.errors import BusUnavailable, UsageError
from amends.coordinator.redaction import redact
from amends.schemas.avro.codec import WriterSchema, write_datum, writer_schema
from amends.schemas.decoding import Writers
from amends.schemas.outcome import OUTCOMES
from amends.schemas.record import Record
from amends.schemas.trigger import Acceptor, Rejected, TopicSpec, read

TEXT = {"schema": '"string"'}
INNER = {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "long"}]}
OUTER = {"type": "record", "name": "Outer", "fields": [{"name": "inner", "type": "Inner"}]}
ANY = Acceptor(saga="order", validate=lambda _payload: None)
REFERENCE = {"name": "Inner", "subject": "inner value", "version": 3}


@dataclass
class Registry:
    """What the server answers by path, and what it was asked."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    status: int = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.raw_path}")
        self.logins.append(request.headers.get("Authorization"))
        if request.can_read_body:
            self.bodies.append(await request.json())
        answer = self.answers.get(request.raw_path)
        if self.status != 200:
            return web.Response(status=self.status, text="no")
        if answer is None:
            return web.json_response({"error_code": 40403}, status=404)
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Registry]:
    registry = Registry()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    registry.url = f"http://127.0.0.1:{port}"
    yield registry
    await runner.cleanup()


async def test_a_schema_is_asked_for_once_and_known_from_then_on(server: Registry) -> None:
    server.answers["/schemas/ids/7"] = TEXT
    async with SchemaRegistry(server.url + "/") as registry:
        assert registry.known(7) is None
        assert await registry.fetch(7) == writer_schema("string")
        assert await registry.fetch(7) == registry.known(7) == writer_schema("string")
    assert server.asked == ["GET /schemas/ids/7"]


async def test_an_unknown_id_is_asked_for_again_after_a_while(server: Registry) -> None:
    clock = [100.0]
    async with SchemaRegistry(server.url, now_s=lambda: clock[0]) as registry:
        assert await registry.fetch(7) is None
        assert await registry.fetch(7) is None
        assert len(server.asked) == 1
        server.answers["/schemas/ids/7"] = TEXT
        clock[0] += 11
        assert isinstance(await registry.fetch(7), WriterSchema)


async def test_an_id_that_no_registry_gives_is_unknown_without_asking(server: Registry) -> None:
    server.status = 400
    async with SchemaRegistry(server.url) as registry:
        assert await registry.fetch(2**31) is None
    assert server.asked == []


async def test_references_are_followed(server: Registry) -> None:
    server.answers["/schemas/ids/7"] = {"schema": json.dumps(OUTER), "references": [REFERENCE]}
    server.answers["/subjects/inner%20value/versions/3"] = {"schema": json.dumps(INNER), "id": 3}
    async with SchemaRegistry(server.url) as registry:
        schema = await registry.fetch(7)
    assert isinstance(schema, WriterSchema)
    assert schema.read(write_datum(schema, {"inner": {"a": 5}}), 0) == {"inner": {"a": 5}}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param({"schema": "message M {}", "schemaType": "PROTOBUF"}, "of type PROTOBUF", id="protobuf"),
        pytest.param({"schema": '{"type":"nonsense"}'}, "nonsense", id="no Avro schema"),
        pytest.param({"id": 7}, "there is none", id="no schema at all"),
        pytest.param(
            {"schema": json.dumps(OUTER), "references": [REFERENCE]},
            "does not have",
            id="a reference that is not there",
        ),
        pytest.param(
            {"schema": json.dumps(OUTER), "references": [{"name": "x"}]}, "followed", id="a reference that is none"
        ),
        pytest.param({"schema": json.dumps({"type": "string", "doc": "x" * 1_100_000})}, "allowed", id="1.1 MB"),
        pytest.param({"schema": json.dumps({"type": "string", "doc": "x" * 3_000_000})}, "allowed", id="3 MB"),
    ],
)
async def test_what_cannot_be_used_is_unknown_and_a_record_that_names_it_says_why(
    server: Registry, answer: dict[str, Any], why: str
) -> None:
    server.answers["/schemas/ids/7"] = answer
    async with SchemaRegistry(server.url) as registry:
        assert await registry.fetch(7) is None
        record = Record(topic="orders", partition=0, offset=0, value=b"\0\0\0\0\x07abc")
        (rejected,) = read(record, TopicSpec(topic="orders", acceptors=[ANY], writers=Writers(lookup=registry.known)))
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "unknown_schema"
    assert rejected.detail.startswith("the registry's schema 7 cannot be used: ")
    assert why in rejected.detail


async def test_a_schema_that_was_mended_is_used(server: Registry) -> None:
    clock = [100.0]
    server.answers["/schemas/ids/7"] = {"schema": "message M {}", "schemaType": "PROTOBUF"}
    async with SchemaRegistry(server.url, now_s=lambda: clock[0]) as registry:
        await registry.fetch(7)
        server.answers["/schemas/ids/7"] = TEXT
        clock[0] += 11
        await registry.fetch(7)
        assert registry.known(7) == writer_schema("string")


async def test_a_proxy_that_has_no_registry_is_not_taken_for_one_that_has_no_schema(server: Registry) -> None:
    server.status = 404
    async with SchemaRegistry(server.url) as registry:
        with pytest.raises(UsageError, match="answered 404: no"):
            await registry.fetch(7)


async def test_references_in_a_circle_end(server: Registry) -> None:
    circle = {"schema": '"string"', "references": [REFERENCE]}
    server.answers["/schemas/ids/7"] = server.answers["/subjects/inner%20value/versions/3"] = circle
    async with SchemaRegistry(server.url) as registry:
        await registry.fetch(7)
    assert len(server.asked) == 2


async def test_json_schemas_are_known_as_such(server: Registry) -> None:
    server.answers["/schemas/ids/7"] = {"schema": "{}", "schemaType": "JSON"}
    async with SchemaRegistry(server.url) as registry:
        assert await registry.fetch(7) == "json"
        assert registry.known(7) == "json"


async def test_our_schema_is_registered_once_under_its_topic(server: Registry) -> None:
    server.answers["/subjects/amends.outcomes-value/versions"] = {"id": 12}
    async with SchemaRegistry(server.url) as registry:
        assert await registry.register("amends.outcomes", OUTCOMES.avro) == 12
        assert await registry.register("amends.outcomes", OUTCOMES.avro) == 12
    assert server.asked == ["POST /subjects/amends.outcomes-value/versions"]
    (body,) = server.bodies
    assert writer_schema(body["schema"]).fingerprint == OUTCOMES.avro.fingerprint


async def test_user_and_password_of_the_url_are_sent_and_never_shown(server: Registry) -> None:
    async with SchemaRegistry(server.url.replace("//", "//ada:s3cret@")) as registry:
        await registry.fetch(7)
        server.status = 503
        with pytest.raises(BusUnavailable) as refused:
            await registry.fetch(8)
    assert server.logins == ["Basic YWRhOnMzY3JldA=="] * 2
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("source", ["env", "file"])
async def test_the_password_of_the_setting_may_be_a_reference_and_is_known_to_the_redactor(
    server: Registry, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("s3cret/by file\n")
    monkeypatch.setenv("REGISTRY_PASSWORD", "s3cret/by env")
    reference = "${env:REGISTRY_PASSWORD}" if source == "env" else f"${{file:{tmp_path}/password}}"
    url = server.url.replace("//", f"//ada:{reference}@")
    opened = open_registry(Settings(schema_registry=url))
    assert opened is not None
    async with opened as registry:
        await registry.fetch(7)
    assert server.logins == [f"Basic {b64encode(f'ada:s3cret/by {source}'.encode()).decode()}"]
    assert redact(f"with s3cret/by {source}") == "with [redacted]"
    assert reference not in shown("schema_registry", url)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_a_registry_that_is_down_is_waited_for_not_taken_for_ignorant(server: Registry, status: int) -> None:
    server.answers["/schemas/ids/7"] = TEXT
    server.status = status
    async with SchemaRegistry(server.url) as registry:
        with pytest.raises(BusUnavailable, match=f"answered {status}"):
            await registry.fetch(7)
        server.status = 200
        assert await registry.fetch(7) is not None


async def test_a_registry_that_is_not_there_is_waited_for(unused_tcp_port: int) -> None:
    async with SchemaRegistry(f"http://127.0.0.1:{unused_tcp_port}") as registry:
        with pytest.raises(BusUnavailable, match="cannot be reached"):
            await registry.fetch(7)


@pytest.mark.parametrize("status", [401, 403, 409, 422])
async def test_a_registry_that_refuses_us_needs_a_person(server: Registry, status: int) -> None:
    server.status = status
    async with SchemaRegistry(server.url) as registry:
        with pytest.raises(UsageError, match=f"answered {status}"):
            await registry.register("amends.outcomes", OUTCOMES.avro)


@pytest.mark.parametrize("answer", ["<html>", "[]", "x" * 3_000_000], ids=["HTML", "an array", "3 MB"])
async def test_what_answers_otherwise_is_no_registry(server: Registry, answer: str) -> None:
    server.answers["/schemas/ids/7"] = answer
    async with SchemaRegistry(server.url) as registry:
        with pytest.raises((UsageError, BusUnavailable)):
            await registry.fetch(7)


@pytest.mark.parametrize("url", ["registry:8081", "ftp://x", "http://", ""])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="AMENDS_SCHEMA_REGISTRY"):
        SchemaRegistry(url)
