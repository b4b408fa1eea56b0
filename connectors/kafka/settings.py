"""What it takes to reach a Kafka cluster."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from amends.coordinator.errors import UsageError

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """`bootstrap` is `host:port[,host:port]`. The password is resolved already and never printed.

    Raises `UsageError` (AM4105) when the settings contradict each other or name a CA file that cannot be read.
    """

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    client_id: str = "amends"

    def __post_init__(self) -> None:
        for address in self.bootstrap.split(","):
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
                raise _wrong(f"{self.bootstrap!r} is not host:port[,host:port]", "name the brokers like kafka-1:9092")
        _one_of("security protocol", self.security_protocol, PROTOCOLS)
        if self.by_sasl:
            _one_of("SASL mechanism", self.sasl_mechanism, MECHANISMS)
            if not self.user or self.password is None:
                raise _wrong(
                    f"{self.security_protocol} needs a user and a password", "set AMENDS_KAFKA_USER and its password"
                )
        elif self.sasl_mechanism or self.user:
            raise _wrong(
                f"a SASL mechanism or user is set, but the security protocol is {self.security_protocol}",
                "set it to SASL_SSL (or SASL_PLAINTEXT), or remove them",
            )
        if self.ca_file is not None:
            self.ssl_context()

    @property
    def by_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL_")

    @property
    def by_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    def ssl_context(self) -> ssl.SSLContext | None:
        """Trust `ca_file`, or the system's authorities where there is none; None without TLS."""
        if not self.by_tls:
            if self.ca_file is not None:
                raise _wrong(
                    f"a CA file is set, but the security protocol is {self.security_protocol}",
                    "set it to SSL or SASL_SSL",
                )
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise _wrong(
                f"the CA file {str(self.ca_file)!r} cannot be read: {error}", "give a PEM file of certificates"
            ) from None


def _one_of(what: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _wrong(f"the {what} is {value!r}", f"set one of {', '.join(allowed)}")


def _wrong(what: str, do: str) -> UsageError:
    return UsageError("AM4105", f"Kafka settings: {what}", do=do)
