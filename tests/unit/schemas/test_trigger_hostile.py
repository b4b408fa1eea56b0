"""Whatever bytes and headers come: an answer, at once, in bounded memory."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from amends.schemas.avro.codec import write_single_object, writer_schema
from amends.schemas.decoding import Writers
from amends.schemas.record import Record
from amends.schemas.trigger import Accepted, TopicSpec, read
from tests.unit.schemas.effort import calls, cpu_s
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
    numbers = (b",".join([number] * 160_000) for number in (b"1e3", b"1e308"))
    short, long = (record(b'{"request":1,"n":[' + each + b"]}") for each in numbers)
    assert rejected(long).reason == "too_large"
    assert calls(lambda: read(long, SPEC)) < 1.01 * calls(lambda: read(short, SPEC))
    assert cpu_s(lambda: read(long, SPEC)) < 12 * cpu_s(lambda: read(short, SPEC)), "a hundred times as many digits"


NULLS = writer_schema(
    {"type": "record", "name": "Nulls", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}
)


def test_an_avro_bomb_is_undecodable_and_costs_no_more_than_an_empty_record() -> None:
    spec = TopicSpec(topic="t", acceptors=[ACCEPTOR], writers=Writers(listed=[NULLS]))
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # 2^63 - 1 items
    empty = write_single_object(NULLS, {"n": []})
    bomb = record(empty[:-1] + huge)
    answer = rejected(bomb, spec)
    assert (answer.reason, answer.path) == ("undecodable", "n")
    assert calls(lambda: read(bomb, spec)) < calls(lambda: read(record(empty), spec))


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
