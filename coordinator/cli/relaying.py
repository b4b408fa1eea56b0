"""A relay put together from the settings; and what signs heads where there is none."""

from typing import TYPE_CHECKING
from uuid import uuid4

from amends.coordinator import bootstrap
from amends.coordinator.config import Settings
from amends.coordinator.evidence.signing import HeadSigner
from amends.coordinator.ports.bus import Sink
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.checkpoints import Checkpoints, LocalCheckpoints
from amends.coordinator.runtime.relay import Relay
from amends.coordinator.runtime.relay_leases import RelayLeases

if TYPE_CHECKING:
    from amends.schemas.signing import PrivateKey


def relay_of(settings: Settings, store: Store, schema_ids: dict[str, int]) -> Relay:
    """The relay, signing heads where a key is set. Raises `UsageError` for a key that cannot be read."""
    own = bootstrap.own_topics(settings)
    required = (own.audit, own.outcomes, own.dead_letters)
    relay = Relay(
        store=store,
        sink=bootstrap.open_sink(
            settings, store, required=(*required, own.checkpoints) if settings.checkpoint_key else required
        ),
        publishing=bootstrap.publishing(settings, schema_id_of=schema_ids.get),
        leases=_relay_leases(settings, store),
    )
    if settings.checkpoint_key is not None:
        relay.checkpoints = _checkpoints(settings, store, bootstrap.open_sink(settings, store), relay.leases)
    return relay


def local_checkpoints_of(settings: Settings, store: Store) -> LocalCheckpoints:
    """What signs heads where there is no relay. Raises `UsageError` for a key that cannot be read."""
    leases = _relay_leases(settings, store)
    sink = bootstrap.open_signing_sink(settings, store)
    return LocalCheckpoints(checkpoints=_checkpoints(settings, store, sink, leases), leases=leases)


def _checkpoints(settings: Settings, store: Store, sink: Sink, leases: RelayLeases) -> Checkpoints:
    """Raises `UsageError` for a key that cannot be read: later that is a line in the log."""

    def key() -> "PrivateKey":
        found = bootstrap.signing_key(settings)
        assert found is not None, "only asked for where a key is set"
        return found

    key()
    return Checkpoints(
        signer=HeadSigner(store=store),
        key=key,
        sink=sink,
        publishing=bootstrap.publishing(settings),
        held=lambda: leases.held,
        every_s=settings.checkpoint_every_s,
    )


def _relay_leases(settings: Settings, store: Store) -> RelayLeases:
    return RelayLeases(store=store, relay=f"relay:{uuid4().hex}", lease_ms=settings.lease_ms)
