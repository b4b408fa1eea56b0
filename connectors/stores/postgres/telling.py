"""What PostgreSQL and the way to it say, as errors of ours; a password never gets into their text."""

import re
from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg import errors

from amends.connectors.stores import faults
from amends.coordinator.errors import AmendsError, StoreUnavailable

_REFUSED: Final = re.compile(
    r"password authentication failed|no password supplied|authentication failed|no pg_hba\.conf entry"
    r"|role \".*\" does not exist|is not permitted to log in|permission denied for database"
)
_NO_DATABASE: Final = re.compile(r"database \".*\" does not exist")


class Where:
    """The server and database, as people are told of them."""

    def __init__(self, parameters: Mapping[str, object]) -> None:
        self._password = str(parameters.get("password") or "")
        host, port = parameters.get("host") or "local socket", parameters.get("port") or 5432
        self.text = f"{parameters.get('user') or ''}@{host}:{port}/{parameters.get('dbname') or ''}"

    def why(self, error: BaseException) -> str:
        """The error's own words in one line."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._password, "***") if self._password else text


def on_connecting(where: Where, error: psycopg.Error) -> AmendsError:
    """Tell wrong credentials and a missing database, which somebody must mend, from a server that is away."""
    why = where.why(error)
    if _NO_DATABASE.search(why):
        return faults.database_missing(where.text, why)
    if _REFUSED.search(why):
        return faults.credentials_refused(where.text, why)
    return faults.unreachable(where.text, why)


def on_working(where: Where, error: psycopg.Error) -> Exception:
    """What an error in a transaction means; the transaction is over and nothing of it is visible."""
    why = where.why(error)
    match error:
        case errors.DiskFull():
            return faults.disk_full(where.text, why)
        case (
            errors.LockNotAvailable()
            | errors.QueryCanceled()
            | errors.SerializationFailure()
            | errors.DeadlockDetected()
        ):
            return faults.busy(where.text, why)
        case errors.InsufficientPrivilege():
            return faults.not_allowed(where.text, why)
        case errors.UndefinedTable() | errors.InvalidSchemaName():
            return faults.not_a_store(where.text, why)
        case errors.ReadOnlySqlTransaction():
            return faults.trouble(where.text, why)  # A standby: the primary is about to be another one.
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return faults.unreachable(where.text, why)
        case psycopg.InternalError() if error.sqlstate and error.sqlstate.startswith(("53", "57", "58", "XX")):
            return faults.trouble(where.text, why)
        case _:
            return error  # A bug of ours.


def as_unavailable(error: AmendsError) -> StoreUnavailable:
    """A store that was open once comes back: whoever waits for it is told the same, and waits."""
    return error if isinstance(error, StoreUnavailable) else StoreUnavailable(error.code, error.what, do=error.do)
