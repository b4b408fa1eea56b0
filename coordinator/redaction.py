"""Takes secrets out of text by value, wherever they could leave: log lines, entries, topics, prompts (rule 17).

One set for the process, on purpose: a secret may be resolved anywhere, and must be known wherever something is written.
"""

import base64
import json
import logging
import re
from threading import Lock
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"
LENGTH_MIN: Final = 6
"""A shorter value would be found in innocent text; it is not looked for, and that is logged once."""

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

_log = logging.getLogger(__name__)


class Redactor:
    """Knows the secrets resolved so far. Learning is rare and locked, redacting is one regular expression."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: frozenset[str] = frozenset()
        self._text: re.Pattern[str] | None = None
        self._data: re.Pattern[bytes] | None = None

    def learn(self, value: str) -> None:
        """From now on, take this value out, also as JSON, URLs and Basic credentials spell it."""
        if value in self._known or not value:
            return
        with self._lock:
            if len(value) < LENGTH_MIN:
                _log.warning("secret_too_short", extra={"length": len(value), "length_min": LENGTH_MIN})
                self._known |= {value}
                return
            self._known |= {value}
            forms = sorted(
                {form for known in self._known if len(known) >= LENGTH_MIN for form in _forms_of(known)},
                key=lambda form: (-len(form), form),  # the longest first: a value may hold another one
            )
            self._text = re.compile("|".join(re.escape(form) for form in forms))
            self._data = re.compile(b"|".join(re.escape(form.encode()) for form in forms))

    def redact(self, text: str) -> str:
        """The text without secrets."""
        return text if self._text is None else self._text.sub(REDACTED, text)

    def redact_json(self, data: bytes) -> bytes:
        """The same within the strings of JSON text; all else stays as it is written, and without a secret all of it."""
        known = self._data
        if known is None or known.search(data) is None:
            return data
        return _STRING.sub(lambda found: b'"%b"' % known.sub(REDACTED.encode(), found[0][1:-1]), data)


def _forms_of(value: str) -> set[str]:
    """The spellings under which a value travels."""
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value, safe=""),
        quote_plus(value),
        base64.b64encode(value.encode()).decode(),
    }


SECRETS: Final = Redactor()
"""This process's secrets."""


def redact(text: str) -> str:
    """The text without any secret this process has resolved."""
    return SECRETS.redact(text)


def redact_json(data: bytes) -> bytes:
    """The JSON text without any secret this process has resolved."""
    return SECRETS.redact_json(data)
