"""Copies of signed heads and public keys, as people keep them: read line by line, or refused by name."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from amends.coordinator.errors import UsageError
from amends.coordinator.evidence.head_files import (
    KEY_BYTES_MAX,
    LINE_BYTES_MAX,
    BadLine,
    heads_in,
    lines_of,
    public_key,
)
from amends.schemas.signed_head import Head, SignedHead, sign
from amends.schemas.signing import PrivateKey

KEY = PrivateKey.new()
SIGNED = sign(
    Head(store="s", shard=0, position=7, head="0" * 64, at="2026-11-21T14:02:07.110000Z", key_id=KEY.public.key_id), KEY
)
BARE = msgspec.json.encode(SIGNED)
PRINTED = json.dumps({"topic": "amends.checkpoints", "data": json.loads(BARE)}).encode()


def read(*lines: bytes) -> list[Any]:
    return list(heads_in(lines))


def test_a_head_is_read_bare_or_as_a_topic_prints_it() -> None:
    assert read(BARE, b"\n", b"  ", PRINTED + b"\n") == [SIGNED, SIGNED]


@pytest.mark.parametrize(
    "line",
    [
        b"[]", b"7", b'"text"', b'["data", "topic"]', b'"data topic"', b"\xff", b"{", b"[" * 10_000,
        b'{"data": null, "topic": "t"}', BARE.replace(b'"shard":0', b'"shard":-1'),
        BARE.replace(b'"position":7', b'"position":0'), BARE.replace(b'"format":1', b'"format":2'),
        BARE.replace(b'"shard":0', b'"shard":0,"more":1'),
    ],
)  # fmt: skip
def test_a_line_that_is_no_head_is_named_by_its_number_and_those_behind_it_are_read(line: bytes) -> None:
    bad, good = read(line, BARE)
    assert isinstance(bad, BadLine)
    assert str(bad).startswith("line 1: ")
    assert good == SIGNED


def test_lines_come_from_a_file_or_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_bytes(BARE + b"\n" + BARE)
    assert list(lines_of(str(file))) == [BARE + b"\n", BARE]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb")))
    assert list(lines_of("-")) == [b"a\n", b"b"]


@pytest.mark.parametrize("length", [LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
def test_a_line_has_its_limit(tmp_path: Path, length: int) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_bytes(b"x" * length)
    if length <= LINE_BYTES_MAX:
        assert [len(line) for line in lines_of(str(file))] == [length]
        return
    with pytest.raises(UsageError) as error:
        list(lines_of(str(file)))
    assert (error.value.code, "longer than" in str(error.value)) == ("AM3012", True)


@pytest.mark.parametrize("name", ["", "none.jsonl"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as error:
        list(lines_of(str(tmp_path / name)))
    assert (error.value.code, str(tmp_path / name) in str(error.value)) == ("AM3012", True)


def test_a_public_key_is_the_line_itself_or_a_file_with_it(tmp_path: Path) -> None:
    text = KEY.public.text
    (tmp_path / "key").write_text(f"{text}\n")
    found: list[SignedHead] = [SIGNED]
    for name in (text, str(tmp_path / "key")):
        assert [each for each in found if each.is_by(public_key(name))] == [SIGNED]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"ed25519:AAAA", b"x" * (KEY_BYTES_MAX + 1), KEY.pem])
def test_what_is_no_public_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(UsageError) as error:
        public_key(str(file))
    assert (error.value.code, str(file) in str(error.value), "PRIVATE" in str(error.value)) == ("AM3011", True, False)
