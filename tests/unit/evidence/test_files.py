"""Files that are written whole or not at all: what is left half written goes, and nothing is overwritten."""

import fcntl
from pathlib import Path

import pytest

from amends.coordinator.errors import UsageError
from amends.coordinator.evidence.files import write_secret, written_whole


def test_a_file_that_was_left_half_written_goes_with_the_next_one_of_its_name(tmp_path: Path) -> None:
    for name in (".[a].1.partial", ".b.1.partial"):
        (tmp_path / name).write_bytes(b"half")
    file = tmp_path / "[a]"
    with written_whole(file) as written:
        written.write(b"whole")
    assert sorted(each.name for each in tmp_path.iterdir()) == [".b.1.partial", "[a]"]
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"whole", 0o600)


def test_what_somebody_writes_just_now_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / ".a.0.partial"
    theirs.touch()
    with theirs.open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        with written_whole(tmp_path / "a"):
            pass
    assert theirs.exists()


def test_what_came_first_stays(tmp_path: Path) -> None:
    file = tmp_path / "a"

    def write_while_another_comes() -> None:
        with written_whole(file) as written:
            file.write_bytes(b"theirs")
            written.write(b"ours")

    with pytest.raises(UsageError) as late:
        write_while_another_comes()
    with pytest.raises(UsageError) as known, written_whole(file):
        pytest.fail("nothing is written where a file is")
    assert (late.value.code, known.value.code, file.read_bytes()) == ("AM3013", "AM3013", b"theirs")
    assert list(tmp_path.iterdir()) == [file]


def test_where_a_file_system_knows_no_links_the_file_is_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    with written_whole(tmp_path / "a") as written:
        written.write(b"whole")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"whole")]


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with written_whole(tmp_path / "a") as written:
            written.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_its_owner_s_alone_and_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    write_secret(file, b"secret")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"secret", 0o600)
    with pytest.raises(UsageError) as known:
        write_secret(file, b"another")
    with pytest.raises(UsageError) as nowhere:
        write_secret(tmp_path / "no" / "key.pem", b"secret")
    assert (known.value.code, nowhere.value.code, file.read_bytes()) == ("AM3013", "AM3014", b"secret")
