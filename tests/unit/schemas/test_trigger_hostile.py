"""Whatever bytes and headers come: an answer, at once, in bounded memory."""

import json
import time

from hypothesis import example, given
from hypothesis import strategies as st

from amends.schemas.avro.codec import write_single_object, writer_schema
from amends.schemas.decoding import Writers
from amends.schemas.record import Record
from amends.schemas.trigger import Accepted, TopicSpec, read
from tests.unit.schemas.triggers import (
    ACCEPTOR,
    AVRO,
    AVRO_SPEC,
    EVENT,
    REGISTRY_SPEC,
    SPEC,
    VALIDATE,
    record,
    rejected,
)


def test_details_are_short_and_printable() -> None:
    answer = rejected(record(b'{"' + b"\\u0000\\u001b" * 2000 + b'":{"a":1,"a":1}}'))
    assert len(answer.path) <= 500
    assert (answer.detail + answer.path).isprintable()


def test_a_number_written_out_beyond_the_payload_limit_is_too_large() -> None:
    started = time.perf_counter()
    answer = rejected(record(b'{"request":1,"n":[' + b",".join([b"1e308"] * 160_000) + b"]}"))
    assert answer.reason == "too_large"
    assert time.perf_counter() - started < 5


NULLS = writer_schema(
    {"type": "record", "name": "Nulls", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}
)


def test_an_avro_bomb_is_undecodable_at_once() -> None:
    spec = TopicSpec(topic="t", acceptors=[ACCEPTOR], writers=Writers(listed=[NULLS]))
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # 2^63 - 1 items
    started = time.perf_counter()
    answer = rejected(record(write_single_object(NULLS, {"n": []})[:-1] + huge), spec)
    assert (answer.reason, answer.path) == ("undecodable", "n")
    assert time.perf_counter() - started < 0.2


SPECS = [SPEC, AVRO_SPEC, REGISTRY_SPEC]
header_names = st.sampled_from(
    ["content-type", "ce_specversion", "ce_id", "ce_type", "ce_source", "idempotency-key", "traceparent", "x"]
)
header_values = st.binary(max_size=20) | st.sampled_from(
    [b"1.0", b"application/json", b"application/avro", b"application/cloudevents+json", b"application/octet-stream"]
)
bodies = (
    st.none()
    | st.binary(max_size=60)
    | st.binary(max_size=30).map(lambda tail: b"\xc3\x01" + AVRO.fingerprint + tail)
    | st.binary(max_size=30).map(lambda tail: b"\x00\x00\x00\x00\x07" + tail)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*EVENT, "data", "data_base64", "order", "request"]), inner)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)


@given(st.sampled_from(SPECS), bodies, st.lists(st.tuples(header_names, header_values), max_size=6))
@example(SPEC, b"\xef\xbb\xbf{}", [])
def test_any_record_is_accepted_or_rejected(
    spec: TopicSpec, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    answers = read(Record(topic="t", partition=0, offset=0, value=value, headers=tuple(headers)), spec)
    assert len(answers) == 1
    for answer in answers:
        if isinstance(answer, Accepted):
            VALIDATE(answer.payload)
        else:
            assert answer.detail.isprintable()
