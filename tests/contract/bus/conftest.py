import pytest

from tests.contract.bus.buses import Bus, kafka_bus, local_bus


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, prefix: str) -> Bus:
    if request.param == "local":
        return local_bus(prefix)
    return kafka_bus(request.getfixturevalue("kafka"), prefix)
