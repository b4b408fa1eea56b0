"""Messages of a sealed run: nothing that a person or a handler wrote stays readable."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from amends.coordinator.core import messages as m
from amends.coordinator.sealing.keys import Seal, SubjectKey
from amends.coordinator.sealing.messages import DIGESTS, DIGESTS_ALONE, TEXTS, sealed_message
from amends.schemas.canonical import digest
from amends.schemas.events import EvidenceRecorded

SEAL = Seal(SubjectKey("0" * 32, b"k" * 32))
VALUE = b'"Ada"'
NOTE = EvidenceRecorded(
    path="pay",
    direction="forward",
    role="step",
    attempt=1,
    tool="bank",
    action="POST",
    resource="/people/Ada",
    permission="allowed",
    status="201 for Ada",
    external_id="acct-Ada",
    at="2026-01-01T00:00:00.000000Z",
    arguments="sha256:" + "0" * 64,
    result=digest(VALUE),
)


def _replied(answer: m.Answer) -> m.Replied:
    return m.Replied(path="pay", direction="forward", attempt=1, answer=answer, notes=(NOTE,))


@pytest.mark.parametrize(
    "message",
    [
        _replied(m.Done(result=digest(VALUE), external_id="acct-Ada")),
        _replied(m.Failed(kind="refused", message="no account for Ada", retriable=False)),
        _replied(m.Unknown(kind="timeout", message="Ada")),
        m.CancelWished(reason="Ada asked"),
        m.ResolutionWished(step="pay", resolution="done_by_hand", evidence="Ada's receipt"),
    ],
    ids=lambda message: type(getattr(message, "answer", message)).__name__,
)
def test_nothing_that_somebody_wrote_stays_readable(message: m.Message) -> None:
    sealed, payloads = sealed_message(message, {digest(VALUE): VALUE}, SEAL)

    assert b"Ada" not in msgspec.json.encode(sealed)
    assert digest(VALUE).encode() not in msgspec.json.encode(sealed)
    assert payloads == {SEAL.key.digest(VALUE): VALUE}


def test_a_result_is_referred_to_by_its_keyed_digest() -> None:
    sealed, _ = sealed_message(_replied(m.Done(result=digest(VALUE))), {digest(VALUE): VALUE}, SEAL)

    assert isinstance(sealed, m.Replied)
    assert sealed.answer == m.Done(result=SEAL.key.digest(VALUE))
    assert sealed.notes[0].arguments == NOTE.arguments, "a digest over keyed digests is as good as keyed"  # type: ignore[union-attr]


HARMLESS = {
    # in clear, as the docs say
    *("namespace", "saga", "saga_id", "former", "idempotency_key", "business_key", "traceparent", "topic"),
    *("message_id", "correlation", "message_type", "name", "key"),
    # words of ours or of the definition
    *("kind", "path", "direction", "role", "step", "resolution", "phase", "tool", "permission", "why", "at"),
    "met",
    # a digest over digests that are keyed
    "arguments",
}
"""Texts of messages that are no words of a person or a handler about anybody."""


def _texts_of(kind: type) -> set[str]:
    found: set[str] = set()
    for name, hint in get_type_hints(kind).items():
        found |= {name} if _holds_text(hint) else set()
        for inner in _structs_in(hint):
            found |= _texts_of(inner)
    return found


def _holds_text(hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return False
    return getattr(hint, "__supertype__", hint) is str or any(map(_holds_text, get_args(hint)))


def _structs_in(hint: Any) -> set[type]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return {hint}
    return {found for each in get_args(hint) for found in _structs_in(each)}


def test_somebody_has_decided_about_every_text_of_every_message() -> None:
    texts = {name for kind in get_args(m.Message) for name in _texts_of(kind)}

    undecided = texts - TEXTS - DIGESTS - DIGESTS_ALONE - HARMLESS
    assert undecided == set(), "seal it (TEXTS, DIGESTS), or say why not (HARMLESS)"
