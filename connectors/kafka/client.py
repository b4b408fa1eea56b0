"""Reaching the cluster: what every aiokafka client of ours is given, and what its errors mean.

aiokafka has no types and says "Unable to bootstrap" for a broker that is away, a wrong password and an untrusted
certificate alike. `Any` and that riddle end here.
"""

import asyncio
import logging
import random
import ssl
from typing import Any

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.metadata import MetadataRequest

from amends.connectors.kafka import faults
from amends.connectors.kafka.settings import KafkaSettings
from amends.coordinator.errors import AmendsError, UsageError

CONNECT_S = 3.0
"""How long a cluster is given to answer before it counts as unreachable."""

CLOSE_S = 0.2
"""How long a connection is given to close; one that was never open does not say so."""

REQUEST_TIMEOUT_MS = 15_000
"""Longer than a rebalance may take: its requests are answered when all members have come."""

_REFUSED_LOGIN = (
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.IllegalSaslStateError,
)
_FORBIDDEN = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
TROUBLE = (errors.KafkaError, OSError, TimeoutError)
"""Everything aiokafka lets out when the cluster is the cause."""


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Give the keyword arguments that all of aiokafka's clients share."""
    requests = logging.getLogger("aiokafka.conn")  # below INFO it logs whole requests, logins among them
    requests.setLevel(max(logging.INFO, requests.getEffectiveLevel()))
    return {
        "client_id": settings.client_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": settings.ssl_context(),
        "sasl_mechanism": settings.sasl_mechanism or "PLAIN",
        "sasl_plain_username": settings.user,
        "sasl_plain_password": settings.password,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    }


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Give those and the bootstrap addresses."""
    return {**connection_options(settings), "bootstrap_servers": settings.bootstrap, "metadata_max_age_ms": 30_000}


async def topics_of_cluster(settings: KafkaSettings) -> dict[str, int]:
    """Give every topic with its number of partitions, within `CONNECT_S` or so.

    Asks for all topics, never by name: a broker with auto-create would make what is asked for. Ask this before any
    other client is started: they wait longer, and one that is cancelled at its start leaves a connection open.
    Raises `BusUnavailable`, or `UsageError` where the login or TLS is at fault.
    """
    addresses = settings.bootstrap.split(",")
    random.shuffle(addresses)
    problems: list[AmendsError] = []
    for address in addresses:
        try:
            return await _topics_at(settings, address, CONNECT_S / len(addresses))
        except TROUBLE as error:
            problems.append(_known(settings, error) or faults.unreachable(settings, error))
    raise next((problem for problem in problems if isinstance(problem, UsageError)), problems[-1])


async def explained(settings: KafkaSettings, error: BaseException) -> AmendsError:
    """Put an aiokafka error into our words; where it hides its cause, the cluster is asked once more, by hand."""
    if (known := _known(settings, error)) is not None:
        return known
    if not isinstance(error, TimeoutError):
        try:
            await topics_of_cluster(settings)
        except AmendsError as cause:
            return cause
    return faults.unreachable(settings, error)


async def _topics_at(settings: KafkaSettings, address: str, answer_s: float) -> dict[str, int]:
    host, _, port = address.rpartition(":")
    options = connection_options(settings) | {"request_timeout_ms": int(answer_s * 1000)}
    connection = AIOKafkaConnection(host.strip("[]"), int(port), **options)
    try:
        await connection.connect()
        answer = await connection.send(MetadataRequest(None))
    finally:
        if (closed := connection.close()) is not None:
            await asyncio.wait({closed}, timeout=CLOSE_S)
    return {topic["topic"]: len(topic["partitions"]) for topic in answer.to_object()["topics"]}


def _known(settings: KafkaSettings, error: BaseException) -> AmendsError | None:
    if isinstance(error, _REFUSED_LOGIN):
        return faults.refused_login(settings, error)
    if isinstance(error, ssl.SSLError):
        return faults.untrusted(settings, error)
    if isinstance(error, _FORBIDDEN):
        return faults.forbidden(settings, error)
    return None
