"""A subject's data key, and the master key that wraps it."""

import base64

import pytest

from amends.coordinator.errors import UsageError
from amends.coordinator.sealing.keys import CannotOpen, Seal, SubjectKey, parted, with_texts_opened
from amends.coordinator.sealing.master import NO_MASTER, MasterKey, MasterReference, master_key, new_key
from amends.schemas.canonical import digest

VALUE = b'{"name":"Ada Lovelace"}'
KEY = SubjectKey("0" * 32, b"k" * 32)
OTHER = SubjectKey("1" * 32, b"o" * 32)


def test_what_is_sealed_comes_back_under_its_key_and_shows_nothing_of_itself() -> None:
    text = Seal(KEY).payload(KEY.digest(VALUE), VALUE)

    assert KEY.payload(KEY.digest(VALUE), text) == VALUE
    assert "Ada" not in text
    assert base64.b64encode(b"Ada Lovelace").decode()[:12] not in text


def test_the_same_value_under_the_same_key_is_the_same_text_so_a_batch_decided_again_has_the_same_bytes() -> None:
    assert Seal(KEY).payload("d", VALUE) == Seal(KEY).payload("d", VALUE)
    assert Seal(KEY).text("Ada") == Seal(KEY).text("Ada")


def test_another_key_and_another_digest_open_nothing() -> None:
    text = Seal(KEY).payload("hmac-sha256:a", VALUE)

    with pytest.raises(CannotOpen):
        OTHER.payload("hmac-sha256:a", text)
    with pytest.raises(CannotOpen):
        KEY.payload("hmac-sha256:b", text)


@pytest.mark.parametrize("place", [36, 50, -1])
def test_what_was_changed_is_not_opened(place: int) -> None:
    text = list(Seal(KEY).payload("d", VALUE))
    text[place] = "A" if text[place] != "A" else "B"
    with pytest.raises(CannotOpen):
        KEY.payload("d", "".join(text))


@pytest.mark.parametrize("text", ["", "sealed", "s1.zz.aa", "s2." + "0" * 32 + ".AAAA", "s1." + "0" * 32 + "."])
def test_what_is_no_sealed_text_is_refused_as_such(text: str) -> None:
    with pytest.raises(CannotOpen):
        parted(text)


def test_a_digest_cannot_be_told_without_the_key() -> None:
    assert KEY.digest(VALUE) != OTHER.digest(VALUE) != digest(VALUE)
    assert KEY.digest(VALUE).startswith("hmac-sha256:")
    assert KEY.keyed(digest(VALUE)) != OTHER.keyed(digest(VALUE))
    assert KEY.keyed(KEY.digest(VALUE)) == KEY.digest(VALUE), "a keyed digest stays as it is"


def test_sealed_texts_are_found_and_opened_within_another_text() -> None:
    seal = Seal(KEY)
    why = f"its undo failed: {seal.text('no account for Ada')}; twice: {seal.text('Ada')}."

    assert "Ada" not in why
    assert seal.opened(why) == "its undo failed: no account for Ada; twice: Ada."
    assert with_texts_opened(why, lambda _: "(erased)") == "its undo failed: (erased); twice: (erased)."
    assert seal.opened(None) is None


def test_a_text_is_sealed_once() -> None:
    seal = Seal(KEY)
    assert seal.text(seal.text("Ada")) == seal.text("Ada")
    assert not seal.text("")


def test_a_sealed_text_says_whether_it_stays_sealed_where_its_run_is_published() -> None:
    assert parted(Seal(KEY, stays=True).payload("d", VALUE)).stays
    assert not parted(Seal(KEY).payload("d", VALUE)).stays
    assert KEY.payload("d", Seal(KEY, stays=True).payload("d", VALUE)) == VALUE


def test_a_data_key_is_unwrapped_by_the_master_key_that_wrapped_it_and_by_no_other() -> None:
    master, key = MasterKey(b"m" * 32), new_key()
    wrapped = master.wrap(key)

    assert master.unwrap(key.key_id, wrapped).secret == key.secret
    assert key.secret not in wrapped
    with pytest.raises(CannotOpen):
        MasterKey(b"n" * 32).unwrap(key.key_id, wrapped)
    with pytest.raises(CannotOpen):
        master.unwrap("0" * 32, wrapped)


def test_the_store_s_name_for_a_subject_tells_nobody_else_who_it_is() -> None:
    assert MasterKey(b"m" * 32).name_of("C-7") != MasterKey(b"n" * 32).name_of("C-7")
    assert MasterKey(b"m" * 32).name_of("C-7") == MasterKey(b"m" * 32).name_of("C-7")


SECRET = bytes(range(200, 232))


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode() + "\n",
        base64.urlsafe_b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
    ],
)
def test_a_master_key_is_32_bytes_in_base64_or_hex(text: str) -> None:
    assert master_key(text).secret == SECRET


@pytest.mark.parametrize("text", ["", "secret", "A" * 43 + "!", "00" * 31, base64.b64encode(b"x" * 33).decode()])
def test_anything_else_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(UsageError, match="32 bytes") as refused:
        master_key(text)
    assert refused.value.code == "AM0332"
    assert not text or text not in str(refused.value)


def test_a_master_key_that_is_not_set_is_missed_when_it_is_needed_and_not_before() -> None:
    with pytest.raises(UsageError) as missed:
        NO_MASTER()
    assert missed.value.code == "AM0331"
    assert MasterReference(SECRET.hex)().secret == SECRET


def test_no_secret_is_in_a_repr() -> None:
    for each in (KEY, MasterKey(b"k" * 32), Seal(KEY)):
        assert "kkkk" not in repr(each)
