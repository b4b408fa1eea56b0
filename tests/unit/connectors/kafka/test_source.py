"""A running source waits for whatever the cluster says: the worker behind it goes on with its runs."""

from collections.abc import Mapping

import pytest
from aiokafka import errors

from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.source import KafkaSource
from amends.coordinator.errors import BusUnavailable


class Refused:
    """A membership whose login is not good any more."""

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        raise errors.SaslAuthenticationFailed(f"for {next_offsets}")


async def test_a_commit_that_is_refused_is_waited_for_like_a_poll() -> None:
    source = KafkaSource(KafkaSettings(bootstrap="127.0.0.1:1"), group=Group(name="g"))
    source._member = Refused()  # type: ignore[assignment]
    with pytest.raises(BusUnavailable):
        await source.commit({("orders", 0): 7})
