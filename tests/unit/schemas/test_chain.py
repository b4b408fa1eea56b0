"""What is hashed, and in which order: any program in any language must come to the same (contract, section 5)."""

import hashlib

import pytest

from amends.schemas.chain import next_head
from amends.schemas.entry import MalformedEntry, unseal


def test_a_head_covers_the_former_head_first_then_the_entry_both_as_text() -> None:
    assert next_head("", "b" * 64) == hashlib.sha256(b"b" * 64).hexdigest()
    assert next_head("a" * 64, "b" * 64) == hashlib.sha256(b"a" * 64 + b"b" * 64).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        b'{"events":[],"namespace":"n"}',
        b'{"events":[],"hash":"' + b"a" * 64 + b'","saga":"s"}',
        b'{"events":[],"hash":"' + b"a" * 63 + b'","namespace":"n"}',
    ],
    ids=["no hash", "a hash in another place", "a hash of another length"],
)
def test_bytes_whose_hash_is_not_where_it_belongs_are_no_entry(data: bytes) -> None:
    with pytest.raises(MalformedEntry):
        unseal(data)


def test_the_bytes_that_a_hash_covers_are_those_without_it() -> None:
    assert unseal(b'{"events":[],"hash":"' + b"a" * 64 + b'","namespace":"n"}') == b'{"events":[],"namespace":"n"}'
