"""How a participant of the shop fails on purpose: by what a request is about, or by order over HTTP.

Each participant starts with faults tied to its test data (a card ending, a mail domain). `GET /faults` lists them,
`POST /faults` puts one more before the others, `DELETE /faults?ending=0077` repairs those with that ending, and
`DELETE /faults` repairs all.
"""

from typing import Literal

import msgspec
from aiohttp import web
from msgspec import Struct

Mode = Literal["refuse", "down", "lost", "reset", "slow"]


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to fail, and for which requests.

    | mode   | what the caller meets                                                                     |
    |--------|-------------------------------------------------------------------------------------------|
    | refuse | a definite no, `reason` says why; nothing happens                                         |
    | down   | "unavailable", before anything happens                                                    |
    | lost   | it happens, then the reply is an internal error                                           |
    | reset  | it happens, then the connection breaks without a reply                                    |
    | slow   | it happens, then the reply takes `delay_ms`                                               |

    It hits requests of `operation` about a card or address with this `ending` (the empty string: all), and of the
    requests about one order or address only the `first` ones (None: all, until it is repaired).
    """

    mode: Mode
    operation: str = ""
    ending: str = ""
    first: int | None = None
    delay_ms: int = 2_000
    reason: str = "refused"


class Faults:
    """The faults in force, the latest first."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = list(faults)

    def hit(self, operation: str, subject: str, *, earlier: int) -> Fault | None:
        """Find the fault for a request about `subject` (a card, an address), of which `earlier` like it came before."""
        for fault in self._faults:
            meant = fault.operation in ("", operation) and subject.endswith(fault.ending)
            if meant and (fault.first is None or earlier < fault.first):
                return fault
        return None

    def routes(self) -> list[web.RouteDef]:
        """Return the control routes, to be served beside the participant's own."""
        return [web.get("/faults", self._list), web.post("/faults", self._add), web.delete("/faults", self._repair)]

    async def _list(self, _request: web.Request) -> web.Response:
        return _json(self._faults)

    async def _add(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.MsgspecError as error:
            return _json({"error": str(error)}, status=400)
        self._faults.insert(0, fault)
        return _json(self._faults, status=201)

    async def _repair(self, request: web.Request) -> web.Response:
        ending = request.query.get("ending")
        self._faults = [] if ending is None else [fault for fault in self._faults if fault.ending != ending]
        return _json(self._faults)


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
