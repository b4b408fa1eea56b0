"""All that `runs show` says of a run: facts under the stable keys of the contract, and the run's own explanation."""

from collections.abc import Sequence

from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.checkpoints import checkpoints_of
from amends.coordinator.reading.explaining import explain
from amends.coordinator.reading.facts import Facts, rerun_facts, whole_facts
from amends.coordinator.reading.history import Moment, payloads_of
from amends.coordinator.reading.locks import lock_facts
from amends.coordinator.reading.standing import Standing
from amends.schemas.instants import Instant


def shown(log: LogReading, standing: Standing, moments: Sequence[Moment], now: Instant) -> Facts:
    """The facts of a run as it stands, or stood after the last of `moments`."""
    payloads = payloads_of(moments, log)
    return {
        **whole_facts(standing.row, moments[-1].state, standing.plan, payloads),
        **rerun_facts(moments[0].entry),
        "checkpoints": checkpoints_of(moments, payloads),
        "locks": lock_facts(log, standing.locks),
        "explanation": explain(standing, moments, now),
    }
