"""Turning a call into a request: address, headers, body, and all that can be wrong before a byte leaves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from pydantic_core import PydanticSerializationError

from amends.connectors.http.wire import UnfitError
from amends.connectors.promises import malformed
from amends.connectors.secrets import Template, secret_template, template
from amends.connectors.values import json_of
from amends.coordinator.attempt import Attempt
from amends.coordinator.redaction import SECRETS

if TYPE_CHECKING:
    from yarl import URL

Params = Mapping[str, str | int | float | bool | list[str] | None]

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"

_PATH = re.compile(r"/[^\s\\#\x00-\x1f\x7f]*")
_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_ALWAYS_SECRET: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Ready to be sent. `path` is how logs and errors name it: without the query."""

    method: str
    url: "URL"
    headers: dict[str, str]
    body: bytes | None
    path: str

    @property
    def fingerprint(self) -> int:
        """Equal for the same request."""
        return hash((self.method, self.url, self.body))


class Address:
    """A base URL with references in it, resolved anew for each call and parsed when it changed."""

    def __init__(self, name: str, base_url: str) -> None:
        self._template = template(base_url, what=f"base_url of the connector {name!r}")
        self._known = ("", "")
        if self._template.constant:
            try:
                self._base()
            except UnfitError as error:
                raise malformed(name, str(error), do="write it like https://payments.example.com/v2") from error
            if urlsplit(base_url).password:
                secret_template(base_url, what=f"the password in base_url of the connector {name!r}")

    def join(self, path: str, params: Params | None, *, place: str | None = None) -> "URL":
        """The URL of a path below the base, or a rehearsal's. Raises `UnfitError` for one that leads elsewhere."""
        from yarl import URL  # noqa: PLC0415  it comes with aiohttp: a definition is loaded without

        bare = path.partition("?")[0]
        if not _PATH.fullmatch(path) or _DOTS.search(bare):
            raise UnfitError("its path is not below the base URL: it starts with /, without .., \\, # and white space")
        url = URL((self._base() if place is None else place.rstrip("/")) + path)
        return url.update_query(_query(params)) if params else url

    def _base(self) -> str:
        resolved = self._template.resolve(secret=False)
        if resolved == self._known[0]:
            return self._known[1]
        parts = urlsplit(resolved)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UnfitError("base_url is no http:// or https:// URL without a query")
        if parts.password:
            SECRETS.learn(unquote(parts.password))
        self._known = (resolved, resolved.rstrip("/"))
        return self._known[1]


class Headers:
    """The headers of every call: those without references are put together once."""

    def __init__(self, name: str, headers: Mapping[str, str], *, key_header: str | None) -> None:
        self._fixed: dict[str, str] = {}
        self._referring: dict[str, Template] = {}
        for header, value in headers.items():
            what = f"the header {header!r} of the connector {name!r}"
            read = (secret_template if header.lower() in _ALWAYS_SECRET else template)(value, what=what)
            if read.constant:
                self._fixed[header] = value
            else:
                self._referring[header] = read
        try:
            check_headers(self._fixed | ({key_header: ""} if key_header is not None else {}))
        except UnfitError as error:
            raise malformed(name, str(error), do="mend the header") from error

    def of(self, attempt: Attempt, *, place: str | None = None) -> dict[str, str]:
        """The declared ones, and whose call it is. No secret goes where a rehearsal leads."""
        headers = {**self._fixed, "amends-saga-id": attempt.saga_id, "amends-epoch": str(attempt.epoch)}
        if attempt.traceparent is not None:
            headers["traceparent"] = attempt.traceparent
        for header, value in self._referring.items():
            headers[header] = value.resolve(secret=True) if place is None else "rehearsal"
        return headers


def body_of(json: object, form: Mapping[str, str] | None) -> tuple[bytes | None, str | None]:
    """The body and its content type; whatever pydantic can write is JSON. Raises `UnfitError` for what it cannot."""
    if form is not None:
        if json is not None:
            raise UnfitError("it has both json= and form=")
        return urlencode(form).encode(), FORM_TYPE
    if json is None:
        return None, None
    try:
        return json_of(json), JSON_TYPE
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise UnfitError("its json= holds something that JSON cannot") from error


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises `UnfitError` for a header that would break out of its line."""
    for header, value in headers.items():
        if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
            raise UnfitError(f"the header {header[:40]!r} is no header or its value has control characters")


def _query(params: Params) -> dict[str, Any]:
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: str | float | bool | list[str]) -> str | list[str]:  # noqa: FBT001  true is a value here
    if isinstance(value, list):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
