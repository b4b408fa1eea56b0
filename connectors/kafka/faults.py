"""Kafka's errors in our words: the caller waits (`BusUnavailable`) or a person mends something (`UsageError`)."""

from amends.connectors.kafka.settings import KafkaSettings
from amends.coordinator.errors import BusUnavailable, RecordRefused, UsageError


def unreachable(settings: KafkaSettings, why: object) -> BusUnavailable:
    """Nobody answers at the bootstrap addresses, or not in the protocol we speak."""
    if isinstance(why, TimeoutError | ConnectionResetError | EOFError):
        why = f"connected, but {_ANSWERS.get(type(why), 'no answer')} (is {settings.security_protocol} right?)"
    return BusUnavailable(
        "AM4101",
        f"Kafka at {settings.bootstrap} cannot be reached: {_said(why)}",
        do="start the broker or correct AMENDS_BUS; a running worker waits and resumes by itself",
    )


_ANSWERS: dict[type, str] = {ConnectionResetError: "the connection was closed", EOFError: "the connection was closed"}


def silent(settings: KafkaSettings, silent_s: float) -> BusUnavailable:
    """A connected source has had no answer for a while."""
    return BusUnavailable(
        "AM4109",
        f"Kafka at {settings.bootstrap} has not answered for {silent_s:.0f} s",
        do="look after the broker; reading resumes by itself",
    )


def unpublished(settings: KafkaSettings, records: int, why: object) -> BusUnavailable:
    """A send failed or was given up; any number of its records may be there, or may still arrive."""
    return BusUnavailable(
        "AM4106",
        f"Kafka at {settings.bootstrap} did not acknowledge {records} records: {_said(why)}",
        do="look after the broker; they are sent again by themselves",
    )


def missing_topics(settings: KafkaSettings, topics: list[str]) -> UsageError:
    """Only `amends topics create` makes topics; what a user may not see looks the same as what is not there."""
    several = len(topics) > 1
    what = f"{', '.join(topics)} {'do' if several else 'does'} not exist in Kafka at {settings.bootstrap}"
    do = f"run: amends topics create {' '.join(topics)}"
    if settings.user:
        what += f", or {settings.user} may not see {'them' if several else 'it'}"
        do += ", or give the user the rights that it lacks"
    return UsageError("AM4104", what, do=do)


def refused(settings: KafkaSettings, why: object, *, topic: str, index: int) -> RecordRefused:
    """The broker will not take a record into its topic, for a reason that no waiting mends."""
    return RecordRefused(
        "AM4111",
        f"Kafka at {settings.bootstrap} refuses a record for topic {topic!r}: {_said(why)}",
        do="change the topic's settings or rights (`amends topics check`); it is sent again by itself",
        topic=topic,
        index=index,
    )


def as_refused(error: UsageError, *, topic: str, index: int) -> RecordRefused:
    """What is wrong with one topic holds up the records for it, no others."""
    return RecordRefused(error.code, error.what, do=error.do, topic=topic, index=index)


def forbidden(settings: KafkaSettings, why: object) -> UsageError:
    """The broker knows the user and says no."""
    return UsageError(
        "AM4108",
        f"Kafka at {settings.bootstrap} does not allow {settings.user or 'this client'}: {_said(why)}",
        do="give it the right to read its topics and group and to write Amends' own topics",
    )


def refused_login(settings: KafkaSettings, why: object) -> UsageError:
    """The broker does not accept this user, password or mechanism."""
    return UsageError(
        "AM4102",
        f"Kafka at {settings.bootstrap} refused user {settings.user!r} by {settings.sasl_mechanism}: {_said(why)}",
        do="correct AMENDS_KAFKA_USER, its password or AMENDS_KAFKA_SASL_MECHANISM",
    )


def untrusted(settings: KafkaSettings, why: object) -> UsageError:
    """TLS failed: the certificate, or one side does not speak it."""
    return UsageError(
        "AM4103",
        f"TLS with Kafka at {settings.bootstrap} failed: {_said(why)}",
        do="correct AMENDS_KAFKA_CA_FILE, AMENDS_KAFKA_SECURITY_PROTOCOL or the broker's certificate",
    )


def _said(why: object) -> str:
    return str(why) or type(why).__name__
