"""Bundles: what was exported verifies, what was altered is refused by the name of the part."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amends.coordinator.errors import AmendsError, FoundFault, UsageError
from amends.coordinator.evidence.bundle import open_bundle
from amends.coordinator.evidence.bundle_log import BundleLog
from amends.coordinator.evidence.exporting import Export
from amends.coordinator.evidence.files import written_whole
from amends.coordinator.evidence.manifest import MANIFEST, Manifest, Segment, payload_part, read_manifest
from amends.coordinator.evidence.opening import Findings, value_beside
from amends.coordinator.evidence.tar import Writer
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.history import run_history, stored
from amends.coordinator.reading.logs import latest_outcome
from amends.schemas.canonical import encode
from amends.schemas.entry import Draft, decode
from amends.schemas.entry import seal as seal_entry
from amends.schemas.signed_head import SignedHead
from amends.schemas.signing import PrivateKey
from amends.testing import ok
from tests.integration.kafka.relaying import play
from tests.unit.evidence.bundles import KEY, export, faults, in_memory, opened, played
from tests.unit.runtime.sagas import Done


class Made(msgspec.Struct, frozen=True):
    store: Store
    signed: list[SignedHead]
    bundle: Path
    data: bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("bundles")
    store = in_memory(folder)
    signed = played(store)
    export(store, folder / "case.amends", signed)
    return Made(store, signed, folder / "case.amends", (folder / "case.amends").read_bytes())


def test_what_was_exported_verifies_and_every_entry_is_under_a_signed_head(made: Made) -> None:
    found = opened(made.bundle)
    assert found.report.faults == []
    assert (found.report.runs, found.report.entries) == (5, made.store.shards()[0].position)
    assert sum(found.signed.values()) == found.report.entries
    assert found.outcomes == 5


def test_a_bundle_is_read_as_the_store_is(made: Made) -> None:
    log = BundleLog(open_bundle(made.bundle))
    for row in made.store.runs():
        assert log.run(row.saga_id) == row
        assert list(stored(log, row.saga_id)) == list(stored(made.store, row.saga_id))
        assert run_history(log, row.saga_id)[-1].state == run_history(made.store, row.saga_id)[-1].state
        assert latest_outcome(log, row.saga_id) == latest_outcome(made.store, row.saga_id)
        assert log.runs_by_key(row.saga, row.idempotency_key) == [row]
        assert log.runs_by_prefix(row.saga_id[:8]) == [row]
        assert log.definition(row.definition_hash) is not None
    assert log.runs() == made.store.runs()
    assert log.runs_open() == made.store.runs_open()
    log.close()


def test_two_bundles_of_one_state_are_the_same_but_for_their_time(made: Made, tmp_path: Path) -> None:
    first, second = (export(made.store, tmp_path / name, made.signed) for name in "ab")
    assert first.parts == second.parts


def test_tar_lists_and_unpacks_it(made: Made, tmp_path: Path) -> None:
    subprocess.run(["tar", "xf", made.bundle], cwd=tmp_path, check=True, timeout=20)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    with tarfile.open(made.bundle) as archive:
        assert sorted(archive.getnames()) == names
    assert read_manifest((tmp_path / MANIFEST).read_bytes()).is_whole


def test_a_bundle_is_its_owners_and_never_overwritten(made: Made) -> None:
    assert made.bundle.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="exists") as refused:
        export(made.store, made.bundle)
    assert refused.value.code == "AM3013"
    assert [path.name for path in made.bundle.parent.iterdir()] == ["case.amends"]
    assert made.bundle.read_bytes() == made.data


def test_nothing_is_left_of_an_export_that_breaks_off(made: Made, tmp_path: Path) -> None:
    def breaks_off() -> Iterator[SignedHead]:
        yield made.signed[0]
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        export(made.store, tmp_path / "case.amends", breaks_off())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def refused(data: bytes, tmp_path: Path) -> AmendsError:
    """The error that this file is refused with."""
    file = tmp_path / "altered.amends"
    file.write_bytes(data)
    with pytest.raises((FoundFault, UsageError)) as error:
        open_bundle(file)
    return error.value


@given(at=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
@example(at=0, bit=0)
@example(at=-1 % 2**40, bit=7)
def test_every_flipped_bit_is_found(made: Made, at: int, bit: int) -> None:
    data = bytearray(made.data)
    data[at % len(data)] ^= 1 << bit
    file = made.bundle.parent.parent / "flipped.amends"
    file.write_bytes(data)
    with pytest.raises((FoundFault, UsageError)):
        open_bundle(file)


@given(length=st.integers(min_value=0))
def test_every_cut_is_found(made: Made, length: int) -> None:
    file = made.bundle.parent.parent / "cut.amends"
    file.write_bytes(made.data[: length % len(made.data)])
    with pytest.raises(FoundFault):
        open_bundle(file)


Parts = list[tuple[str, bytes]]


def parts_of(data: bytes) -> Parts:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(each.name, archive.extractfile(each).read()) for each in archive]  # type: ignore[union-attr]


def packed(parts: Parts) -> bytes:
    """As our own writer packs them."""
    file = io.BytesIO()
    writer = Writer(file)
    for name, data in parts:
        with writer.part(name) as write:
            write(data)
    writer.end()
    return file.getvalue()


def other(data: bytes, former: bytes, latter: bytes) -> bytes:
    """With the first of these replaced, which must be there."""
    assert former in data
    return data.replace(former, latter, 1)


def to(former: bytes, latter: bytes) -> Callable[[bytes], bytes]:
    return lambda data: other(data, former, latter)


def swapped(parts: Parts) -> Parts:
    return [parts[1], parts[0], *parts[2:]]


def contents_swapped(parts: Parts) -> Parts:
    return [(parts[0][0], parts[3][1]), *parts[1:3], (parts[3][0], parts[0][1]), *parts[4:]]


ENTRIES = "entries.jsonl"
ALTERED: list[object] = [
    pytest.param(swapped, "AM3021", "stands where the manifest has", id="two parts that changed places"),
    pytest.param(contents_swapped, "AM3021", ENTRIES, id="two parts that changed their bytes"),
    pytest.param(lambda parts: parts[1:], "AM3021", "stands where", id="a part that was taken out"),
    pytest.param(lambda parts: [*parts[:-2], parts[-1]], "AM3021", "is missing", id="the last part taken out"),
    pytest.param(
        lambda parts: [*parts[:-1], ("payloads/sha256-00", b""), parts[-1]], "AM3021", "payloads/sha256-00",
        id="a part too many",
    ),
    pytest.param(lambda parts: [parts[0], *parts], "AM3021", "is there twice", id="a name that is there twice"),
    pytest.param(
        lambda parts: [("../../etc/passwd", b""), *parts], "AM3021", "'../../etc/passwd' has a name", id="a way out"
    ),
    pytest.param(lambda parts: [("/etc/passwd", b""), *parts], "AM3021", "/etc/passwd", id="an absolute name"),
    pytest.param(
        lambda parts: [("runs/../definitions/x.json", b""), *parts], "AM3021", "runs/..", id="a way out and back"
    ),
    pytest.param(lambda parts: parts[:-1], "AM3020", "manifest", id="no manifest"),
    pytest.param(lambda parts: [parts[-1], *parts[:-1]], "AM3020", "manifest", id="the manifest first"),
    pytest.param(lambda _: [], "AM3020", "manifest", id="nothing in it"),
    pytest.param(lambda parts: [*parts[:-1], (MANIFEST, b"{}")], "AM3021", MANIFEST, id="an empty manifest"),
    pytest.param(lambda parts: [*parts[:-1], (MANIFEST, b"[" * 10_000)], "AM3021", MANIFEST, id="a nested manifest"),
    pytest.param(
        lambda parts: [*parts[:-1], (MANIFEST, other(parts[-1][1], b'"format":1', b'"format":2'))],
        "AM3022", "format 2", id="a manifest of a later format",
    ),
    pytest.param(
        lambda parts: [*parts[:-1], (MANIFEST, parts[-1][1] + b" ")], "AM3021", "canonical", id="a blank behind it"
    ),
    pytest.param(
        lambda parts: [*parts[:-1], (MANIFEST, other(parts[-1][1], b'"size_bytes":', b'"size_bytes":1'))], "AM3021",
        "does not have the hash that it carries", id="a manifest that says another size",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("alter", "code", "says"), ALTERED)
def test_an_altered_bundle_is_refused_by_the_name_of_the_part(
    made: Made, tmp_path: Path, alter: Callable[[Parts], Parts], code: str, says: str
) -> None:
    error = refused(packed(alter(parts_of(made.data))), tmp_path)
    assert (error.code, says in error.what) == (code, True), error


def test_what_our_writer_packs_again_is_the_same_file(made: Made) -> None:
    assert packed(parts_of(made.data)) == made.data


FILES = [
    pytest.param(lambda data: b"", "AM3020", id="an empty file"),
    pytest.param(lambda data: b"PK\x03\x04" + bytes(2_000), "AM3020", id="a zip archive"),
    pytest.param(lambda data: data + b"x", "AM3020", id="something behind its end"),
    pytest.param(lambda data: data + bytes(512), "AM3020", id="zeros behind its end"),
    pytest.param(lambda data: data[:-512], "AM3020", id="half its end"),
    pytest.param(lambda data: data[:124] + b"77777777777" + data[135:], "AM3021", id="a part of eight gigabytes"),
    pytest.param(lambda data: data[:156] + b"2" + data[157:], "AM3021", id="a link instead of a file"),
    pytest.param(lambda data: data[:136] + b"00000000001" + data[147:], "AM3021", id="another time"),
]


@pytest.mark.parametrize(("alter", "code"), FILES)
def test_what_is_no_bundle_is_refused(made: Made, tmp_path: Path, alter: Callable[[bytes], bytes], code: str) -> None:
    assert refused(alter(made.data), tmp_path).code == code


def test_a_tar_file_by_another_program_is_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    with tarfile.open(made.bundle) as archive:
        archive.extractall(folder, filter="data")
        names = archive.getnames()
    subprocess.run(["tar", "cf", tmp_path / "again.amends", *names], cwd=folder, check=True, timeout=20)
    assert refused((tmp_path / "again.amends").read_bytes(), tmp_path).code == "AM3021"
    shutil.rmtree(folder)


def repacked(parts: Parts, **changes: object) -> bytes:
    """A bundle by somebody who knows the format: its manifest fits."""
    file = io.BytesIO()
    writer = Writer(file)
    manifest = read_manifest(parts[-1][1])
    for name, data in parts[:-1]:
        with writer.part(name) as write:
            write(data)
    made: Manifest = msgspec.structs.replace(manifest, parts=tuple(writer.parts), **changes).with_hash()
    with writer.part(MANIFEST) as write:
        write(made.text)
    writer.end()
    return file.getvalue()


def changed(part: str, change: Callable[[bytes], bytes]) -> Callable[[Parts], Parts]:
    """Of the first part that has this in its name."""

    def alter(parts: Parts) -> Parts:
        at = next(at for at, (name, _) in enumerate(parts) if part in name)
        return [*parts[:at], (parts[at][0], change(parts[at][1])), *parts[at + 1 :]]

    return alter


def without(part: str) -> Callable[[Parts], Parts]:
    return lambda parts: [each for each in parts if part not in each[0]]


def without_last_line(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[:-1])


def with_a_story_of_its_own(data: bytes) -> bytes:
    """The last entry told anew, with the hash that it must have then."""
    lines = data.splitlines()
    entry = decode(lines[-1])
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "hash"}
    again, _ = seal_entry(Draft(**fields | {"actor": "nobody"}))
    return b"\n".join([*lines[:-1], again, b""])


def with_other_hashes(data: bytes) -> bytes:
    lines = []
    for line in data.splitlines():
        segment = msgspec.json.decode(line, type=Segment)
        lines.append(encode(msgspec.structs.replace(segment, hashes=("0" * 64, *segment.hashes[1:]))))
    return b"\n".join([*lines, b""])


FORGED = [
    pytest.param(changed(ENTRIES, to(b'"cause":"', b'"cause":"x')), ["hash"], id="a changed entry"),
    pytest.param(changed(ENTRIES, with_a_story_of_its_own), ["head", "position"], id="a last entry hashed anew"),
    pytest.param(changed(ENTRIES, without_last_line), ["head", "row"], id="a cut tail"),
    pytest.param(changed("run.json", to(b'"status":"', b'"status":"xx')), None, id="a bad row"),
    pytest.param(changed("run.json", to(b'"generation":0', b'"generation":1')), ["row"], id="a changed row"),
    pytest.param(
        changed("run.json", to(b'"idempotency_key":"', b'"idempotency_key":"x')), ["row"], id="another request"
    ),
    pytest.param(changed("outcomes.jsonl", to(b'"log_hash":"', b'"log_hash":"0')), ["head"], id="a changed outcome"),
    pytest.param(changed("outcomes.jsonl", lambda _: b"{}\n"), None, id="no outcome"),
    pytest.param(changed("outcomes.jsonl", lambda _: b""), ["outcome"], id="no outcome at all"),
    pytest.param(changed("outcomes.jsonl", lambda data: data * 2), None, id="an outcome twice"),
    pytest.param(changed("outcomes.jsonl", to(b'"result":null', b'"result":7')), ["outcome"], id="another result"),
    pytest.param(changed("outcomes.jsonl", to(b'"generation":0', b'"generation":1')), ["outcome"], id="a rerun's end"),
    pytest.param(without("definitions/"), ["definition"], id="no definition"),
    pytest.param(
        changed("definitions/", to(b'"deadline_ms":', b'"deadline_ms":1')), ["definition"], id="another definition"
    ),
    pytest.param(changed("shards/0.jsonl", with_other_hashes), ["head", "position"], id="another chain of the shard"),
    pytest.param(changed("shards/0.jsonl", lambda _: b"[]\n"), None, id="no chain of the shard"),
    pytest.param(
        changed("checkpoints.jsonl", to(b'"shard":0', b'"shard":1')), ["signature"], id="a changed signed head"
    ),
    pytest.param(changed("checkpoints.jsonl", lambda _: b"{}\n"), None, id="no signed head"),
    pytest.param(changed("checkpoints.jsonl", to(b'"store":"', b'"store":"x')), ["store"], id="another store's head"),
    pytest.param(without("run.json"), None, id="no row"),
]  # fmt: skip


@pytest.mark.parametrize(("alter", "expected"), FORGED)
def test_a_bundle_forged_in_its_own_form_has_its_faults_named(
    made: Made, tmp_path: Path, alter: Callable[[Parts], Parts], expected: list[str] | None
) -> None:
    file = tmp_path / "forged.amends"
    file.write_bytes(repacked(alter(parts_of(made.data))))
    if expected is None:
        with pytest.raises(FoundFault) as error:
            opened(file)
        assert error.value.code == "AM3021"
    else:
        assert faults(opened(file)) == expected


@pytest.mark.parametrize(
    "runs", [lambda _: (), lambda runs: runs * 2, lambda runs: (*runs[:-1], "0" * 36)], ids=["none", "twice", "another"]
)
def test_a_manifest_names_the_runs_that_are_there(
    made: Made, tmp_path: Path, runs: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> None:
    parts = parts_of(made.data)
    file = tmp_path / "forged.amends"
    file.write_bytes(repacked(parts, runs=runs(read_manifest(parts[-1][1]).runs)))
    with pytest.raises(FoundFault, match="names other runs"):
        opened(file)


SEALED = b"s1.%b.QUJD" % (b"0" * 32)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(SEALED, [], id="a sealed text of its size"),
        pytest.param(SEALED + b"x", ["payload"], id="of another size"),
        pytest.param(b"x" * len(SEALED), ["payload"], id="no sealed text"),
        pytest.param(b"\xff" * len(SEALED), ["payload"], id="no text"),
    ],
)
def test_a_large_sealed_value_is_one_at_least_in_form(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    name = "hmac-sha256:" + "0" * 64
    file = tmp_path / "case.amends"
    with written_whole(file) as written:
        writer = Writer(written)
        with writer.part(payload_part(name)) as write:
            write(data)
        made = Manifest(store="s", made_at="", versions={}, runs=(), missing=(), parts=tuple(writer.parts)).with_hash()
        with writer.part(MANIFEST) as write:
            write(made.text)
        writer.end()
    found = Findings()
    with closing(open_bundle(file)) as bundle:
        value_beside(bundle, name, len(SEALED), found)
    assert faults(found) == expected


def test_without_the_signed_heads_the_same_forgery_can_not_be_seen(made: Made, tmp_path: Path) -> None:
    parts = parts_of(made.data)
    bare = [each for each in parts if each[0] != "checkpoints.jsonl" and not each[0].startswith("shards/")]
    file = tmp_path / "bare.amends"
    file.write_bytes(repacked(bare))
    found = opened(file)
    assert (found.report.faults, found.heads, found.signed) == ([], 0, {})


def test_who_signed_is_checked_where_a_key_is_given(made: Made) -> None:
    assert faults(opened(made.bundle, keys=[PrivateKey.new()])) == ["key"]
    unchecked = opened(made.bundle, keys=[])
    assert (unchecked.report.ok, unchecked.heads > 0) == (True, True)
    assert opened(made.bundle, keys=[PrivateKey.new(), KEY]).report.ok


def test_a_copy_from_elsewhere_is_held_against_it_too(made: Made) -> None:
    last = made.signed[-1]
    assert opened(made.bundle, outside=[last, msgspec.structs.replace(last, store="another")]).report.ok
    by_them = PrivateKey.new()
    lies = msgspec.structs.replace(last, head="0" * 64, key_id=by_them.public.key_id)
    lies = msgspec.structs.replace(lies, signature=by_them.sign(lies.signed))
    assert faults(opened(made.bundle, keys=[KEY, by_them], outside=[lies])) == ["head"]


def test_only_the_stretches_between_signed_heads_go_out(made: Made, tmp_path: Path) -> None:
    export(made.store, tmp_path / "one.amends", made.signed, count=1)
    found = opened(tmp_path / "one.amends")
    (row,) = made.store.runs(limit=1)
    assert (found.report.ok, found.signed) == (True, {row.saga_id: row.version})
    with closing(open_bundle(tmp_path / "one.amends")) as bundle:
        (line,) = bundle.lines("shards/0.jsonl")
    segment = msgspec.json.decode(line, type=Segment)
    positions = [head.position for head in made.signed]
    assert (segment.after, segment.after + len(segment.hashes)) == (positions[-2], positions[-1])


def test_what_no_signed_head_covers_is_said_to_be_so(made: Made, tmp_path: Path) -> None:
    export(made.store, tmp_path / "first.amends", made.signed[:1])
    found = opened(tmp_path / "first.amends")
    assert (found.report.ok, sum(found.signed.values())) == (True, made.signed[0].position)
    export(made.store, tmp_path / "none.amends")
    assert opened(tmp_path / "none.amends").signed == {}


def test_too_many_runs_are_refused(made: Made, tmp_path: Path) -> None:
    rows = made.store.runs(limit=1) * 1_001
    with pytest.raises(UsageError) as error:
        Export(store=made.store, file=io.BytesIO()).write(rows)
    assert error.value.code == "AM3023"


@pytest.fixture(scope="module")
def with_large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a run whose first step returned more than an entry holds."""
    folder = tmp_path_factory.mktemp("large")
    store = in_memory(folder)
    play(store, [1], {"a": ok(Done(key="x" * 100_000))})
    manifest = export(store, folder / "case.amends")
    assert [part.name for part in manifest.parts if part.name.startswith("payloads/")]
    return folder / "case.amends"


LARGE: list[object] = [
    pytest.param(lambda parts: parts, [], id="as it was"),
    pytest.param(without("payloads/"), ["payload"], id="without it"),
    pytest.param(changed("payloads/", to(b"xxx", b"xyx")), ["payload"], id="another one"),
]


@pytest.mark.parametrize(("alter", "expected"), LARGE)
def test_a_large_value_is_the_one_that_the_entries_name(
    with_large: Path, tmp_path: Path, alter: Callable[[Parts], Parts], expected: list[str]
) -> None:
    file = tmp_path / "case.amends"
    file.write_bytes(repacked(alter(parts_of(with_large.read_bytes()))))
    found = opened(file)
    assert (faults(found), found.payloads["external"]) == (expected, 1)


def test_what_the_store_did_not_have_is_said_by_the_bundle(tmp_path: Path) -> None:
    store = in_memory(tmp_path)
    play(store, [1], {"a": ok(Done(key="x" * 100_000))})
    store._tables.blobs.clear()  # type: ignore[attr-defined]
    manifest = export(store, tmp_path / "case.amends")
    assert [part.partition("/")[0] for part in manifest.missing] == ["payloads"]
    (fault,) = opened(tmp_path / "case.amends").report.faults
    assert (fault.fault, "the store did not have it" in fault.detail) == ("payload", True)
