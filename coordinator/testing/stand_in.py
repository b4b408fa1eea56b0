"""What stands in for a participant while a saga is rehearsed: fresh for each scenario, and open to be looked at."""

from collections.abc import Callable
from typing import Protocol


class Named(Protocol):
    """A connector, as far as a stand-in needs to know it."""

    @property
    def name(self) -> str: ...


class StandIn:
    """A participant of the user's own, in its test mode.

    `begin` makes it anew before each scenario, and returns its address if the connector is to be led there: a URL for
    `Http` and `Sql`, `smtp://host:port` for `Smtp`; None leaves the connector where it is, for a test mode that is
    switched on otherwise. `snapshot` returns what is in it, as JSON can hold it. `end` is called once, at the end.
    """

    def __init__(
        self,
        connector: Named | str,
        *,
        begin: Callable[[], str | None],
        snapshot: Callable[[], object],
        end: Callable[[], object] | None = None,
    ) -> None:
        self.name = connector if isinstance(connector, str) else connector.name
        self._begin = begin
        self._snapshot = snapshot
        self._end = end

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def begin(self) -> str | None:
        """Make it anew; its address."""
        return self._begin()

    def snapshot(self) -> object:
        """What is in it now."""
        return self._snapshot()

    def end(self) -> None:
        """Give back what it holds."""
        if self._end is not None:
            self._end()
