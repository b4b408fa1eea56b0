"""A Confluent-compatible schema registry: which schema an id stands for, and an id for each of ours.

Ids never change their meaning, so an answer is kept for good; "unknown" is asked again after a while, because a
writer registers before it writes but a cluster may lag. Intake awaits `fetch` for the id that a record names
(`confluent_id_of`), then reads the record with `known`, which never waits.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp

from amends.coordinator.errors import BusUnavailable, UsageError
from amends.schemas.avro.codec import SCHEMA_BYTES_MAX, BadSchema, WriterSchema, writer_schema
from amends.schemas.decoding import RegisteredSchema, Unusable
from amends.schemas.export import avro_file

REQUEST_TIMEOUT_S: Final = 5.0
UNKNOWN_FOR_S: Final = 10.0
KEPT_MAX: Final = 10_000
ID_MAX: Final = 2**31 - 1
"""Registries number with a signed integer, and refuse the question for more; a record may name any four bytes."""
ANSWER_BYTES_MAX: Final = 2 * SCHEMA_BYTES_MAX
"""A schema stands in its answer as a JSON string, so it may take more there than by itself."""
_REFERENCES_MAX: Final = 100

_ACCEPT: Final = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND: Final = 404
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_RETRIABLE: Final = frozenset({408, 429})


class SchemaRegistry:
    """Talks to one registry. Use it as an async context manager, on one event loop.

    Every method raises `BusUnavailable` (AM4121) while the registry does not answer, and `UsageError` (AM4122) where
    it refuses us: neither is ever taken for "unknown".
    """

    def __init__(self, url: str, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._url, self._login = _split(url)
        self._now_s = now_s
        self._schemas: OrderedDict[int, RegisteredSchema] = OrderedDict()
        self._unusable: OrderedDict[int, Unusable] = OrderedDict()
        self._asked_again_s: OrderedDict[int, float] = OrderedDict()
        """When an id that has no schema for us is asked for again: it may have one by then."""
        self._ids: dict[tuple[str, bytes], int] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Accept": f"{_ACCEPT}, application/json", **self._login},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def known(self, schema_id: int) -> RegisteredSchema | Unusable | None:
        """Give what was fetched for this id; None if nobody knows it, or it was not fetched. Never waits."""
        return self._schemas.get(schema_id) or self._unusable.get(schema_id)

    async def fetch(self, schema_id: int) -> RegisteredSchema | None:
        """Give the schema of an id, asking the registry at most once for it; None if it has none that we can use."""
        if schema_id in self._schemas:
            self._schemas.move_to_end(schema_id)
            return self._schemas[schema_id]
        if schema_id > ID_MAX or self._now_s() < self._asked_again_s.get(schema_id, 0.0):
            return None
        try:
            schema = await self._schema(schema_id)
        except BadSchema as fault:
            _keep(self._unusable, schema_id, Unusable(str(fault)))
            schema = None
        else:
            self._unusable.pop(schema_id, None)
        if schema is None:
            _keep(self._asked_again_s, schema_id, self._now_s() + UNKNOWN_FOR_S)
        else:
            _keep(self._schemas, schema_id, schema)
        return schema

    async def register(self, topic: str, schema: WriterSchema) -> int:
        """Give the id of our own schema for a topic's values, registering it if need be."""
        subject = f"{topic}-value"
        known = self._ids.get((subject, schema.fingerprint))
        if known is not None:
            return known
        body = {"schema": avro_file(schema.schema), "schemaType": "AVRO"}
        answer = await self._request("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        schema_id = answer.get("id") if answer is not None else None
        if not isinstance(schema_id, int):
            raise self._refused(f"gave no id for {subject}")
        self._ids[subject, schema.fingerprint] = schema_id
        return schema_id

    async def _schema(self, schema_id: int) -> RegisteredSchema | None:
        """Ask for a schema; None if the registry has none. Raises `BadSchema` for one that cannot be used."""
        answer = await self._get(f"/schemas/ids/{schema_id}")
        if answer is None:
            return None
        kind = answer.get("schemaType", "AVRO")
        if kind == "JSON":
            return "json"
        if kind != "AVRO":
            raise BadSchema(f"it is of type {str(kind)[:40]}, neither Avro nor JSON Schema")
        if not isinstance(answer.get("schema"), str):
            raise BadSchema("there is none in the answer")
        return writer_schema(answer["schema"], references=await self._references(answer))

    async def _references(self, answer: Mapping[str, Any]) -> list[str]:
        """Fetch the schemas that this one refers to, innermost first, each once. Raises `BadSchema`."""
        found: list[str] = []
        await self._collect(answer, found, set())
        return found

    async def _collect(self, answer: Mapping[str, Any], found: list[str], seen: set[str]) -> None:
        for path in _paths_of_references(answer):
            if path in seen:
                continue
            seen.add(path)
            if len(seen) > _REFERENCES_MAX:
                raise BadSchema(f"a schema with more than {_REFERENCES_MAX} references")
            inner = await self._get(path)
            if inner is None or not isinstance(inner.get("schema"), str):
                raise BadSchema(f"the registry does not have {path}")
            await self._collect(inner, found, seen)
            found.append(inner["schema"])

    async def _get(self, path: str) -> Mapping[str, Any] | None:
        return await self._request("GET", path, None)

    async def _request(self, method: str, path: str, body: object) -> Mapping[str, Any] | None:
        """Ask; None for "not found". Raises `BadSchema` for an answer that is too long."""
        assert self._session is not None, "use the registry as a context manager"
        try:
            async with self._session.request(method, self._url + path, json=body) as response:
                data = await _read(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        if status >= _SERVER_ERROR or status in _RETRIABLE:
            raise self._unavailable(f"it answered {status}")
        if status == _NOT_FOUND and _says_so_itself(data):
            return None
        if status >= _CLIENT_ERROR:
            raise self._refused(f"answered {status}: {data[:200].decode(errors='replace')}")
        if len(data) > ANSWER_BYTES_MAX and data.lstrip().startswith(b"{"):
            raise BadSchema(f"it takes more than the {SCHEMA_BYTES_MAX} bytes that are allowed")
        answer = _object_in(data)
        if answer is None:
            raise self._refused("answers no JSON object")
        return answer

    def _unavailable(self, why: str) -> BusUnavailable:
        return BusUnavailable(
            "AM4121",
            f"the schema registry at {self._url} cannot be reached: {why}",
            do="start it or correct AMENDS_SCHEMA_REGISTRY; a running worker waits and resumes by itself",
        )

    def _refused(self, what: str) -> UsageError:
        return UsageError(
            "AM4122",
            f"the schema registry at {self._url} {what}",
            do="correct AMENDS_SCHEMA_REGISTRY or the registry's compatibility rule for this topic",
        )


def _object_in(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _says_so_itself(data: bytes) -> bool:
    """Whether it is the registry that has nothing there, not a proxy before it that has no registry."""
    return "error_code" in (_object_in(data) or {})


def _paths_of_references(answer: Mapping[str, Any]) -> list[str]:
    try:
        return [
            f"/subjects/{quote(str(each['subject']), safe='')}/versions/{int(each['version'])}"
            for each in answer.get("references") or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise BadSchema(f"references that cannot be followed: {error}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer, but hardly more of it than a schema may take."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            break
    return bytes(data)


def _keep(kept: OrderedDict[int, Any], schema_id: int, value: object) -> None:
    kept[schema_id] = value
    if len(kept) > KEPT_MAX:
        kept.popitem(last=False)


def _split(url: str) -> tuple[str, dict[str, str]]:
    """Take user and password out of a URL, into a header, so that they are never printed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "AM4123", "AMENDS_SCHEMA_REGISTRY is not a URL", do="write it like http://registry:8081, with its path"
        )
    login = {}
    if parts.username:
        login["Authorization"] = aiohttp.encode_basic_auth(
            unquote(parts.username), unquote(parts.password or ""), "utf-8"
        )
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", "")), login
