"""Errors that no page can bring about by commands alone, as their makers word them, with `ANY` in place of values."""

from collections.abc import Mapping
from pathlib import Path

from amends.connectors.kafka import faults as kafka
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.stores import faults as store
from amends.coordinator.errors import AmendsError, RecordTooLarge
from amends.coordinator.evidence import faults as evidence
from amends.examples.shop.commands import CommandFailed

ANY = "@@"
NUMBER = 99

_CLUSTER = KafkaSettings(bootstrap="kafka-1:9092")
_LOGIN = KafkaSettings(
    bootstrap="kafka-1:9092",
    security_protocol="SASL_PLAINTEXT",
    sasl_mechanism="SCRAM-SHA-256",
    user="alice",
    password=ANY,
)

_ERRORS: tuple[AmendsError, ...] = (
    store.credentials_refused(ANY, ANY),
    store.database_missing(ANY, ANY),
    store.newer(ANY, found=NUMBER, known=NUMBER),
    store.damaged(ANY, ANY),
    store.read_only(ANY, ANY),
    store.disk_full(ANY, ANY),
    store.busy(ANY, ANY),
    store.second_coordinator(Path(ANY), ANY),
    store.second_coordinator(Path(ANY), ANY, ANY),
    store.extra_missing(ANY),
    store.copy_elsewhere(ANY, ANY),
    store.trouble(ANY, ANY),
    store.not_allowed(ANY, ANY),
    kafka.refused_login(_LOGIN, ANY),
    kafka.untrusted(_CLUSTER, ANY),
    kafka.missing_topics(_CLUSTER, [ANY]),
    kafka.unpublished(_CLUSTER, NUMBER, ANY),
    kafka.forbidden(_LOGIN, ANY),
    kafka.silent(_CLUSTER, NUMBER),
    evidence.no_signing_key(ANY, ANY),
    evidence.no_public_key(ANY, ANY),
    evidence.no_heads(ANY, ANY),
    evidence.exists(ANY),
    evidence.not_written(ANY, ANY),
    evidence.no_bundle(ANY, ANY),
    evidence.altered(ANY, ANY, ANY),
    evidence.newer(ANY, found=NUMBER, known=NUMBER),
    evidence.too_large(ANY, ANY),
    evidence.unreadable(ANY, ANY),
    RecordTooLarge(topic=ANY, index=0, size_bytes=NUMBER),
    CommandFailed(ANY, ANY),
)

SAID: Mapping[str, list[str]] = {
    error.code: [each.line() for each in _ERRORS if each.code == error.code] for error in _ERRORS
}
