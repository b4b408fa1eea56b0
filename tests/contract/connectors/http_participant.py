"""A participant behind HTTP, in a process of its own, that keeps books and fails on demand. It holds nothing of ours.

Below `/dedup` a key acts once and its answer is told again; below `/full` an undo also buries the key of its step, and
a lower epoch gets 412; below `/plain` every request acts. Faults are set for one thing: `PUT /faults/{thing}/{mode}`.
"""

import asyncio
import json
import socket
import struct
import sys
from collections import defaultdict

from aiohttp import web

LARGE = 300_000


class Participant:
    def __init__(self) -> None:
        self.applied: dict[str, int] = defaultdict(int)
        self.undone: dict[str, int] = defaultdict(int)
        self.requests: dict[str, list[dict[str, object]]] = defaultdict(list)
        self.answers: dict[str, tuple[int, dict[str, object]]] = {}
        self.buried: set[str] = set()
        self.epochs: dict[str, int] = {}
        self.faults: dict[str, str] = {}

    async def act(self, request: web.Request) -> web.StreamResponse:
        kind, thing, verb = (request.match_info[name] for name in ("kind", "thing", "verb"))
        fault = self.faults.get(thing, "")
        self.note(thing, request, await request.read())
        if fault.startswith("first-"):  # once, then all is well
            del self.faults[thing]
            fault = fault.removeprefix("first-")
        if fault.isdigit():
            return web.json_response({"error": {"code": "as_asked"}}, status=int(fault), headers={"Retry-After": "1"})
        status, body = self.decided(request, kind, thing, verb, refuses=fault == "refuse")
        return await self.answered(request, fault, status, body)

    def decided(
        self, request: web.Request, kind: str, thing: str, verb: str, *, refuses: bool
    ) -> tuple[int, dict[str, object]]:
        key = request.headers.get("Idempotency-Key", "")
        if kind == "plain":
            return self.done(thing, verb, refuses=refuses)
        epoch = int(request.headers["amends-epoch"])
        if kind == "full":
            if epoch < self.epochs.get(key, 0):
                return 412, {"error": "a_newer_owner_asked"}
            self.epochs[key] = epoch
        if key in self.answers:
            return self.answers[key]
        if key in self.buried:
            return 410, {"error": "its_undo_came_first"}
        step_key = request.headers.get("amends-undoes", "")
        if kind == "full" and verb == "undo" and step_key not in self.answers:
            self.buried.add(step_key)
            return 200, {"id": "nothing"}
        self.answers[key] = self.done(thing, verb, refuses=refuses)
        return self.answers[key]

    def done(self, thing: str, verb: str, *, refuses: bool) -> tuple[int, dict[str, object]]:
        if refuses:
            return 422, {"error": "not_this_one"}
        books = self.undone if verb == "undo" else self.applied
        books[thing] += 1
        return 201, {"id": f"{verb}-{thing}-{books[thing]}"}

    async def answered(
        self, request: web.Request, fault: str, status: int, body: dict[str, object]
    ) -> web.StreamResponse:
        match fault:
            case "lose":
                assert request.transport is not None
                request.transport.close()
            case "reset":
                assert request.transport is not None
                linger = struct.pack("ii", 1, 0)
                request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                request.transport.abort()
            case "error":
                return web.json_response({"error": "internal"}, status=500)
            case "slow":
                await asyncio.sleep(1)
            case "garbage":
                return web.Response(body=b"<html>", status=status)
            case "shape":
                return web.json_response({"id": {"secret": "4111-1111"}}, status=status)
            case "large":
                return web.json_response({"id": "x" * LARGE}, status=status)
            case "compressed":
                return web.Response(body=b"\x1f\x8b", status=status, headers={"Content-Encoding": "gzip"})
            case "cut":
                response = web.StreamResponse(status=status, headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b'{"id":')
                assert request.transport is not None
                request.transport.close()
        return web.json_response(body, status=status, headers={"Location": f"/things/{request.match_info['thing']}"})

    def note(self, thing: str, request: web.Request, body: bytes) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        noted: dict[str, object] = {
            "method": request.method,
            "target": request.raw_path,
            "headers": headers,
            "body": body.decode(),
        }
        self.requests[thing].append(noted)

    async def find(self, request: web.Request) -> web.Response:
        answer = self.answers.get(request.match_info["key"])
        if answer is None or answer[0] != 201 or request.match_info["key"] in self.buried:
            return web.json_response({"error": "not_found"}, status=404)
        return web.json_response(answer[1])

    async def books(self, request: web.Request) -> web.Response:
        thing = request.match_info["thing"]
        return web.json_response(
            {"applied": self.applied[thing], "undone": self.undone[thing], "requests": self.requests[thing]}
        )

    async def set_fault(self, request: web.Request) -> web.Response:
        self.faults[request.match_info["thing"]] = request.match_info["mode"]
        return web.Response(status=204)

    async def repair(self, request: web.Request) -> web.Response:
        self.faults.pop(request.match_info["thing"], None)
        return web.Response(status=204)


async def serve() -> None:
    participant = Participant()
    application = web.Application(client_max_size=1 << 24)
    application.add_routes(
        [
            web.get("/keys/{key}", participant.find),
            web.get("/books/{thing}", participant.books),
            web.put("/faults/{thing}/{mode}", participant.set_fault),
            web.delete("/faults/{thing}", participant.repair),
            web.route("*", "/{kind:full|dedup|plain}/{thing}/{verb}", participant.act),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the test's end of the pipe is closed


if __name__ == "__main__":
    asyncio.run(serve())
