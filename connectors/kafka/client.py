"""Reaching the cluster: what every aiokafka client of ours is given, and what its errors mean.

aiokafka has no types and says "Unable to bootstrap" for a broker that is away, a wrong password and an untrusted
certificate alike. `Any` and that riddle end here.
"""

import asyncio
import logging
import ssl
from typing import Any

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn

from amends.connectors.kafka import faults
from amends.connectors.kafka.settings import KafkaSettings
from amends.coordinator.errors import AmendsError

CONNECT_S = 3.0
"""How long a cluster is given to answer before it counts as unreachable."""

REQUEST_TIMEOUT_MS = 10_000

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
    logging.getLogger("aiokafka.conn").setLevel(logging.INFO)  # below that it logs whole requests, logins among them
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

    Asks for all topics, never by name: a broker with auto-create would make what is asked for.
    Raises `BusUnavailable`, or `UsageError` where the login or TLS is at fault.
    """
    client = AIOKafkaClient(**client_options(settings))
    try:
        async with asyncio.timeout(CONNECT_S):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    except TROUBLE as error:
        raise await explained(settings, error) from error
    finally:
        await client.close()
    return {topic: len(cluster.partitions_for_topic(topic)) for topic in cluster.topics(exclude_internal_topics=False)}


async def explained(settings: KafkaSettings, error: BaseException) -> AmendsError:
    """Put an aiokafka error into our words; where it hides its cause, each address is asked once more, by hand."""
    known = _known(settings, error)
    return known or await _cause_by_hand(settings, error)


async def _cause_by_hand(settings: KafkaSettings, error: BaseException) -> AmendsError:
    options = connection_options(settings) | {"request_timeout_ms": int(CONNECT_S * 1000)}
    why: BaseException = error
    for address in settings.bootstrap.split(","):
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await create_conn(host.strip("[]"), int(port), **options)
        except TROUBLE as cause:
            if (known := _known(settings, cause)) is not None:
                return known
            why = cause
        else:
            await connection.close()
            why = error
    return faults.unreachable(settings, why)


def _known(settings: KafkaSettings, error: BaseException) -> AmendsError | None:
    if isinstance(error, _REFUSED_LOGIN):
        return faults.refused_login(settings, error)
    if isinstance(error, ssl.SSLError):
        return faults.untrusted(settings, error)
    if isinstance(error, _FORBIDDEN):
        return faults.forbidden(settings, error)
    return None
