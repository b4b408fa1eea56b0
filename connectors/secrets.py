"""References to secrets and settings: `${env:NAME}` and `${file:/path}`, resolved at the moment of use (rule 17).

A declaration holds the reference only, so neither the definition, nor the log, nor a repr ever holds a value, and a
rotated secret counts from the next call. What is resolved as a secret is made known to the redactor first.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amends.coordinator.errors import UsageError
from amends.coordinator.redaction import SECRETS

FILE_BYTES_MAX: Final = 65_536

_REFERENCE = re.compile(r"\$\{(?P<source>env|file):(?P<name>[^}\s]+)\}")
_OPENED = re.compile(r"\$\{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with references in it. Its repr shows the references, never what they stand for."""

    text: str
    constant: bool
    what: str
    """Whose text it is, for messages."""

    def resolve(self, *, secret: bool) -> str:
        """The text with each reference replaced. Raises `UsageError` (AM2002) for one that leads nowhere."""
        if self.constant:
            return self.text
        return _REFERENCE.sub(lambda found: _value_of(found, self.what, secret=secret), self.text)


def template(text: str, *, what: str) -> Template:
    """Read a declaration's text. Raises `UsageError` (AM2002) for a reference that is written wrongly."""
    references = len(_REFERENCE.findall(text))
    if references != len(_OPENED.findall(text)):
        raise UsageError(
            "AM2002",
            f"{what} holds a reference that cannot be read",
            do="write it as ${env:NAME} or ${file:/path/to/secret}",
        )
    return Template(text=text, constant=references == 0, what=what)


def secret_template(text: str, *, what: str) -> Template:
    """The same for what is a secret as a whole. Raises `UsageError` (AM2003) where the text itself is written down."""
    read = template(text, what=what)
    if read.constant:
        raise UsageError(
            "AM2003",
            f"{what} is written in the code",
            do="keep it in an environment variable or a file, and write ${env:NAME} or ${file:/path/to/secret}",
        )
    return read


def _value_of(found: re.Match[str], what: str, *, secret: bool) -> str:
    name = found["name"]
    reference = f"{what}: {found[0]}"
    value: str | None = os.environ.get(name) if found["source"] == "env" else _content_of(Path(name), reference)
    if value is None:
        raise UsageError(
            "AM2002", f"{reference} is not set", do=f"set the environment variable {name} for this process"
        )
    if secret:
        SECRETS.learn(value)
    return value


def _content_of(path: Path, reference: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise UsageError(
                "AM2002", f"{reference} is larger than {FILE_BYTES_MAX} bytes", do="name a file that holds one secret"
            )
        return content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise UsageError(
            "AM2002",
            f"{reference} cannot be read: {error.strerror}",
            do="let it name a file that this process can read",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            "AM2002", f"{reference} is not UTF-8 text", do="name a file that holds one secret as text"
        ) from error
