"""An HTTP participant for rehearsals: a server on this machine, with routes that the user writes in a line or two.

    payments = HttpStandIn(payments_connector, world={"charges": {}})

    @payments.on("POST", "/charges")
    def charge(request: Asked) -> dict[str, object]:
        request.world["charges"][request.key] = {"amount": request.json["amount"]}
        return {"id": request.key}

What a participant has to do about keys is done here, as far as the connector promises it: a repeated key is answered as
it was the first time, and the key of an undo that comes first is buried.
"""

import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from amends.coordinator.testing.stand_in import Named, StandIn

UNDOES: Final = "amends-undoes"
GONE: Final = 410
BODY_BYTES_MAX: Final = 8_000_000


class AskedAmiss(Exception):
    """The participant refuses: raised in a route, answered with its status."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as a route sees it. `world` is the participant's own, to be changed in place."""

    method: str
    path: str
    params: Mapping[str, str]
    """Of the query, and the parts of the path that the route names in braces."""
    json: Any
    key: str | None
    """The idempotency key, if the connector names a header for it."""
    undoes: str | None
    """The key of what this request undoes."""
    world: Any


Route = Callable[[Asked], object]


@dataclass(slots=True)
class _Kept:
    """What was answered under the keys that were seen."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    buried: set[str] = field(default_factory=set)


class HttpStandIn(StandIn):
    """Stands in for an `Http` connector. `world` is what the participant holds before a run, and the snapshot after it.

    `key_header` is the header in which the connector sends its key. A route returns what is answered as JSON; None is
    answered with 204; it raises `AskedAmiss(409, "sold_out")` to refuse.
    """

    def __init__(
        self, connector: Named | str, *, world: Mapping[str, object], key_header: str = "Idempotency-Key"
    ) -> None:
        super().__init__(connector, begin=self._fresh, snapshot=self._looked_at, end=self._close)
        promised = getattr(connector, "certainty", None)
        self._remembers = promised is None or promised.deduplicates
        self._buries = promised is None or promised.tombstones
        self._before = dict(world)
        self._world: dict[str, object] = {}
        self._key_header = key_header
        self._routes: list[tuple[str, tuple[str, ...], Route]] = []
        self._kept = _Kept()
        self._broken: Exception | None = None
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def on(self, method: str, path: str) -> Callable[[Route], Route]:
        """Answer requests of this method to this path, `/charges/{id}`."""

        def declare(route: Route) -> Route:
            self._routes.append((method, tuple(path.strip("/").split("/")), route))
            return route

        return declare

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """One request. Requests take their turns, as in a participant with transactions."""
        key, undoes = headers.get(self._key_header), headers.get(UNDOES)
        with self._lock:
            acts = method != "GET" and key is not None
            if acts and key is not None and key in self._kept.answers:
                return self._kept.answers[key]
            if acts and key in self._kept.buried:
                return GONE, b'{"code":"undone"}'
            answered = self._answered(method, target, body, key=key, undoes=undoes)
            if acts and key is not None and self._remembers:
                self._kept.answers[key] = answered
            if acts and self._buries and undoes is not None and undoes not in self._kept.answers:
                self._kept.buried.add(undoes)
            return answered

    def _answered(
        self, method: str, target: str, body: bytes, *, key: str | None, undoes: str | None
    ) -> tuple[int, bytes]:
        parts = urlsplit(target)
        found = self._route(method, parts.path)
        if found is None:
            return 404, b'{"code":"no_such_path"}'
        route, named = found
        params = {name: values[-1] for name, values in parse_qs(parts.query).items()} | named
        try:
            asked = Asked(
                method=method,
                path=parts.path,
                params=params,
                json=json.loads(body) if body else None,
                key=key,
                undoes=undoes,
                world=self._world,
            )
            result = route(asked)
        except AskedAmiss as refusal:
            return refusal.status, json.dumps({"code": refusal.code}).encode()
        except Exception as error:  # noqa: BLE001  a route is the user's; told at the next look at the world
            self._broken = error
            return 500, b""
        return (204, b"") if result is None else (200, json.dumps(result, default=str).encode())

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        asked = path.strip("/").split("/")
        for its_method, parts, route in self._routes:
            if its_method != method or len(parts) != len(asked):
                continue
            pairs = list(zip(parts, asked, strict=True))
            if all(part == given or _name_of(part) for part, given in pairs):
                return route, {name: unquote(given) for part, given in pairs if (name := _name_of(part))}
        return None

    def _looked_at(self) -> object:
        if self._broken is not None:
            raise self._broken
        return self._world

    def _fresh(self) -> str:
        with self._lock:
            self._world, self._kept, self._broken = copy.deepcopy(self._before), _Kept(), None
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
            self._server.daemon_threads = True
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


def _name_of(part: str) -> str | None:
    return part[1:-1] if part.startswith("{") and part.endswith("}") else None


def _handler_of(stand_in: HttpStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), BODY_BYTES_MAX)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = stand_in.answer(self.command, self.path, _AnyCase(headers), self.rfile.read(length))
            self.send_response(status)
            if status != NO_CONTENT:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in http.server
            """Say nothing: what is asked stands in the evidence."""

    return Handler


NO_CONTENT: Final = 204


class _AnyCase(dict[str, str]):
    """Headers are found whatever their case."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  as in dict
        return super().get(name.lower(), default)
