"""The in-memory twin of the stores: the same behavior, for simulations and `amends.testing`, by a clock of your own."""

import os
from collections.abc import Callable

from amends.connectors.stores.clock import wall_clock
from amends.connectors.stores.memory.archive import Archive
from amends.connectors.stores.memory.leases import Leases
from amends.connectors.stores.memory.log import Log
from amends.connectors.stores.memory.mail import Mail
from amends.connectors.stores.memory.runs import Runs
from amends.connectors.stores.memory.subjects import Subjects
from amends.connectors.stores.memory.tables import LeaseState, Tables
from amends.coordinator.ports.store import Kind
from amends.coordinator.sealing.keys import KEY_BYTES
from amends.coordinator.sealing.master import MasterReference
from amends.schemas.instants import Instant

__all__ = ["MemoryStore"]


class MemoryStore(Log, Runs, Leases, Mail, Subjects, Archive):
    """Safe to use from several threads; lives as long as the object. Leases expire by `clock`.

    Without a `master` key it draws one of its own: what is sealed here ends with the object.
    """

    kind: Kind = "memory"

    def __init__(self, *, clock: Callable[[], Instant] = wall_clock, master: MasterReference | None = None) -> None:
        super().__init__(Tables(clock))
        self.master = master or MasterReference(os.urandom(KEY_BYTES).hex)

    def migrate(self, *, shards: int) -> None:
        with self._tables.lock:
            if not self._tables.leases["worker"]:
                self._tables.leases["worker"] = {shard: LeaseState() for shard in range(shards)}
                self._tables.leases["relay"] = {shard: LeaseState() for shard in range(shards)}
                self._tables.leases["bus"] = {0: LeaseState()}

    def incarnation(self) -> str:
        return self._tables.incarnation

    def change_mark(self) -> object:
        return self._tables.mark

    def close(self) -> None:
        """Nothing to give back."""
