"""`Http`: a participant reached over HTTP.

Each call runs in the name of the attempt that makes it: under its key, within its time and its lease, leaving evidence.
What it raises says what is known about the effect (see `answers.py`).
"""

from collections.abc import Collection, Mapping
from typing import Never, cast

from typing_extensions import TypeVar

from amends.connectors.http.calling import Call, Participant, Raises, perform
from amends.connectors.http.request import Address, Headers, Params
from amends.connectors.promises import malformed, promise

Result = TypeVar("Result", default=None)
Missing = TypeVar("Missing", default=Never)


class Http:
    """A participant reached over HTTP; declare it once and call it from handlers.

    `idempotency_header` names the header in which the participant takes our key; naming it promises that the same key
    never acts twice, for ever or within `idempotent="24h"` (`idempotent=False` sends the key and promises nothing).
    `tombstones`: an undo that comes first makes it refuse the late request; `amends-undoes` names the key to undo.
    `settle_s`: the longest a request that was sent may still take effect. `headers` and `base_url` may hold references
    (`${env:TOKEN}`). `definite`: statuses that are its final word even to a repeated request (see `answers.py`).
    `external_id`: the result's field that names the effect, for evidence; else the `Location` header does.
    `retries`, each within `timeout_s`, are for faults of seconds, and happen only where repeating is safe.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        idempotency_header: str | None = None,
        idempotent: bool | str | None = None,
        tombstones: bool = False,
        settle_s: float = 30.0,
        headers: Mapping[str, str] | None = None,
        definite: Collection[int] = (),
        external_id: str | None = None,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        retries: int = 2,
        response_bytes_max: int = 8_000_000,
    ) -> None:
        if not name or timeout_s <= 0 or connect_timeout_s <= 0 or retries < 0 or response_bytes_max < 1:
            raise malformed(name, "its name is empty, or a limit is not positive", do="mend the declaration")
        deduplicates = idempotency_header is not None if idempotent is None else idempotent
        self.name = name
        self.certainty = promise(name=name, idempotent=deduplicates, tombstones=tombstones, settle_s=settle_s)
        self._participant = Participant(
            name=name,
            address=Address(name, base_url),
            headers=Headers(name, headers or {}, key_header=idempotency_header),
            key_header=idempotency_header,
            deduplicates=bool(deduplicates),
            definite=frozenset(definite),
            external_id=external_id,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            tries=retries + 1,
            response_bytes_max=response_bytes_max,
        )

    def __repr__(self) -> str:
        return f"Http({self.name!r})"

    async def get(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        returns: type[Result] | None = None,
        missing: Missing | Raises = Raises.RAISES,
        external_id: str | None = None,
    ) -> Result | Missing:
        """Read. `missing` is what 404 and 410 mean, if they are no refusal: `missing=None` in a lookup."""
        call = Call(
            method="GET",
            path=path,
            acts=False,
            params=params,
            headers=headers,
            returns=returns,
            missing=missing,
            external_id=external_id,
        )
        return cast("Result | Missing", await perform(self._participant, call))

    async def post(
        self,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        returns: type[Result] | None = None,
        missing: Missing | Raises = Raises.RAISES,
        external_id: str | None = None,
        part: str | None = None,
        acts: bool = True,
    ) -> Result | Missing:
        """Act. `part` names one of several effects of a step; `acts=False` declares a POST that only reads."""
        call = Call(
            method="POST",
            path=path,
            acts=acts,
            json=json,
            form=form,
            params=params,
            headers=headers,
            returns=returns,
            missing=missing,
            external_id=external_id,
            part=part,
        )
        return cast("Result | Missing", await perform(self._participant, call))

    async def put(
        self,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        returns: type[Result] | None = None,
        missing: Missing | Raises = Raises.RAISES,
        external_id: str | None = None,
        part: str | None = None,
    ) -> Result | Missing:
        """Act; see `post`."""
        call = Call(
            method="PUT",
            path=path,
            acts=True,
            json=json,
            form=form,
            params=params,
            headers=headers,
            returns=returns,
            missing=missing,
            external_id=external_id,
            part=part,
        )
        return cast("Result | Missing", await perform(self._participant, call))

    async def patch(
        self,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        returns: type[Result] | None = None,
        missing: Missing | Raises = Raises.RAISES,
        external_id: str | None = None,
        part: str | None = None,
    ) -> Result | Missing:
        """Act; see `post`."""
        call = Call(
            method="PATCH",
            path=path,
            acts=True,
            json=json,
            form=form,
            params=params,
            headers=headers,
            returns=returns,
            missing=missing,
            external_id=external_id,
            part=part,
        )
        return cast("Result | Missing", await perform(self._participant, call))

    async def delete(
        self,
        path: str,
        *,
        json: object = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        returns: type[Result] | None = None,
        missing: Missing | Raises = Raises.RAISES,
        external_id: str | None = None,
        part: str | None = None,
    ) -> Result | Missing:
        """Act; `missing=None` where it is well that the thing is gone already."""
        call = Call(
            method="DELETE",
            path=path,
            acts=True,
            json=json,
            params=params,
            headers=headers,
            returns=returns,
            missing=missing,
            external_id=external_id,
            part=part,
        )
        return cast("Result | Missing", await perform(self._participant, call))
