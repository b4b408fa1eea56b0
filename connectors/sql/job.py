"""One transaction of a participant, in a thread: tried until what came of it is certain, or time is up."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final

from amends.connectors.sql.connections import Connections
from amends.connectors.sql.inbox import Inbox
from amends.connectors.sql.sessions import Session, Trouble
from amends.coordinator.attempt import Attempt
from amends.coordinator.errors import AmendsError
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown

FIRST_PAUSE_S: Final = 0.05
PAUSE_FACTOR: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a transaction came to. A refusal is committed too: it is kept under its key."""

    status: str
    value: object = None
    refusal: StepRefused | None = None
    external_id: str | None = None


Body = Callable[[Session, Inbox], Outcome]


class _PassingError(Exception):
    """The transaction may pass if it is tried again; `failure` is what to say if it is not."""

    def __init__(self, failure: StepUnavailable | StepUnknown) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Job:
    """Everything before COMMIT is rolled back for certain; a lost reply to COMMIT is settled by the inbox."""

    def __init__(
        self,
        connections: Connections,
        attempt: Attempt,
        *,
        name: str,
        action: str,
        resource: str,
        acts: bool,
        body: Body,
        tries: int,
        read_only: bool = False,
    ) -> None:
        self._connections = connections
        self._attempt = attempt
        self._name = name
        self._action = action
        self._resource = resource
        self._acts = acts
        self._body = body
        self._tries = tries
        self._read_only = read_only
        self._abandoned = Event()
        self._lock = Lock()
        self._session: Session | None = None
        self._doubt: str | None = None
        self.began = False
        """Whether the database was asked anything."""

    def run(self) -> Outcome:
        """Called in the thread. Raises what is known: see `failures.py`."""
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(self._tries)):
            try:
                return self._once()
            except _PassingError as passing:
                if isinstance(passing.failure, StepUnknown):
                    self._doubt = passing.failure.reason
                if not left or pause_s >= self._attempt.time_left_s() or self._abandoned.wait(pause_s):
                    raise self._said(passing.failure) from passing.__cause__
                pause_s *= PAUSE_FACTOR
            except (StepRefused, StepUnavailable) as failure:
                raise self._said(failure) from failure.__cause__
        raise AssertionError("there is at least one try")

    def abandon(self) -> None:
        """Called from another thread: roll back unless COMMIT was sent already."""
        self._abandoned.set()
        with self._lock:
            if self._session is not None:
                self._session.interrupt()

    def _once(self) -> Outcome:
        self._allow()
        session = self._connected()
        with self._lock:
            self._session = session
        committing = usable = False
        try:
            self.began = True
            session.begin(read_only=self._read_only, timeout_s=self._attempt.time_left_s())
            outcome = self._body(session, Inbox(session, self._attempt))
            self._allow()  # COMMIT is the effect: the lease is asked again
            committing = True
            session.commit()
            usable = True
            return outcome
        except Exception as error:
            usable = session.rollback()
            raise self._judged(error, committing=committing) from error
        finally:
            with self._lock:
                self._session = None
            if usable:
                self._connections.give_back(session)
            else:
                session.close()

    def _allow(self) -> None:
        if self._abandoned.is_set():
            raise StepUnavailable(f"{self._name}: the attempt was given up; nothing was committed", kind="withdrawn")
        self._attempt.before_send(tool=self._name, action=self._action, resource=self._resource, acts=self._acts)

    def _connected(self) -> Session:
        try:
            return self._connections.take(timeout_s=self._attempt.time_left_s())
        except AmendsError as error:
            raise StepUnavailable(f"{self._name}: nothing was done: {error.line()}") from error
        except Exception as error:
            raise self._judged(error, committing=False) from error

    def _judged(self, error: Exception, *, committing: bool) -> Exception:
        """What an error in the middle of a transaction says, once that is rolled back."""
        if isinstance(error, StepRefused | StepUnavailable | AmendsError):
            return error
        fault = self._connections.database.fault_of(error)
        if fault is None:
            reason = f"{self._name}: the work raised {type(error).__name__}, and all of it was rolled back"
            return StepUnavailable(reason, kind="exception")
        if committing and fault.undecided:
            return _PassingError(StepUnknown(f"{self._name}: the reply to COMMIT was lost ({fault.why})"))
        reason = f"{self._name}: {fault.why}; nothing was committed"
        match fault.trouble:
            case Trouble.REFUSED:
                return StepRefused(reason)
            case Trouble.GONE:
                self._connections.forget_idle()
                return _PassingError(StepUnavailable(reason))
            case Trouble.BUSY:
                return _PassingError(StepUnavailable(reason))
            case Trouble.TIMEOUT:
                return StepUnavailable(reason, kind="timeout")
            case Trouble.BROKEN:
                return StepUnavailable(reason, kind="exception")

    def _said(self, failure: Exception) -> Exception:
        """A try that came to nothing takes no doubt from one before it; one that found the key's row does."""
        settled = isinstance(failure, StepRefused) and failure.kind != "fenced"
        if self._doubt is None or settled or isinstance(failure, StepUnknown):
            return failure
        return StepUnknown(f"{self._doubt}; then {failure}")
