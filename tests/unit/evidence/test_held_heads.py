"""Signed heads against a log: what the log must bear out, and the words for what it does not."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec
import pytest

from amends.coordinator.evidence.held_heads import HeldHeads, SignedShard
from amends.coordinator.reading.verify import Report
from amends.schemas.signed_head import Head, SignedHead, sign
from amends.schemas.signing import PrivateKey

KEY, FORMER = PrivateKey.new(), PrivateKey.new()
STORE = "0be6f786-c35d-434f-a210-f8fc9b0920a8"


def chain(count: int, *, changed_at: int | None = None, without: int | None = None) -> list[str]:
    """A shard's head at 1, 2, 3 …"""
    head, heads = "", []
    for position in (each for each in range(1, count + 1) if each != without):
        entry = f"entry {position}{' changed' if position == changed_at else ''}"
        head = sha256((head + sha256(entry.encode()).hexdigest()).encode()).hexdigest()
        heads.append(head)
    return heads


LOG = chain(30)


def signed(position: int, *, key: PrivateKey = KEY, minute: int | None = None, **changes: object) -> SignedHead:
    head = Head(
        store=STORE,
        shard=0,
        position=position,
        head=LOG[position - 1],
        at=f"2026-11-22T03:{position if minute is None else minute:02}:00.000000Z",
        key_id=key.public.key_id,
    )
    return sign(msgspec.structs.replace(head, **changes), key)


def held(
    heads: Iterable[SignedHead],
    log: Sequence[str],
    *,
    keys: Sequence[PrivateKey] = (KEY,),
    others_too: bool = False,
) -> tuple[list[tuple[str, str]], list[SignedShard]]:
    report = Report()
    holding = HeldHeads(report=report, keys=[key.public for key in keys], store=STORE, others_too=others_too)
    for each in heads:
        holding.take(each)
    for position, head in enumerate(log, start=1):
        holding.at(0, position, head)
    shards = holding.finish([0])
    return [(fault.fault, fault.detail) for fault in report.faults], shards


COPY = [signed(10), signed(20), signed(30)]
FORGED = msgspec.structs.replace(signed(20), head="0" * 64)

CASES = [
    pytest.param(COPY, LOG, [], id="a log that was left alone has no fault"),
    pytest.param([signed(10), signed(10), signed(20)], LOG, [], id="the same head twice is one"),
    pytest.param([signed(10), signed(20), signed(10)], LOG, [], id="a head that arrives late is no fault"),
    pytest.param(COPY[:1], LOG, [], id="what is younger than the last signed head is not covered"),
    pytest.param(
        COPY, chain(30, changed_at=15), ["head: shard 0: the entries up to position 20", "up to position 10"],
        id="a rewritten middle is found, and how far the log is good",
    ),
    pytest.param(COPY, chain(30, changed_at=1), ["head: 10", "none is borne out"], id="a rewritten beginning is found"),
    pytest.param(COPY, chain(30, changed_at=30), ["head: 30", "up to position 20"], id="a rewritten tail is found"),
    pytest.param(COPY, LOG[:25], ["tail: ends at position 25", "signed at 30"], id="a cut tail is found"),
    pytest.param(COPY, LOG[:0], ["tail: ends at position 0"], id="an empty log is found"),
    pytest.param(
        COPY, chain(30, without=5), ["head: 10", "tail: ends at position 29"],
        id="a deleted run is found although the rest was renumbered and hashed anew",
    ),
    pytest.param([FORGED], LOG, ["signature: position 20"], id="a changed signed head is not believed"),
    pytest.param([signed(10, key=FORMER)], LOG, ["key: 1 signed head is", FORMER.public.key_id], id="unknown key"),
    pytest.param([signed(10, store="other")], LOG, ["store: of store other"], id="heads of another store are named"),
    pytest.param(
        [signed(20), signed(15, minute=40)], LOG, ["back: position 15", "at 20 before"],
        id="a shard that was signed lower later on went back",
    ),
    pytest.param([signed(10), signed(10, head=LOG[3])], LOG, ["head: two heads"], id="two heads of one position"),
    pytest.param([signed(10, shard=3)], LOG, ["tail: shard 3: the log ends at position 0"], id="a shard that is gone"),
]  # fmt: skip


@pytest.mark.parametrize(("heads", "log", "expected"), CASES)
def test_the_log_is_held_against_the_copy(heads: list[SignedHead], log: list[str], expected: list[str]) -> None:
    faults, _ = held(heads, log)
    assert bool(faults) == bool(expected)
    said = "\n".join(f"{fault}: {detail}" for fault, detail in faults)
    for each in expected:
        fault, colon, detail = each.partition(": ")
        assert not colon or fault in [name for name, _ in faults], said
        assert (detail or fault) in said


def test_each_shard_says_how_far_it_is_vouched_for() -> None:
    _, shards = held(COPY[:2], LOG)
    assert shards == [SignedShard(shard=0, heads=2, signed=20, position=30)]


def test_heads_of_a_former_key_still_verify_with_it() -> None:
    rotated = [signed(10, key=FORMER), signed(20)]
    assert held(rotated, LOG, keys=[KEY, FORMER])[0] == []
    assert [fault for fault, _ in held(rotated, LOG)[0]] == ["key"]


def test_other_stores_are_passed_over_where_one_was_chosen() -> None:
    assert held([signed(10), signed(10, store="other")], LOG, others_too=True)[0] == []
